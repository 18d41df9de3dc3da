"""One attempt, start to finish: begin under the token, make the request, send it, settle what came of it."""

import time
from dataclasses import dataclass
from uuid import UUID

import gateway_sdk as sdk

from gateway import logs, wire
from gateway.errors import MaybeSent, NotSent
from gateway.plugins import Agency
from gateway.policy import minimise
from gateway.policy.consent import Grant, Missing, WhyNot, decide
from gateway.policy.lifecycle import Move, State
from gateway.store import consents, deliveries, health, referrals
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import settle, sound
from .room import PostRoom

log = logs.get()


@dataclass(frozen=True)
class Send:
    """Stage: give the agency a referral, or take one back."""

    delivery: Delivery
    agency: Agency
    content: sdk.Referral | sdk.Sent

    def request(self) -> sdk.Request | None:
        if isinstance(self.content, sdk.Referral):
            return self.agency.adapter.translate(self.content)
        return self.agency.adapter.withdraw(self.content)

    def read(self, reply: sdk.Reply) -> sdk.Outcome:
        return sound.outcome(self.agency.adapter.classify(reply))


@dataclass(frozen=True)
class Ask:
    """Stage: ask the agency how a referral stands there."""

    delivery: Delivery
    agency: Agency
    content: sdk.Sent

    def request(self) -> sdk.Request | None:
        return self.agency.adapter.ask(self.content)

    def read(self, reply: sdk.Reply) -> sdk.Answer:
        return sound.answer(self.agency.adapter.read_update(reply))


def run(room: PostRoom, identifier: str, token: UUID) -> None:
    """Carry out what is due for a delivery. Does nothing unless *token* still holds it."""
    with room.store.begin() as tx:
        stage = _begin(room, tx, identifier, token)
    if stage is None:
        return
    started = time.monotonic()
    result = _exchange(room, stage)
    seconds = time.monotonic() - started
    if isinstance(stage, Send):
        assert not isinstance(result, sdk.Update | sdk.NotFound)
        settle.outcome(room, stage.delivery, stage.agency, result, seconds)
    else:
        assert not isinstance(result, sdk.Delivered | sdk.Refused | settle.Unmade)
        settle.answer(room, stage.delivery, stage.agency, result, seconds)


def _begin(room: PostRoom, tx: Tx, identifier: str, token: UUID) -> Send | Ask | None:
    """Take hold of the delivery for its next stage. Locks consent before delivery, as a withdrawal does.

    Nothing is locked by looking: each step that changes the row presents the token again.
    """
    delivery = deliveries.held_by(tx, identifier, token)
    agency = room.agencies.get(delivery.agency) if delivery else None
    if delivery is None or agency is None:
        return None
    referral = referrals.sealed(tx, delivery.referral) if delivery.kind == "referral" else None
    permission = _permission(tx, delivery, agency, referral) if referral else None
    match delivery.state:
        case State.QUEUED:
            if health.paused(tx, agency.name):
                deliveries.move(tx, delivery, Move.DEFER, due_at=tx.now())
                return None
            if isinstance(permission, WhyNot):
                settle.consent_ended(tx, delivery, permission)
                return None
            return _send(room, tx, delivery, agency, Move.BEGIN, referral, permission)
        case State.ASKING:
            if delivery.kind == "withdrawal" or (agency.adapter.idempotent and isinstance(permission, Grant)):
                return _send(room, tx, delivery, agency, Move.REPEAT, referral, permission)
            return _ask(room, tx, delivery, agency)
        case State.DELIVERED:
            return _ask(room, tx, delivery, agency)
        case _:
            return None


def _permission(tx: Tx, delivery: Delivery, agency: Agency, referral: referrals.SealedReferral) -> Grant | WhyNot:
    """What she agrees to at this instant, by the database's clock."""
    stored = consents.get(tx, referral.consent, hub=delivery.hub)
    consent = stored.consent
    answer: Grant | tuple[Missing, ...] = decide(
        consent,
        subject=consent.subject,
        agency=agency.name,
        purpose=delivery.purpose,
        required=agency.required_categories,
        at=stored.read_at,
    )
    return answer if isinstance(answer, Grant) else answer[0].reason


def _send(
    room: PostRoom,
    tx: Tx,
    delivery: Delivery,
    agency: Agency,
    verb: Move,
    referral: referrals.SealedReferral | None,
    permission: Grant | WhyNot | None,
) -> Send | None:
    held = deliveries.move(tx, delivery, verb, hold_for=room.settings.lease)
    if held is None:
        return None
    if referral is None:
        return Send(held, agency, _sent(tx, held))
    assert isinstance(permission, Grant)
    whole = referral.open(tx, by="gateway", because=f"send to {agency.name}")
    data = minimise.keep(whole, agency.name, agency.adapter.needs, permission.categories)
    return Send(held, agency, sdk.Referral(held.id, held.created_at, data, agency.adapter.needs))


def _ask(room: PostRoom, tx: Tx, delivery: Delivery, agency: Agency) -> Ask | None:
    sent = _sent(tx, delivery)
    if not _can_ask(agency, sent):
        deliveries.let_go(tx, delivery, None)
        settle.release(tx, deliveries.lock(tx, delivery.id))
        return None
    held = deliveries.take(tx, delivery, hold_for=room.settings.lease)
    return Ask(held, agency, sent) if held else None


def _can_ask(agency: Agency, sent: sdk.Sent) -> bool:
    return type(agency.adapter).ask is not sdk.Adapter.ask and agency.adapter.ask(sent) is not None


def _sent(tx: Tx, delivery: Delivery) -> sdk.Sent:
    """The trace of what was sent; of a withdrawal, of the referral it takes back."""
    original = deliveries.lock(tx, delivery.of) if delivery.of else delivery
    return sdk.Sent(original.id, original.created_at, delivery.id, deliveries.reference(tx, original))


def _exchange(room: PostRoom, stage: Send | Ask) -> sdk.Outcome | sdk.Answer | settle.Unmade:
    """Translate, send, read. The adapter's mistakes and the network's become outcomes."""
    try:
        request = stage.request()
    except Exception as error:  # an adapter is code we did not write
        log.error("adapter failed", adapter=stage.agency.settings.adapter, delivery=stage.delivery.id, exc_info=error)
        return settle.Unmade("adapter_error")
    if request is None:
        return settle.Unmade("withdraw_by_hand")
    try:
        reply = wire.send(request, room.target(stage.agency))
    except NotSent as error:
        return sdk.Unavailable(error.code)
    except MaybeSent as error:
        return sdk.Uncertain(error.code)
    try:
        return stage.read(reply)
    except Exception as error:
        log.warning(
            "reply unreadable", adapter=stage.agency.settings.adapter, delivery=stage.delivery.id, exc_info=error
        )
        return sdk.Uncertain("unreadable")
