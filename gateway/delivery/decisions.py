"""What people decide about deliveries: to send again, to confirm that an agency has it, to pause one."""

from gateway_sdk import Status

from gateway.errors import Conflict, ConsentMissing, NotFound
from gateway.policy.lifecycle import Illegal, Move, after
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
        took = Status.WITHDRAWN if delivery.kind == "withdrawal" else Status.SENT
        status = {Move.REPLAY: Status.RECEIVED, Move.CONFIRM: took}[verb]
        moved = deliveries.move(
            tx, delivery, verb, by=by, due_at=tx.now() if verb is Move.REPLAY else None, status=status, reason=reason
        )
        assert moved is not None, "it is locked"
        if delivery.kind == "withdrawal" and delivery.of and verb is Move.CONFIRM:
            feedback.taken_back(tx, deliveries.lock(tx, delivery.of))
        behind.release(tx, moved)
        return moved
