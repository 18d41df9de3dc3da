"""One attempt, start to finish: begin under the token, make the request, send it, settle what came of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

import gateway_sdk as sdk

from gateway import hub, logs, telemetry, wire
from gateway.errors import MaybeSent, NotSent, Sealed
from gateway.plugins import Agency
from gateway.policy import minimise
from gateway.policy.consent import Basis, Grant, WhyNot
from gateway.policy.lifecycle import Move, State
from gateway.store import attempts, deliveries, directory, messages
from gateway.store.attempts import Look
from gateway.store.audit import Deed
from gateway.store.deliveries import Delivery
from gateway.store.directory import Directory
from gateway.store.messages import Message
from gateway.store.referrals import SealedReferral
from gateway.store.session import StoreUnavailable, Tx
from gateway.vault import Vault

from . import behind, by_hand, settle, sound, standing, trace, webhooks
from .permission import permission
from .room import PostRoom

log = logs.get()

LATE = timedelta(seconds=1)  # before the end of its lease a bell of an agency with calls a minute comes too late
AGAIN = 0.25  # seconds between two attempts to settle while the database is away
AREA_OFF_AGAIN = timedelta(minutes=5)  # when it is looked at again; switching the area on makes it due at once


@dataclass(frozen=True)
class Parcel:
    """A referral that is still sealed, and what of it the agency may be given. *sent*: the one that it updates.

    *places*: of what it is given, once the request is made.
    """

    referral: SealedReferral
    permission: Grant
    sent: sdk.Sent | None = None
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Letter:
    """A hub's message that is still sealed, and the referral that it is about."""

    message: Message
    referral: SealedReferral
    sent: sdk.Sent
    places: tuple[str, ...] = ("/message",)


@dataclass(frozen=True)
class Send:
    """Stage: give the agency a referral, or what changed of one, or a message, or take one back; or tell a hub of an event.

    *content* is the error when the records do not open, and Unmade where a person must tell the agency.
    """

    delivery: Delivery
    agency: Agency
    content: Parcel | Letter | sdk.Sent | hub.Notice | Sealed | settle.Unmade

    def request(self, room: PostRoom) -> sdk.Request | None:
        adapter, content = self.agency.adapter, self.content
        match content:
            case Sealed():
                raise content
            case settle.Unmade():
                return None
            case hub.Notice():
                return content.request()
            case sdk.Sent():
                return adapter.withdraw(content)
            case Letter(message, referral, sent):
                return adapter.message(message.open(referral.key(room.store.vault)), sent)
        whole, granted = content.referral.open(room.store.vault), content.permission
        data = minimise.keep(whole, self.agency.name, adapter.needs, granted.categories)
        content.places.extend(minimise.places(data))
        first = content.sent
        key, at = (first.delivery_key, first.submitted_at) if first else (self.delivery.id, self.delivery.created_at)
        given = sdk.Referral(key, at, data, adapter.needs, granted.basis)
        return adapter.update(given, content.sent) if content.sent else adapter.translate(given)

    def read(self, reply: sdk.Reply) -> sdk.Outcome:
        return sound.outcome(self.agency.adapter.classify(reply))


@dataclass(frozen=True)
class Ask:
    """Stage: ask the agency how a referral stands there."""

    delivery: Delivery
    agency: Agency
    content: sdk.Sent

    def request(self, room: PostRoom) -> sdk.Request | None:
        return self.agency.adapter.ask(self.content)

    def read(self, reply: sdk.Reply) -> sdk.Answer:
        found = sound.answer(self.agency.adapter.read_update(reply))
        if isinstance(found, sdk.Update) and found.delivery_key not in (None, self.content.delivery_key):
            raise sound.Unsound("an answer about another referral")
        return found


def run(room: PostRoom, identifier: str, token: UUID) -> None:
    """Carry out what is due for a delivery. Does nothing unless *token* still holds it.

    The deadline counts from before the lease does: a process that stood still after it took hold of the delivery, and
    goes on when another has long decided what became of it, finds the time over and sends nothing.
    """
    began = time.monotonic()
    stage = begin(room, identifier, token)
    if stage is None:
        return
    with trace.attempt(stage.delivery, began) as span:
        _carry_out(room, stage, began, span)


def _carry_out(room: PostRoom, stage: Send | Ask, began: float, span: telemetry.Span) -> None:
    started = time.monotonic()
    result = _exchange(room, stage, began)
    seconds = time.monotonic() - started
    room.took(stage.agency.name, seconds)
    trace.tell(span, stage.agency, result)
    if isinstance(stage, Send):
        assert not isinstance(result, sdk.Update | sdk.NotFound)
        parcel = stage.content if isinstance(stage.content, Parcel | Letter) else None
        carried = (parcel.referral, parcel.places) if parcel else (None, ())
        settling = partial(settle.outcome, room, stage.delivery, stage.agency, result, seconds, *carried)
    else:
        assert not isinstance(result, sdk.Delivered | sdk.Refused | settle.Unmade)
        settling = partial(settle.answer, room, stage.delivery, stage.agency, result, seconds)
    _insist(settling, until=began + room.settings.lease.total_seconds())


def _insist(settling: Callable[[], None], until: float) -> None:
    """Settle, again and again while the database is away: what came of the attempt is known here and nowhere else.

    To settle twice does no harm: the token is gone. *until*: of time.monotonic(); then it is in doubt.
    """
    while True:
        try:
            return settling()
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN)


def begin(room: PostRoom, identifier: str, token: UUID) -> Send | Ask | None:
    """Take hold of the delivery for its next stage, if *token* still holds it and there is one."""
    look = attempts.look(room.store, identifier, token)
    if look and look.delivery.kind == "event":
        return _tell(room, look.delivery)
    agency = room.agencies.get(look.delivery.agency) if look else None
    if look is None or agency is None:
        return None
    delivery = look.delivery
    if agency.settings.calls_a_minute and delivery.due_at and look.at > delivery.due_at - LATE:
        return None  # its place within the minute may have been given away; it will be rung for again
    trace.tell_the_way(delivery, room.settings.lease, look.at)
    if wait := _not_now(look, agency, directory.kept(room.store)):
        _put_back(room, delivery, wait)
        return None
    return _stage(room, look, agency)


def _stage(room: PostRoom, look: Look, agency: Agency) -> Send | Ask | None:
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
            return _send(room, look, agency, Move.BEGIN, agreed)
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
) -> Send | None:
    """The sending begins with this commit: from then on, whatever dies, the request may have left.

    If her consent changes before it, there is nothing to send: the delivery was stopped by that, or is looked at again.
    """
    granted = agreed if isinstance(agreed, Grant) else None
    with room.store.single() as tx:
        moving = deliveries.put_move(
            tx, look.delivery, verb, hold_for=room.settings.lease, consent=look.agreed,
            deeds=_deeds(look, granted, message) if granted else [],
        )  # fmt: skip
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


def _exchange(room: PostRoom, stage: Send | Ask, began: float) -> sdk.Outcome | sdk.Answer | settle.Unmade:
    """Translate, send, read. The adapter's mistakes and the network's become outcomes."""
    try:
        request = sound.request(stage.request(room))
    except Sealed:
        log.error("record does not open", delivery=stage.delivery.id)
        return settle.Unmade("record_damaged")
    except Exception as error:  # an adapter is code we did not write
        log.error("adapter failed", adapter=stage.agency.settings.adapter, delivery=stage.delivery.id, exc_info=error)
        return settle.Unmade("adapter_error")
    if request is None:
        return settle.Unmade(settle.BY_HAND.get(stage.delivery.kind, "adapter_error"))
    with telemetry.span("wire.send", delivery=stage.delivery.id, agency=stage.agency.name) as span:
        result = _ask_them(room, stage, request, began, trace.headers(span, stage.agency))
        trace.tell(span, stage.agency, result)
        return result


def _ask_them(
    room: PostRoom, stage: Send | Ask, request: sdk.Request, began: float, headers: Mapping[str, str]
) -> sdk.Outcome | sdk.Answer:
    """Send *request* and read what comes back."""
    try:
        reply = wire.send(request, room.target(stage.agency), extra_headers=headers, began=began)
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
