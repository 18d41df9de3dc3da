"""What people decide: to withdraw consent, to send again, to confirm that an agency has it."""

from gateway_sdk import Status

from gateway.errors import Conflict, ConsentMissing, NotFound
from gateway.policy.lifecycle import FINAL, Illegal, Move, State, after
from gateway.store import consents, deliveries, health, selections
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import behind, codes
from .replay import held_back
from .room import PostRoom

STOPPED = frozenset({State.HELD, State.WAITING, State.QUEUED, State.DEAD})


def withdraw_consent(room: PostRoom, consent: str, caller: Caller) -> list[Delivery]:
    """She withdrew: stop what has not left, and tell every agency that has, or may have, her referral.

    Returns the deliveries that rest on the consent, as they stand now. Raises NotFound.
    """
    with room.store.begin() as tx:
        if consents.withdraw(tx, consent, hub=caller.hub):
            for delivery in deliveries.of_consent(tx, consent):
                take_back(tx, delivery, caller)
        return deliveries.of_consent(tx, consent)


def take_back(tx: Tx, delivery: Delivery, caller: Caller) -> None:
    """Stop a locked *delivery*, or tell its agency that she withdrew."""
    if delivery.state in STOPPED or (delivery.state is State.TASK and not delivery.seen_at):
        deliveries.move(tx, delivery, Move.WITHDRAW, by=caller.actor, code="consent_withdrawn", status=Status.WITHDRAWN)
    elif delivery.state not in (State.REFUSED, State.WITHDRAWN) and delivery.status not in FINAL:
        assert delivery.referral is not None, "it rests on a consent"
        deliveries.set_status(tx, delivery, Status.CANCELLATION_REQUESTED, reason=None, at=tx.now(), by=caller.actor)
        deliveries.queue(
            tx, delivery.referral, hub=delivery.hub, to={delivery.agency: delivery.purpose},
            kind="withdrawal", of=delivery.id, held=behind.holds(delivery),
        )  # fmt: skip


def pause(room: PostRoom, agency: str, *, by: str, reason: str) -> None:
    """Send nothing more to *agency* until it is resumed. Raises NotFound."""
    _known(room, agency)
    with room.store.begin() as tx:
        health.pause(tx, agency, by=by, reason=reason)


def resume(room: PostRoom, agency: str, *, by: str, reason: str) -> None:
    """Go on with *agency*: what waits is sent; nothing that ended is started again. Raises NotFound."""
    _known(room, agency)
    with room.store.begin() as tx:
        health.resume(tx, agency, by=by, reason=reason)


def _known(room: PostRoom, agency: str) -> None:
    if agency not in room.agencies:
        raise NotFound(f"no agency {agency} is configured; there are {', '.join(room.agencies) or 'none'}")


def replay(room: PostRoom, identifier: str, *, by: str, reason: str, dry_run: bool = False) -> Delivery:
    """Send a dead, refused or uncertain delivery again, under its same key; consent is checked now and when it is sent.

    *reason* is a person's words and is kept in the audit: no personal data in it. Raises NotFound, Conflict,
    ConsentMissing.
    """
    return _decide(room, identifier, Move.REPLAY, by=by, reason=reason, dry_run=dry_run)


def confirm(room: PostRoom, identifier: str, *, by: str, reason: str, dry_run: bool = False) -> Delivery:
    """A person found out that the agency has an uncertain delivery. Raises NotFound, Conflict."""
    return _decide(room, identifier, Move.CONFIRM, by=by, reason=reason, dry_run=dry_run)


def _decide(room: PostRoom, identifier: str, verb: Move, *, by: str, reason: str, dry_run: bool) -> Delivery:
    with room.store.begin() as tx:
        why = held_back(room, tx, selections.only(tx, identifier)) if verb is Move.REPLAY else {}
        delivery = deliveries.lock(tx, identifier)
        try:
            after(delivery.state, verb)
        except Illegal:
            raise Conflict(f"{identifier} is {delivery.state}: there is nothing to {verb}") from None
        if code := why.get(identifier):
            problem = ConsentMissing if code.startswith("consent_") else Conflict
            raise problem(f"{identifier} is not sent again: {codes.meaning(None, code)}", code=code)
        if dry_run:
            return delivery
        status = {Move.REPLAY: Status.RECEIVED, Move.CONFIRM: Status.SENT}[verb]
        moved = deliveries.move(
            tx, delivery, verb, by=by, due_at=tx.now() if verb is Move.REPLAY else None, status=status, reason=reason
        )
        assert moved is not None, "it is locked"
        behind.release(tx, moved)
        return moved
