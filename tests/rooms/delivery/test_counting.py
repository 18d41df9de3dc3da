"""What a move counts, and what it forgets: the schedules and what people are shown go by it."""

import pytest

from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store import deliveries

from .test_round import submit

BEFORE = {"attempts": 5, "failures": 3, "asks": 2, "doubted": False}
COUNTED = {
    (State.QUEUED, Move.BEGIN): {"attempts": 6},
    (State.ASKING, Move.REPEAT): {"attempts": 6, "asks": 3},
    (State.SENDING, Move.RETRY): {"failures": 4, "asks": 0},
    (State.ASKING, Move.RETRY): {"failures": 4, "asks": 0},
    (State.SENDING, Move.EXHAUST): {"failures": 4},
    (State.SENDING, Move.DOUBT): {"doubted": True},
    (State.ASKING, Move.REPLAY): {"failures": 0, "asks": 0},
    (State.DEAD, Move.REPLAY): {"failures": 0, "asks": 0},
    (State.REFUSED, Move.REPLAY): {"failures": 0, "asks": 0},
}


@pytest.mark.parametrize(("state", "verb"), sorted(DELIVERY))
def test_a_move_counts_what_it_is_and_nothing_else(room: PostRoom, state: State, verb: Move) -> None:
    submit(room, "GLA-1")
    outbox.tick(room, lambda bundle: None)
    with room.store.begin() as tx:
        tx.put(
            "UPDATE deliveries SET state = %(state)s, attempts = %(attempts)s, failures = %(failures)s, asks = %(asks)s",
            {"state": state, **BEFORE},
        )
        before = tx.one("SELECT id FROM deliveries")
        assert before is not None
        moved = deliveries.move(tx, deliveries.get(tx, before["id"]), verb)
    assert moved is not None
    assert {name: getattr(moved, name) for name in BEFORE} == BEFORE | COUNTED.get((state, verb), {})


def test_what_an_agency_does_not_have_is_doubted_no_more(room: PostRoom) -> None:
    submit(room, "GLA-1")
    with room.store.begin() as tx:
        row = tx.one("UPDATE deliveries SET state = 'asking', doubted = true RETURNING id")
        assert row is not None
        moved = deliveries.move(tx, deliveries.get(tx, row["id"]), Move.RETRY)
    assert moved is not None
    assert not moved.doubted
