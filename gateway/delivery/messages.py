"""A hub and an agency tell each other something about a referral, in words.

What an agency says is kept for the hub to read; see feedback.py. What a hub says is a delivery of its own, behind the
referral, with the same stairs: consent is asked here, and again at the moment of sending.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gateway_sdk as sdk

from gateway.errors import AreaOff, Conflict, ConsentMissing, Invalid, NotFound
from gateway.plugins import Agency
from gateway.policy.consent import WhyNot
from gateway.store import audit, consents, deliveries, directory, messages, referrals
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from gateway.store.messages import Message
from gateway.store.session import Tx

from . import behind
from .permission import permission
from .room import PostRoom


@dataclass(frozen=True)
class Opened:
    """A message in the clear. *agency*: to or from whom. *answers*: the id, here, of the one that it answers."""

    message: Message
    agency: str
    text: str
    answers: str | None


def send(
    room: PostRoom, identifier: str, document: Mapping[str, Any], key: str, body: bytes, caller: Caller
) -> tuple[Message, str]:
    """Tell an agency something about a referral that it has; *document* follows the schema ``message``.

    The message, and its agency. The same *key* with the same *body* gives the first one again. Raises NotFound,
    Invalid, Conflict, AreaOff, ConsentMissing, KeyReused.
    """
    with room.store.begin(hub=caller.hub) as tx:
        stored = referrals.get(tx, identifier, hub=caller.hub)
        record = consents.get(tx, stored.consent, hub=caller.hub)  # before the deliveries, as everywhere
        about = _to(tx, stored.id, document["agency"])
        if referrals.first_use(tx, caller.hub, key, body, stored.id):
            agency = _known(room, about)
            if stored.area not in directory.look(tx).areas_on:
                raise AreaOff(f"The roll-out has not reached {stored.area}: nothing is sent there.", area=stored.area)
            _require(record, about, agency)
            answers = _answered(tx, stored.id, about, document.get("answers"))
            carried_by = behind.speak(tx, about)
            if carried_by is None:
                raise Conflict(
                    f"{about.agency} has not got this referral, or not any more: there is nothing to add to."
                )
            messages.send(tx, about, document["text"], answers=answers, carried_by=carried_by, key=key, by=caller.actor)
        found = messages.by_key(tx, caller.hub, key)
        assert found is not None, "the key is this one's"
        return found, about.agency


def _to(tx: Tx, referral: str, agency: str) -> Delivery:
    for delivery in deliveries.of_referral(tx, referral):
        if delivery.agency == agency:
            return delivery
    raise NotFound(f"this referral asks nothing of {agency}")


def _known(room: PostRoom, about: Delivery) -> Agency:
    agency = room.agencies.get(about.agency)
    if agency is None:
        raise Conflict(f"{about.agency} is not configured any more: nothing was sent.", code="not_configured")
    return agency


def _require(record: consents.Record, about: Delivery, agency: Agency) -> None:
    """She agrees, now, that this agency is told more in words."""
    allowed = permission(record.consent, agency, about.purpose, record.read_at, kind="message")
    if isinstance(allowed, WhyNot):
        category = {"category": "message"} if allowed is WhyNot.NOT_CATEGORY else {}
        raise ConsentMissing(
            f"She has not agreed that {agency.name} is told more in words (the data category message): ask her.",
            missing=[{"agency": agency.name, "purpose": about.purpose, "reason": allowed, **category}],
        )


def _answered(tx: Tx, referral: str, about: Delivery, asked: str | None) -> str | None:
    """The agency's own id of its message *asked*. Raises Invalid."""
    if asked is None:
        return None
    for one in messages.of_referral(tx, referral):
        if (one.id, one.delivery, one.sender) == (asked, about.id, "agency"):
            return one.open(referrals.key(tx, referral)).id
    expected = f"a message that {about.agency} sent about this referral"
    raise Invalid(f"At /answers: expected {expected}.", errors=[{"pointer": "/answers", "expected": expected}])


def read(room: PostRoom, identifier: str, caller: Caller) -> list[Opened]:
    """All that was said about a referral, oldest first. Opening it is audited. Raises NotFound."""
    with room.store.begin(hub=caller.hub) as tx:
        stored = referrals.get(tx, identifier, hub=caller.hub)
        sealed = messages.of_referral(tx, stored.id)
        if not sealed:
            return []
        audit.write(tx, caller.actor, "message.open", *(one.id for one in sealed), because="read by its hub")
        key = referrals.key(tx, stored.id)
        told = {one.id: one.open(key) for one in sealed}
        agencies = {one.id: one.agency for one in deliveries.of_referral(tx, stored.id)}
    return [_opened(one, told, agencies) for one in sealed]


def _opened(one: Message, told: Mapping[str, sdk.Message], agencies: Mapping[str, str]) -> Opened:
    said = told[one.id]
    by_their_id = {words.id: identifier for identifier, words in told.items()}
    return Opened(one, agencies[one.delivery], said.text, by_their_id.get(said.answers or ""))
