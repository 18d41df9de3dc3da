"""Positions have no gaps and follow the ids, whatever plan the database makes for giving them."""

from gateway.store import events
from gateway.store.session import Store


def test_positions_have_no_gaps_when_the_database_expects_one_event_and_finds_many(store: Store) -> None:
    with store.begin() as tx:
        events.write(tx, "referral.accepted", hub="glasgow-hub")
        tx.run("ANALYZE events")
        for _ in range(5):
            events.write(tx, "referral.accepted", hub="glasgow-hub")
    with store.begin() as tx:
        events.place(tx)
        assert [event["position"] for event in events.after(tx, "glasgow-hub", 0, 100)] == [1, 2, 3, 4, 5, 6]
