"""A person at the hub decides about what an agency said against what is recorded."""

from gateway.errors import NotFound
from gateway.policy.lifecycle import FINAL
from gateway.store import audit, contradictions, deliveries
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery

from .room import PostRoom


def decide(room: PostRoom, delivery: str, number: int, caller: Caller, *, believe: bool) -> Delivery:
    """Believe it: its status is the referral's from now on; or not: what stands, stands. Raises NotFound.

    Another reference is not taken over: the one by which callbacks find the referral stays.
    """
    with room.store.begin(hub=caller.hub) as tx:
        found = deliveries.lock(tx, delivery)
        if found.hub != caller.hub:
            raise NotFound(f"there is no delivery {delivery}")
        said = next((one for one in contradictions.open_of(tx, [found.id]) if one.id == number), None)
        if said is None:
            raise NotFound(f"delivery {delivery} has no contradiction {number} that is open")
        verb = "believe" if believe else "dismiss"
        audit.write(tx, caller.actor, f"delivery.contradiction.{verb}", found.id, status=said.status)
        if believe and said.status:
            deliveries.set_status(tx, found, said.status, reason=said.reason, at=tx.now(), by=caller.actor)
            contradictions.settle_status(tx, found)
            if said.status in FINAL:
                deliveries.stop_polling(tx, found.id)
        contradictions.settle(tx, said)
        return deliveries.get(tx, found.id)
