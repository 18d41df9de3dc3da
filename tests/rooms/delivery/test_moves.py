"""A move: what it counts and forgets, by which schedules go and what people are shown; and what it leaves alone."""

import pytest
from gateway_sdk import Status

from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store import deliveries
from gateway.store.deliveries import Delivery
from gateway.store.session import StoreUnavailable

from .test_round import in_order, submit

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


def sent(room: PostRoom) -> Delivery:
    """A referral that is being sent."""
    submit(room, "GLA-1")
    outbox.tick(room, lambda bundle: None)
    with room.store.begin() as tx:
        begun = deliveries.move(tx, deliveries.get(tx, in_order(room)[-1]), Move.BEGIN, hold_for=room.settings.lease)
    assert begun is not None
    return begun


def test_nobody_moves_what_another_holds(room: PostRoom) -> None:
    held = sent(room)
    with room.store.begin() as tx:
        tx.put("UPDATE deliveries SET token = gen_random_uuid()")
        written = tx.one("SELECT count(*) AS n FROM audit")
        assert deliveries.move(tx, held, Move.DELIVER, code="late") is None
        assert tx.one("SELECT count(*) AS n FROM audit") == written
        assert not tx.all("SELECT id FROM events WHERE type = 'delivery.state'")
        assert deliveries.get(tx, held.id).state is State.SENDING


def test_a_reference_belongs_to_the_first_that_has_it(room: PostRoom) -> None:
    """An agency that gives two of them the same one is not believed: an answer must be about one of them."""
    found = []
    for held in (sent(room), sent(room)):
        with room.store.begin() as tx:
            moved = deliveries.move(tx, held, Move.DELIVER, reference="CASE-1")
            assert moved is not None
            found.append((deliveries.reference(tx, moved), moved.reference_index is not None))
    assert found == [("CASE-1", True), (None, False)]


def change(room: PostRoom) -> None:
    with room.store.begin() as tx:
        tx.put("SET LOCAL lock_timeout = '0.2s'")
        tx.run("UPDATE consents SET version = version + 1")


def test_her_consent_stays_as_it_is_until_the_sending_has_begun(room: PostRoom) -> None:
    """Whoever changes it meanwhile waits, and finds that it was sent: nothing is sent as it was agreed to before."""
    agreed = submit(room, "GLA-1")
    outbox.tick(room, lambda bundle: None)
    with room.store.begin() as tx:
        queued = deliveries.get(tx, in_order(room)[-1])
        assert deliveries.move(tx, queued, Move.BEGIN, hold_for=room.settings.lease, consent=(agreed, 1))
        with pytest.raises(StoreUnavailable):  # tired of waiting
            change(room)


def test_when_a_status_came_is_kept(room: PostRoom) -> None:
    held = sent(room)
    assert held.status_at is None
    with room.store.begin() as tx:
        moved = deliveries.move(tx, held, Move.DELIVER, status=Status.SENT)
        assert moved is not None
        assert moved.status is Status.SENT
        assert tx.one("SELECT now() AS at") == {"at": moved.status_at}


def test_what_has_moved_on_is_not_moved_again(room: PostRoom) -> None:
    submit(room, "GLA-1")
    with room.store.begin() as tx:
        tx.put("UPDATE deliveries SET state = 'dead', due_at = NULL")
        dead = deliveries.get(tx, in_order(room)[-1])
        assert [bool(deliveries.move(tx, dead, Move.REPLAY)) for _ in range(2)] == [True, False]
