"""The clock's work: find what is due and ring the bell for it."""

from collections.abc import Callable
from uuid import UUID

from gateway import logs
from gateway.policy.lifecycle import Move
from gateway.store import audit, deliveries, events

from .room import PostRoom

log = logs.get()

Bell = Callable[[str, UUID], None]


def tick(room: PostRoom, ring: Bell, most: int = 200) -> int:
    """One round: doubt what was abandoned, claim what is due, ring for each. Returns how many were rung for.

    Claims are committed before the bell: what rings is true, and what the broker loses is
    rung for again when its lease ends.
    """
    _doubt_abandoned(room)
    windows = {agency.name: agency.settings.window for agency in room.agencies.values()}
    with room.store.begin() as tx:
        claimed = deliveries.claim_due(tx, windows, most=most, lease=room.settings.lease)
    for identifier, token in claimed:
        ring(identifier, token)
    with room.store.begin() as tx:
        events.place(tx)
        audit.link(tx)
    return len(claimed)


def _doubt_abandoned(room: PostRoom) -> None:
    with room.store.begin() as tx:
        for delivery in deliveries.abandoned(tx):
            deliveries.move(tx, delivery, Move.DOUBT, code="abandoned", due_at=room.ask_at(delivery.asks, tx.now()))
            log.warning("abandoned", delivery=delivery.id, agency=delivery.agency)
