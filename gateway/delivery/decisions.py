"""What people decide: to send a delivery again, that an agency has it, or was told, or will not do it; to pause an agency."""

from gateway_sdk import Status

from gateway.errors import Conflict, ConsentMissing, NotFound
from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store import deliveries, health, selections
from gateway.store.deliveries import Delivery

from . import behind, codes, feedback
from .replay import held_back
from .room import PostRoom


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
    """A person found out that the agency has it, or told it by hand. Raises NotFound, Conflict."""
    return _decide(room, identifier, Move.CONFIRM, by=by, reason=reason, dry_run=dry_run)


def refuse(room: PostRoom, identifier: str, *, by: str, reason: str, dry_run: bool = False) -> Delivery:
    """A person told the agency, and it will not do it. Raises NotFound, Conflict."""
    return _decide(room, identifier, Move.REFUSE, by=by, reason=reason, dry_run=dry_run)


def open_to(delivery: Delivery) -> frozenset[Move]:
    """What a person may decide about *delivery* now. What her hub gives by hand, the referral itself, is its to record."""
    chosen = {move for move in (Move.REPLAY, Move.CONFIRM) if (delivery.state, move) in DELIVERY}
    if delivery.state is State.TASK:
        chosen = {Move.CONFIRM, Move.REFUSE} if delivery.of else set()
    return frozenset(chosen)


def _decide(room: PostRoom, identifier: str, verb: Move, *, by: str, reason: str, dry_run: bool) -> Delivery:
    with room.store.begin() as tx:
        why = held_back(room, tx, selections.only(tx, identifier)) if verb is Move.REPLAY else {}
        delivery = deliveries.lock(tx, identifier)
        if verb not in open_to(delivery):
            hubs = "; its hub records what becomes of it" if delivery.state is State.TASK else ""
            raise Conflict(f"{identifier} is {delivery.state}: there is nothing to {verb}{hubs}")
        if code := why.get(identifier):
            problem = ConsentMissing if code.startswith("consent_") else Conflict
            raise problem(f"{identifier} is not sent again: {codes.meaning(None, code)}", code=code)
        if dry_run:
            return delivery
        took = Status.WITHDRAWN if delivery.kind == "withdrawal" else Status.SENT
        status = {Move.REPLAY: Status.RECEIVED, Move.CONFIRM: took}.get(verb)
        code = "declined_by_hand" if verb is Move.REFUSE else None
        due = tx.now() if verb is Move.REPLAY else None
        moved = deliveries.move(tx, delivery, verb, by=by, code=code, due_at=due, status=status, reason=reason)
        assert moved is not None, "it is locked"
        if delivery.kind == "withdrawal" and delivery.of and verb is Move.CONFIRM:
            feedback.taken_back(tx, deliveries.lock(tx, delivery.of))
        behind.release(tx, moved)
        return moved
