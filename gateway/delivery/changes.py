"""Her consent, or how she can be reached, changes: what that means for what was sent, and for what was not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import gateway_schemas
from gateway_sdk import Status

from gateway.errors import Changed, Conflict, Invalid
from gateway.plugins import Agency
from gateway.policy import changes, minimise
from gateway.policy.changes import Kind
from gateway.policy.consent import Consent, Grant, WhyNot, parse
from gateway.policy.lifecycle import State
from gateway.store import consents, deliveries, events, referrals
from gateway.store.callers import Caller
from gateway.store.consents import Record
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import behind, settle
from .permission import permission
from .room import PostRoom

SKEW = timedelta(minutes=5)  # how far a hub's clock may be ahead of ours


@dataclass(frozen=True)
class Part:
    """What a withdrawal is about. Naming no recipients means all of them, no categories all of those."""

    recipients: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


WHOLE = Part()


def change_consent(
    room: PostRoom, identifier: str, caller: Caller, document: Mapping[str, Any], *, based_on: int
) -> tuple[Record, Kind]:
    """A new version, *document*, made from version *based_on*. Its kind follows from what it changes.

    What she takes away is stopped or taken back at once. Raises NotFound, Changed, Conflict, Invalid.
    """
    with room.store.begin(hub=caller.hub) as tx:
        old = consents.lock(tx, identifier, hub=caller.hub)
        if old.version != based_on:
            raise Changed(
                f"The consent has changed: version {old.version} is the present one, and this was made from version "
                f"{based_on}. Read it again, and ask her about what it says now."
            )
        if old.withdrawn_at is not None:
            raise Conflict("She withdrew this consent: record what she agrees to now as a new one.")
        kind = _kind(old, document)
        new = consents.add_version(tx, old, kind, document, by=caller.actor)
        if kind is Kind.NARROWED:
            _take_away(room, tx, old, new, caller)
        return new, kind


def _kind(old: Record, document: Mapping[str, Any]) -> Kind:
    if document["subject"] != old.document["subject"]:
        raise _invalid("/subject", "the woman whose consent this is")
    if datetime.fromisoformat(document["given"]["at"]) > old.read_at + SKEW:
        raise _invalid("/given/at", "a time that has passed: a change counts from now on")
    kind = changes.compare(old.consent, parse(document))
    if kind is None:
        raise _invalid(
            "/permits",
            "a version that takes something away or adds something, not both: record first what ends, then what she adds",
        )
    return kind


def _invalid(pointer: str, expected: str) -> Invalid:
    return Invalid(f"At {pointer}: expected {expected}.", errors=[{"pointer": pointer, "expected": expected}])


def withdraw_consent(
    room: PostRoom, identifier: str, caller: Caller, part: Part = WHOLE, given: Mapping[str, Any] | None = None
) -> list[Delivery]:
    """She withdrew, all of it or a *part*: stop what has not left, and tell every agency that has it, or may.

    *given*: who recorded it, how and when, if the hub says so; nobody has to wait for that.
    Returns the deliveries of referrals that rest on the consent, as they stand now. Raises NotFound.
    """
    with room.store.begin(hub=caller.hub) as tx:
        old = consents.lock(tx, identifier, hub=caller.hub)
        if old.withdrawn_at is None:
            _withdraw(room, tx, old, caller, part, given)
        return deliveries.of_consent(tx, identifier)


def _withdraw(room: PostRoom, tx: Tx, old: Record, caller: Caller, part: Part, given: Mapping[str, Any] | None) -> None:
    said = {name: value for name, value in old.document.items() if name != "given"} | (
        {"given": given} if given else {}
    )
    left = changes.without(said, recipients=part.recipients, categories=part.categories)
    if left is not None and left["permits"] == old.document["permits"]:
        return  # she never agreed to it, or has withdrawn it before
    if left is not None:
        new = consents.add_version(tx, old, Kind.NARROWED, left, by=caller.actor)
        _take_away(room, tx, old, new, caller)
        return
    consents.add_version(tx, old, Kind.WITHDRAWN, said, by=caller.actor)
    for delivery in deliveries.of_consent(tx, old.id):
        behind.take_back(tx, delivery, by=caller.actor)
    events.of_consent(tx, "consent.withdrawn", old.id)


def _take_away(room: PostRoom, tx: Tx, old: Record, new: Record, caller: Caller) -> None:
    """She agrees to less: take back what an agency cannot do without, bring the others up to date."""
    at = new.read_at
    lost = changes.lost(old.consent, new.consent, at)
    touched = {
        delivery: (delivery.referral, categories)
        for delivery in deliveries.of_consent(tx, new.id)
        if delivery.referral and (categories := _lost_by(delivery, lost))
    }
    wholes = referrals.open_all(tx, (referral for referral, _ in touched.values()), because="she agrees to less")
    for delivery, (referral, categories) in touched.items():
        agency, whole = room.agencies.get(delivery.agency), wholes[referral]
        granted = _granted(new.consent, delivery, agency, at)
        if agency is None or not isinstance(granted, Grant):
            behind.take_back(tx, delivery, by=caller.actor)
        elif _given(whole, agency, granted.categories | categories) != _given(whole, agency, granted.categories):
            behind.bring_up_to_date(tx, delivery)
    events.of_consent(tx, "consent.narrowed", new.id)


def _lost_by(delivery: Delivery, lost: frozenset[changes.Place]) -> frozenset[str]:
    """The categories that the agency of *delivery* may have no longer."""
    here = (delivery.agency, delivery.purpose)
    return frozenset(category for agency, purpose, category in lost if (agency, purpose) == here)


def _granted(consent: Consent, delivery: Delivery, agency: Agency | None, at: datetime) -> Grant | WhyNot:
    if agency is None:
        return WhyNot.NOT_RECIPIENT
    return permission(consent, agency, delivery.purpose, at, kind=delivery.kind)


def _given(whole: Mapping[str, Any], agency: Agency, categories: frozenset[str]) -> dict[str, Any]:
    return minimise.keep(whole, agency.name, agency.adapter.needs, categories)


def expire(room: PostRoom) -> None:
    """The clock's part: what has not left when its consent ends is stopped, and the hub told once that it ended."""
    with room.store.begin() as tx:
        for record in consents.due(tx):
            resting, over = deliveries.of_consent(tx, record.id), record.read_at >= record.consent.ends_at
            for delivery in [one for first in resting for one in deliveries.with_messages(tx, first)]:
                granted = _granted(record.consent, delivery, room.agencies.get(delivery.agency), record.read_at)
                if (over or granted is WhyNot.EXPIRED) and (
                    delivery.state in (State.HELD, State.WAITING, State.QUEUED) or behind.unopened(delivery)
                ):
                    settle.consent_ended(tx, delivery, WhyNot.EXPIRED)
            if not over or not resting:
                consents.look_again(tx, record)
                continue
            ended = {name: value for name, value in record.document.items() if name != "given"}
            consents.add_version(tx, record, Kind.EXPIRED, ended, by="gateway")
            events.of_consent(tx, "consent.expired", record.id)


def change_contact(
    room: PostRoom, identifier: str, caller: Caller, contact: Mapping[str, Any], key: str, body: bytes
) -> None:
    """How she can be reached safely is now *contact*, in this hub's every referral about her.

    Every agency that has, or may have, what stood there is told, before anything else it waits for.
    The same Idempotency-Key again does nothing. Raises NotFound, KeyReused.
    """
    with room.store.begin(hub=caller.hub) as tx:
        hers = referrals.lock_hers(tx, identifier, hub=caller.hub)
        if not referrals.first_use(tx, caller.hub, key, body, identifier):
            return
        wholes = referrals.open_all(tx, (one.id for one in hers), because="her contact details change")
        agreed = consents.get_all(tx, [(one.consent, caller.hub) for one in hers])
        for stored in hers:
            before = wholes[stored.id]
            if before.get("contact") == contact:
                continue
            referrals.change_contact(tx, stored, before, contact, by=caller.actor)
            events.write(tx, "referral.contact", hub=caller.hub, referral=stored.id)
            record = agreed[stored.consent, caller.hub]
            for delivery in deliveries.of_referral(tx, stored.id):
                agency = room.agencies.get(delivery.agency)
                if agency is None or _differs(before, {**before, "contact": contact}, record, delivery, agency):
                    behind.bring_up_to_date(tx, delivery)


def _differs(
    before: Mapping[str, Any], after: Mapping[str, Any], record: Record, delivery: Delivery, agency: Agency
) -> bool:
    """Whether the agency has something else than it should. Of one that nothing may be given any more, all is compared."""
    granted = _granted(record.consent, delivery, agency, record.read_at)
    if granted is WhyNot.WITHDRAWN or delivery.status is Status.WITHDRAWN:
        return False
    categories = granted.categories if isinstance(granted, Grant) else gateway_schemas.consent_categories()
    return _given(before, agency, categories) != _given(after, agency, categories)
