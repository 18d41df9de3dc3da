"""What is held behind a delivery until that is settled: a withdrawal must not overtake its referral."""

from gateway_sdk import Status

from gateway.policy.lifecycle import MAY_HAVE_IT, UNDELIVERED, Move, State
from gateway.store import deliveries
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx


def holds(delivery: Delivery) -> bool:
    """Whether what follows *delivery* has to wait. One that nobody can resolve (asking, without a next time) is not waited for."""
    unresolved = delivery.state is State.ASKING and delivery.due_at is None
    return delivery.state in UNDELIVERED and not unresolved


def release(tx: Tx, delivery: Delivery) -> None:
    """Let go what was held until *delivery* was settled: a withdrawal follows a referral that arrived, else it has no aim.

    For whoever moves a delivery so that it may be settled.
    """
    if holds(delivery):
        return
    for held in deliveries.waiting_for(tx, delivery.id):
        if delivery.state in MAY_HAVE_IT:
            deliveries.move(tx, held, Move.RELEASE, due_at=tx.now())
        else:
            deliveries.move(tx, held, Move.WITHDRAW, code="nothing_to_take_back", status=Status.WITHDRAWN)
