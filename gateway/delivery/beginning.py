"""The beginning of an attempt: under the token of who holds the delivery, and only while she agrees."""

from dataclasses import dataclass
from datetime import timedelta

import gateway_sdk as sdk

from gateway import logs
from gateway.errors import Sealed
from gateway.plugins import Agency
from gateway.policy.consent import Basis, Grant, WhyNot
from gateway.policy.lifecycle import Move, State
from gateway.store import deliveries, directory, messages
from gateway.store.attempts import Look
from gateway.store.audit import Deed
from gateway.store.deliveries import Delivery
from gateway.store.directory import Directory
from gateway.store.messages import Message
from gateway.store.session import Tx
from gateway.vault import Vault

from . import behind, by_hand, settle, standing, trace, webhooks
from .permission import permission
from .room import PostRoom
from .settle import Outcome
from .stages import Ask, Letter, Parcel, Send

log = logs.get()

LATE = timedelta(seconds=1)  # before the end of its lease a bell of an agency with calls a minute comes too late
AREA_OFF_AGAIN = timedelta(minutes=5)  # when it is looked at again; switching the area on makes it due at once


def begin(room: PostRoom, look: Look, beside: Outcome | None = None) -> Send | Ask | None:
    """Take hold of a delivery for its next stage, if there is one and the token of the *look* still holds it.

    *beside*: what came of another one before, and is simple: settled in the same commit if that is possible; then it is
    moving.
    """
    if look.delivery.kind == "event":
        return _tell(room, look.delivery)
    delivery, agency = look.delivery, room.agencies.get(look.delivery.agency)
    if agency is None:
        return None
    if agency.settings.calls_a_minute and delivery.due_at and look.at > delivery.due_at - LATE:
        return None  # its place within the minute may have been given away; it will be rung for again
    trace.tell_the_way(delivery, room.settings.lease, look.at)
    if wait := _not_now(look, agency, directory.kept(room.store)):
        _put_back(room, delivery, wait)
        return None
    return _stage(room, look, agency, beside)


def _stage(room: PostRoom, look: Look, agency: Agency, beside: Outcome | None) -> Send | Ask | None:
    """The next stage of a held delivery that may go on now. What needs no exchange is done here: None."""
    delivery = look.delivery
    agreed = _permission(room.store.vault, look, agency) if delivery.kind != "withdrawal" else None
    match delivery.state:
        case State.QUEUED if isinstance(agreed, WhyNot) and delivery.kind in ("referral", "message"):
            _stop(room, delivery, agreed)
            return None
        case State.TASK:
            by_hand.carry_on(room, look, agency)
            return None
        case State.QUEUED if agency.settings.by_hand and isinstance(agreed, Grant | None):
            by_hand.carry_on(room, look, agency)
            return None
        case State.QUEUED | State.ASKING if delivery.kind == "update" and agreed is not None:
            return _send_update(room, look, agency, agreed)
        case State.QUEUED | State.ASKING if delivery.kind == "message" and agreed is not None:
            return _send_message(room, look, agency, agreed)
        case State.QUEUED if isinstance(agreed, Grant | Sealed):
            return _send(room, look, agency, Move.BEGIN, agreed, beside=beside)
        case State.ASKING if agency.adapter.idempotent and isinstance(agreed, Grant):
            return _send(room, look, agency, Move.REPEAT, agreed)
        case State.QUEUED | State.ASKING if delivery.kind == "withdrawal":
            return _take_back(room, delivery, agency)
        case State.ASKING | State.DELIVERED:
            return _ask(room, delivery, agency)
        case _:
            return None


@dataclass(frozen=True)
class Wait:
    """Not now. *code*: why, if nothing else says so. *pause*: when to look again."""

    pause: timedelta
    code: str | None = None


def _not_now(look: Look, agency: Agency, listed: Directory | None) -> Wait | None:
    """Whether the next stage has to wait. Questions and withdrawals go out whatever the phase of the roll-out."""
    delivery = look.delivery
    if standing.of(agency, look.health, look.at, listed).stop(look.urgency, claimed=True):
        return Wait(timedelta(0))
    again = delivery.state is State.ASKING and agency.adapter.idempotent
    would_send = (
        delivery.kind == "referral" and (delivery.state is State.QUEUED or again)
    ) or delivery.kind == "message"
    return Wait(AREA_OFF_AGAIN, "area_off") if look.area_off and would_send else None


def _put_back(room: PostRoom, delivery: Delivery, wait: Wait) -> None:
    """Leave the delivery for later, with no attempt counted."""
    with room.store.begin() as tx:
        due = tx.now() + wait.pause
        if delivery.state is State.QUEUED:
            deliveries.put_move(tx, delivery, Move.DEFER, code=wait.code, due_at=due)
        else:
            deliveries.let_go(tx, delivery, due)


def _stop(room: PostRoom, delivery: Delivery, why: WhyNot) -> None:
    with room.store.begin() as tx:
        settle.consent_ended(tx, delivery, why)


def _permission(vault: Vault, look: Look, agency: Agency) -> Grant | WhyNot | Sealed:
    """What she agrees to at this instant, by the database's clock."""
    try:
        stored = look.consent(vault)
    except Sealed as error:
        return error
    return permission(stored.consent, agency, look.delivery.purpose, look.at, kind=look.delivery.kind)


def _send(
    room: PostRoom,
    look: Look,
    agency: Agency,
    verb: Move,
    agreed: Grant | Sealed | settle.Unmade,
    sent: sdk.Sent | None = None,
    message: Message | None = None,
    beside: Outcome | None = None,
) -> Send | None:
    """The sending begins with this commit: from then on, whatever dies, the request may have left.

    If her consent changes before it, there is nothing to send: the delivery was stopped by that, or is looked at again.
    Locks are taken in everybody's order, her consent before any delivery: so what is *beside* it comes second.
    """
    granted = agreed if isinstance(agreed, Grant) else None
    with room.store.single() as tx:
        moving = deliveries.put_move(
            tx, look.delivery, verb, hold_for=room.settings.lease, consent=look.agreed,
            deeds=_deeds(look, granted, message) if granted else [],
        )  # fmt: skip
        settling = beside.put(tx) if beside else None
    if beside:
        beside.moving = settling
    held = moving.result()
    if held and granted and granted.basis is not Basis.CONSENT:
        log.warning("sent without consent", delivery=held.id, agency=agency.name, kind=granted.basis)
    if held is None:
        return None
    if not isinstance(agreed, Grant):
        return Send(held, agency, agreed)
    letter = Letter(message, look.referral, sent) if message and sent else None
    return Send(held, agency, letter or Parcel(look.referral, agreed, sent))


def _deeds(look: Look, granted: Grant, message: Message | None) -> list[Deed]:
    """What is done by sending: referral or message is opened, and, rarely, sent on another basis than consent."""
    action, opened = ("message.open", message.id) if message else ("referral.open", look.referral.id)
    deeds = [Deed("gateway", action, opened, {"because": f"send to {granted.agency}"})]
    if granted.basis is not Basis.CONSENT:
        detail = {"basis": granted.basis, "agency": granted.agency, "record": look.referral.consent}
        deeds.append(Deed("gateway", "lawful-basis.send", look.referral.id, detail))
    return deeds


def _send_update(room: PostRoom, look: Look, agency: Agency, agreed: Grant | WhyNot | Sealed) -> Send | None:
    """Tell the agency how the referral is now; in doubt again, for the same told twice does no harm.

    When she agrees to nothing any more, somebody else must tell it that what it has is out of date; after a
    withdrawal there is nothing to tell.
    """
    delivery = look.delivery
    if agreed is WhyNot.WITHDRAWN:
        _stop(room, delivery, agreed)
        return None
    verb = Move.BEGIN if delivery.state is State.QUEUED else Move.REPEAT
    if isinstance(agreed, WhyNot):
        return _send(room, look, agency, verb, settle.Unmade("update_by_hand"))
    if isinstance(agreed, Sealed):
        return _send(room, look, agency, verb, agreed)
    with room.store.begin() as tx:
        sent = _sent(tx, delivery)
    return _send(room, look, agency, verb, agreed, sent)


def _send_message(room: PostRoom, look: Look, agency: Agency, agreed: Grant | WhyNot | Sealed) -> Send | None:
    """Tell the agency what the hub says; in doubt again, under the same key.

    When she agrees no more, one in doubt is not repeated: after a withdrawal there is nothing to find out, else
    somebody else must.
    """
    delivery = look.delivery
    if agreed is WhyNot.WITHDRAWN:
        _stop(room, delivery, agreed)
        return None
    with room.store.begin() as tx:
        if isinstance(agreed, WhyNot):
            deliveries.let_go(tx, delivery, None)
            behind.release(tx, delivery)
            return None
        message, sent = messages.carried(tx, delivery.id), _sent(tx, delivery)
    verb = Move.BEGIN if delivery.state is State.QUEUED else Move.REPEAT
    return _send(room, look, agency, verb, agreed, sent, message)


def _take_back(room: PostRoom, delivery: Delivery, agency: Agency) -> Send | None:
    verb = Move.BEGIN if delivery.state is State.QUEUED else Move.REPEAT
    with room.store.begin() as tx:
        sent = _sent(tx, delivery)
        held = deliveries.move(tx, delivery, verb, hold_for=room.settings.lease)
    return Send(held, agency, sent) if held else None


def _tell(room: PostRoom, delivery: Delivery) -> Send | None:
    """An event for a hub's webhook. It holds no personal data, so no consent is asked."""
    with room.store.begin() as tx:
        found = webhooks.notice(room, tx, delivery)
        held = deliveries.move(tx, delivery, Move.BEGIN, hold_for=room.settings.lease) if found else None
    return Send(held, room.webhook(found[0]), found[1]) if found and held else None


def _ask(room: PostRoom, delivery: Delivery, agency: Agency) -> Ask | None:
    with room.store.begin() as tx:
        sent = _sent(tx, delivery)
        if _can_ask(agency, sent):
            held = deliveries.take(tx, delivery, hold_for=room.settings.lease)
            return Ask(held, agency, sent) if held else None
        deliveries.let_go(tx, delivery, None)
        behind.release(tx, delivery)
        return None


def _can_ask(agency: Agency, sent: sdk.Sent) -> bool:
    return type(agency.adapter).ask is not sdk.Adapter.ask and agency.adapter.ask(sent) is not None


def _sent(tx: Tx, delivery: Delivery) -> sdk.Sent:
    """The trace of what was sent; of what follows a referral, of that."""
    original = deliveries.get(tx, delivery.of) if delivery.of else delivery
    return sdk.Sent(original.id, original.created_at, delivery.id, deliveries.reference(tx, original))
