"""What follows a referral to its agency: updates, messages and withdrawals, one after another, none before the referral."""

from gateway_sdk import Status

from gateway.policy.lifecycle import FINAL, UNDELIVERED, Move, State
from gateway.store import deliveries
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

NOT_LEFT = frozenset({State.HELD, State.WAITING, State.QUEUED, State.DEAD})


def take_back(tx: Tx, delivery: Delivery, *, by: str) -> None:
    """Stop a referral that has not left, and its updates; let a withdrawal follow one that has, or may have."""
    first, followers = deliveries.line(tx, delivery.of or delivery.id)
    for one in (first, *followers):
        if one.kind != "withdrawal" and (one.state in NOT_LEFT or unopened(one)):
            deliveries.move(tx, one, Move.WITHDRAW, by=by, code="consent_withdrawn", status=Status.WITHDRAWN)
    if not may_have_it(first) or _leaving(followers):
        return
    if first.state not in NOT_LEFT and first.status not in FINAL:
        deliveries.set_status(tx, first, Status.CANCELLATION_REQUESTED, reason=None, at=tx.now(), by=by)
    _queue(tx, first, "withdrawal")


def bring_up_to_date(tx: Tx, delivery: Delivery) -> None:
    """The agency is to have other data than it has, or may have: let an update follow. What has not left is read anew."""
    first, followers = deliveries.line(tx, delivery.id)
    for one in (first, *followers):
        if one.state is State.QUEUED and one.kind != "withdrawal":  # who holds it may have read what was
            deliveries.put_move(tx, one, Move.DEFER, due_at=tx.now())
    if may_have_it(first) and not _leaving(followers) and not any(map(_read_when_opened, followers)):
        _queue(tx, first, "update")


def unopened(delivery: Delivery) -> bool:
    """Whether it is a task whose sheet nobody has opened."""
    return delivery.state is State.TASK and delivery.seen_at is None


def may_have_it(first: Delivery) -> bool:
    """Whether the agency of a referral's delivery has it, or may, and has not taken a withdrawal of it."""
    opened = first.state is State.TASK and not unopened(first)
    return (first.may_be_there or opened) and first.status is not Status.WITHDRAWN


def is_taken_back(tx: Tx, delivery: Delivery) -> bool:
    """Whether a withdrawal of the referral that *delivery* follows is on its way, or a task for somebody."""
    return _leaving(deliveries.line(tx, delivery.of or delivery.id)[1])


def _read_when_opened(delivery: Delivery) -> bool:
    """Whether it is an update that carries all that is true when a person looks."""
    return delivery.kind == "update" and unopened(delivery)


def holds(delivery: Delivery, kind: str) -> bool:
    """Whether one of this *kind* that comes after *delivery* has to wait for it.

    Not for one that is held itself, nor for one that nobody can resolve (asking, without a next time); and an update or a
    withdrawal not for a task about the same referral whose sheet nobody has opened: she is not safe until a person has time.
    """
    unresolved = delivery.state is State.ASKING and delivery.due_at is None
    passed_by = kind != "message" and delivery.of is not None and unopened(delivery)
    return delivery.state in UNDELIVERED - {State.HELD} and not (unresolved or passed_by)


def release(tx: Tx, delivery: Delivery) -> None:
    """*delivery* is settled: let go the next of its line, or, if the referral never arrived, call off all of it.

    For whoever moves a delivery so that it may be settled.
    """
    first, followers = deliveries.line(tx, delivery.of or delivery.id)
    held = [one for one in followers if one.state is State.HELD]
    free = [one for one in held if not any(holds(other, one.kind) for other in (first, *followers))]
    if first.may_be_there:
        for one in free[:1]:
            deliveries.move(tx, one, Move.RELEASE, due_at=tx.now())
    else:
        for one in free:
            deliveries.move(tx, one, Move.WITHDRAW, code="nothing_to_take_back", status=Status.WITHDRAWN)


def speak(tx: Tx, delivery: Delivery) -> str | None:
    """Let a message follow a referral: the id of its delivery. None: its agency has not got it, and will not, or no longer."""
    first, followers = deliveries.line(tx, delivery.id)
    if first.status is Status.WITHDRAWN or _leaving(followers):
        return None
    return _queue(tx, first, "message") if first.may_be_there or first.state in UNDELIVERED else None


def _queue(tx: Tx, first: Delivery, kind: str) -> str:
    """One more in the line of *first*, every one of which is locked; its id."""
    first, followers = deliveries.line(tx, first.id)
    assert first.referral is not None, "an event is followed by nothing"
    held = any(holds(one, kind) for one in (first, *followers))
    to = {first.agency: first.purpose}
    made = deliveries.queue(tx, first.referral, hub=first.hub, to=to, kind=kind, of=first.id, held=held)
    return made[first.agency]


def _leaving(followers: list[Delivery]) -> bool:
    """Whether a withdrawal is on its way, or a task for somebody."""
    return any(one.kind == "withdrawal" and one.state is not State.WITHDRAWN for one in followers)
