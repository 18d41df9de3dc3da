"""Outcome in, move out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import gateway_sdk as sdk

from gateway import logs
from gateway.plugins import Agency
from gateway.policy.consent import WhyNot
from gateway.policy.lifecycle import Move, State
from gateway.policy.troubles import Phase
from gateway.store import attempts, deliveries, health
from gateway.store.contradictions import Source
from gateway.store.deliveries import Attempt, Delivery, Moving
from gateway.store.referrals import SealedReferral
from gateway.store.session import Tx
from gateway.vault import DataKey

from . import alerts, behind, codes, feedback, permission, webhooks
from .room import PostRoom

log = logs.get()

BY_HAND = {"update": "update_by_hand", "message": "message_by_hand", "withdrawal": "withdraw_by_hand"}
"""Codes of what its adapter makes no request of: somebody tells the agency."""


@dataclass(frozen=True)
class Unmade:
    """No request could be made, so nothing was sent and trying again would not help."""

    code: str


KINDS = (sdk.Delivered, sdk.Refused, sdk.Unavailable, sdk.Uncertain, sdk.Update, sdk.NotFound, Unmade)


def told(agency: Agency, result: sdk.Outcome | sdk.Answer | Unmade) -> tuple[str, str | None]:
    """*result* in words of closed lists: what it is, and its code."""
    kind = next(kind for kind in KINDS if isinstance(result, kind))
    if isinstance(result, sdk.Delivered | sdk.Update | sdk.NotFound):
        return kind.__name__.lower(), None
    return kind.__name__.lower(), codes.allowed(agency, result.code)


@dataclass
class Outcome:
    """What came of sending a delivery, and not settled yet. *key*: of the referral that it carried, if it did.

    The token may have been lost meanwhile: the lease ended, and the delivery is doubted. A late
    answer about that very delivery still counts; anything else is only noted.
    """

    room: PostRoom
    sent: Delivery
    agency: Agency
    result: sdk.Outcome | Unmade
    made: Attempt
    key: DataKey | None
    moving: Moving | None = None

    @property
    def simple(self) -> bool:
        """Whether one statement settles it, if nothing happened meanwhile: the agency has the referral."""
        fresh = self.sent.status is sdk.Status.RECEIVED and not self.sent.of
        return isinstance(self.result, sdk.Delivered) and self.key is not None and fresh

    def put(self, tx: Tx) -> Moving:
        """Settle a simple one in *tx*, beside something else. It is *moving* once that is committed."""
        assert isinstance(self.result, sdk.Delivered)
        until = self.sent.updated_at + timedelta(seconds=self.made.seconds)
        return deliveries.put_move(
            tx, self.sent, Move.DELIVER, status=sdk.Status.SENT, reference=self.result.reference, key=self.key,
            due_at=self.room.poll_at(self.agency, 0, self.sent.created_at, until), after_attempt=self.made,
        )  # fmt: skip

    def settle(self) -> None:
        """Record it and move the delivery on, as far as that was not done beside something else."""
        if self.simple and self.moving is None:
            with self.room.store.single() as tx:
                moving = self.put(tx)
            self.moving = moving
        if self.moving is None or not self.moving.happened():
            _move_on(self.room, self.sent, self.agency, self.result, self.made)
        log.info(
            "attempt", delivery=self.sent.id, agency=self.agency.name, outcome=self.made.outcome, code=self.made.code
        )


def outcome(
    room: PostRoom,
    sent: Delivery,
    agency: Agency,
    result: sdk.Outcome | Unmade,
    seconds: float,
    referral: SealedReferral | None = None,
    places: Sequence[str] = (),
) -> Outcome:
    """What a sending that took *seconds* came to, to be settled. *referral*, *places*: what it carried, if it did."""
    key = referral.key(room.store.vault) if referral and places else None
    fields = deliveries.seal_fields(key, sent, places) if key else None
    made = Attempt("send", *told(agency, result), seconds, sent.attempts, fields)
    return Outcome(room, sent, agency, result, made, key)


def _move_on(room: PostRoom, sent: Delivery, agency: Agency, result: sdk.Outcome | Unmade, made: Attempt) -> None:
    code = made.code
    with room.store.begin() as tx:
        found = attempts.note(tx, sent, made)
        _note_health(room, tx, agency, result, found.down)
        delivery = found.delivery
        if delivery.kind == "event" and not isinstance(result, Unmade):
            result = webhooks.told(room, tx, delivery, result)
        if delivery.token != sent.token and delivery.state is not State.ASKING:
            log.warning("late outcome", delivery=sent.id, agency=agency.name, state=delivery.state)
            return
        match result:
            case sdk.Delivered(reference):
                delivered(room, tx, delivery, agency, reference, found.now)
            case sdk.Refused():
                status = sdk.Status.DECLINED if delivery.kind == "referral" else None
                deliveries.put_move(tx, delivery, Move.REFUSE, code=code, status=status)
            case Unmade() if code in BY_HAND.values() and delivery.state is State.SENDING:
                due = found.now + agency.settings.remind_after
                deliveries.put_move(tx, delivery, Move.HAND, code=code, due_at=due)
            case _ if delivery.state is State.SENDING:
                _failed(room, tx, delivery, result, code, found.now)
        if found.held:
            behind.release(tx, sent)


def delivered(
    room: PostRoom,
    tx: Tx,
    delivery: Delivery,
    agency: Agency,
    reference: str | None,
    now: datetime,
    *,
    by: str = "gateway",
    code: str | None = None,
) -> None:
    """The agency has a locked *delivery*; of a withdrawal: it knows."""
    if delivery.of:
        took = sdk.Status.WITHDRAWN if delivery.kind == "withdrawal" else sdk.Status.SENT
        deliveries.put_move(tx, delivery, Move.DELIVER, by=by, status=took, code=code)
        if delivery.kind == "withdrawal":
            feedback.taken_back(tx, deliveries.lock(tx, delivery.of))
        return
    status = sdk.Status.SENT if delivery.status is sdk.Status.RECEIVED else None
    due = room.poll_at(agency, 0, delivery.created_at, now)
    deliveries.put_move(tx, delivery, Move.DELIVER, by=by, code=code, status=status, due_at=due, reference=reference)


def _failed(
    room: PostRoom,
    tx: Tx,
    delivery: Delivery,
    result: sdk.Unavailable | sdk.Uncertain | Unmade,
    code: str | None,
    now: datetime,
) -> None:
    """Try again, give up, or doubt. An attempt that repeats an uncertain one leaves it in doubt, whatever it met."""
    in_doubt = delivery.asks > 0
    if isinstance(result, sdk.Uncertain):
        deliveries.put_move(tx, delivery, Move.DOUBT, code=code, due_at=room.ask_at(delivery.asks, now))
        return
    due = None
    if isinstance(result, sdk.Unavailable):
        failures = delivery.asks if in_doubt else delivery.failures + 1
        due = room.retry_at(failures, now, busy=code == "HTTP 429", retry_after=result.retry_after)
    if in_doubt:
        deliveries.put_move(tx, delivery, Move.DOUBT, code=code, due_at=due)
    else:
        deliveries.put_move(tx, delivery, Move.RETRY if due else Move.EXHAUST, code=code, due_at=due)


def answer(room: PostRoom, asked: Delivery, agency: Agency, result: sdk.Answer, seconds: float) -> None:
    """Record what an agency said when asked, about an uncertain send or for news."""
    made = Attempt("ask" if asked.state is State.ASKING else "poll", *told(agency, result), seconds)
    with room.store.begin() as tx:
        found = attempts.note(tx, asked, made)
        _note_health(room, tx, agency, result, found.down)
        delivery, now = found.delivery, found.now
        if delivery.token != asked.token:
            return
        uncertain = delivery.state is State.ASKING
        if uncertain and isinstance(result, sdk.Unavailable):
            due = room.retry_at(delivery.asks, now, busy=False, retry_after=result.retry_after)
        elif uncertain:
            due = room.ask_at(delivery.asks, now)
        else:
            news = isinstance(result, sdk.Update) and result.status is not delivery.status
            polls = 0 if news else delivery.polls
            due = room.poll_at(agency, polls, delivery.created_at, now, down=isinstance(result, sdk.Unavailable))
        match result:
            case sdk.Update():
                if uncertain:
                    delivered(room, tx, delivery, agency, result.reference, now)
                else:
                    deliveries.let_go(tx, delivery, due)
                feedback.apply(
                    tx, deliveries.lock(tx, delivery.id), result, by=f"agency:{agency.name}", source=Source.POLL
                )
            case sdk.NotFound() if uncertain:
                deliveries.put_move(tx, delivery, Move.RETRY, due_at=now)
            case _:
                deliveries.let_go(tx, delivery, due)
        if found.held:
            behind.release(tx, delivery)


def _note_health(room: PostRoom, tx: Tx, agency: Agency, result: object, down: bool) -> None:
    """What a call says of its agency: that it answers, or that it does not. People are told when an outage begins or ends."""
    if isinstance(result, sdk.Unavailable | sdk.Uncertain):
        if health.failed(tx, agency.name, agency.breaker):
            _tell_people(room, tx, agency, Phase.BEGINS)
            log.error("outage begins", agency=agency.name)
    elif down and not isinstance(result, Unmade) and health.succeeded(tx, agency.name):
        _tell_people(room, tx, agency, Phase.OVER)
        log.warning("outage is over", agency=agency.name)


def _tell_people(room: PostRoom, tx: Tx, agency: Agency, phase: Phase) -> None:
    """Of an agency's outage; a webhook's is its hub's, who sees it there."""
    if not agency.outside:
        alerts.outage(room, tx, agency.name, phase)


def consent_ended(tx: Tx, delivery: Delivery, why: WhyNot) -> None:
    """Stop a delivery that was about to be sent: she does not agree, or no longer."""
    code = permission.code(why)
    stopped = deliveries.move(tx, delivery, Move.WITHDRAW, code=code, status=sdk.Status.WITHDRAWN)
    if stopped:
        behind.release(tx, stopped)
    log.info("stopped", delivery=delivery.id, agency=delivery.agency, code=code)
