"""Erasing a referral, or all that a hub has of a woman: what has not left is stopped, and what has is listed first.

UK GDPR article 17; article 19 wants every recipient told, which a person does with the list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway_sdk import Status

from gateway.errors import Conflict, Sealed
from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store import deliveries, erasure
from gateway.store.deliveries import Delivery
from gateway.store.erasure import Scope
from gateway.store.session import Tx

from . import behind
from .room import PostRoom


@dataclass(frozen=True)
class Recipient:
    """An agency that has a referral, or (not *sure*) may have it: tell it. *reference*: its own; *at*: since when."""

    agency: str
    delivery: str
    sure: bool
    reference: str | None
    at: datetime


@dataclass(frozen=True)
class Erased:
    """What was erased, by id; the deliveries that were *stopped*; who has it."""

    referrals: tuple[str, ...]
    consents: tuple[str, ...]
    stopped: tuple[str, ...]
    recipients: tuple[Recipient, ...]


def erase(
    room: PostRoom, identifier: str, *, by: str, reason: str, everything: bool = False, dry_run: bool = False
) -> Erased:
    """Erase a referral or a consent, or *everything* of the same woman at that hub. There is no way back.

    *reason* is a person's words and is kept in the audit: no personal data in it. Raises NotFound, Conflict.
    """
    with room.store.begin() as tx:
        chosen = erasure.scope(tx, identifier, everything=everything)
        return carry_out(tx, chosen, by=by, reason=reason, dry_run=dry_run)


def carry_out(tx: Tx, chosen: Scope, *, by: str, reason: str, dry_run: bool = False) -> Erased:
    """Stop what has not left, and erase what was *chosen*. Raises Conflict while something of it is on the wire."""
    lines = list(_lines(tx, chosen))
    every = [one for first, followers in lines for one in (first, *followers)]
    if leaving := [one for one in every if one.state is State.SENDING]:
        raise Conflict(f"{leaving[0].id} is on its way to {leaving[0].agency}: try again in a minute")
    stopped = [one for one in every if (one.state, Move.WITHDRAW) in DELIVERY]
    recipients = [_recipient(tx, first) for first, _ in lines if behind.may_have_it(first)]
    if not dry_run:
        for one in stopped:
            deliveries.put_move(tx, one, Move.WITHDRAW, by=by, code="erased", status=Status.WITHDRAWN)
        erasure.wipe(tx, chosen, by=by, reason=reason)
    return Erased(chosen.referrals, chosen.consents, tuple(one.id for one in stopped), tuple(recipients))


def _lines(tx: Tx, chosen: Scope) -> Iterator[tuple[Delivery, list[Delivery]]]:
    for referral in chosen.referrals:
        for first in deliveries.of_referral(tx, referral):
            yield deliveries.line(tx, first.id)


def _recipient(tx: Tx, first: Delivery) -> Recipient:
    try:
        reference = deliveries.reference(tx, first)
    except Sealed:  # what is damaged can be erased all the same
        reference = None
    since = first.status_at or first.updated_at
    return Recipient(first.agency, first.id, first.state is State.DELIVERED, reference, since)
