"""The totals are what the rows say: whatever is written, undone or folded, in whatever order."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.policy.lifecycle import UNDELIVERED
from gateway.store import events, figures
from gateway.store.session import Store

WRITERS = 2
STEPS = st.one_of(
    st.just(("fold", 0, 0.0)),
    st.tuples(st.just("attempt"), st.integers(0, WRITERS - 1), st.floats(0, 4000)),
    st.tuples(st.just("event"), st.integers(0, WRITERS - 1), st.just(0.0)),
    st.tuples(st.sampled_from(["commit", "rollback"]), st.integers(0, WRITERS - 1), st.just(0.0)),
)
ATTEMPT = "INSERT INTO attempts (delivery, agency, kind, outcome, seconds, waited) VALUES ('d', 'a', 'send', 'delivered', %s, %s)"
EVENT = "INSERT INTO events (hub, type, referral) VALUES ('h', 'referral.accepted', 'r')"


def fold(store: Store, times: int = 1) -> None:
    for _ in range(times):
        with store.begin() as tx:
            events.place(tx)
            figures.fold(tx)


def totals(store: Store) -> dict[str, tuple[int, int]]:
    """Count and microseconds of each name."""
    with store.begin() as tx:
        rows = figures.totals(tx)
    names = {row["name"] for row in rows}
    return {
        name: (sum(r["count"] for r in rows if r["name"] == name), sum(r["micros"] for r in rows if r["name"] == name))
        for name in names
    }


def rows_say(store: Store) -> dict[str, tuple[int, int]]:
    """The same, counted the slow way."""
    with store.begin() as tx:
        [made] = tx.all(
            "SELECT count(*) AS n, count(waited) AS w, coalesce(sum(round(seconds * 1e6)), 0)::bigint AS s, "
            "coalesce(sum(round(waited * 1e6)), 0)::bigint AS ws FROM attempts"
        )
        [told] = tx.all("SELECT count(*) AS n FROM events WHERE type = 'referral.accepted'")
    said = {"attempt": (made["n"], made["s"]), "claim": (made["w"], made["ws"]), "referral": (told["n"], 0)}
    return {name: found for name, found in said.items() if found[0] or name == "referral"}


@pytest.fixture
def writers(store: Store) -> Iterator[list[psycopg.Connection[Any]]]:
    """Connections that write attempts and events without the rows these speak of."""
    opened = [psycopg.connect(store.url) for _ in range(WRITERS)]
    for one in opened:
        one.execute("SET session_replication_role = replica")
        one.commit()
    yield opened
    for one in opened:
        one.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=10, max_size=25))
def test_totals_are_what_the_rows_say(store: Store, writers: list[psycopg.Connection[Any]], steps: Any) -> None:
    for one in writers:
        one.rollback()
    with store.begin() as tx:
        for table in ("attempts", "events", "totals"):
            tx.run(f"DELETE FROM {table}")
        tx.run(
            "UPDATE counted SET attempts = 0, ready = 0, seen = 0, events = (SELECT coalesce(max(position), 0) FROM events)"
        )
    for what, number, value in steps:
        match what:
            case "attempt":
                writers[number].execute(ATTEMPT, (value, value / 2 if value > 2000 else None))
            case "event":
                writers[number].execute(EVENT)
            case "rollback":
                writers[number].rollback()
            case "commit" | "fold":
                writers[number].commit() if what == "commit" else fold(store, 3)
                assert totals(store) == rows_say(store)


def test_an_attempt_that_is_committed_late_is_counted_once(
    store: Store, writers: list[psycopg.Connection[Any]]
) -> None:
    slow, quick = writers
    slow.execute(ATTEMPT, (1, None))  # the lower id
    quick.execute(ATTEMPT, (2, None))
    quick.commit()
    fold(store, 4)
    assert totals(store)["attempt"] == (1, 2_000_000)
    slow.commit()
    assert totals(store)["attempt"] == (2, 3_000_000)
    fold(store, 4)
    assert totals(store)["attempt"] == (2, 3_000_000)
    with store.begin() as tx:
        row = tx.one("SELECT sum(count) AS counted FROM totals WHERE name = 'attempt'")
    assert row == {"counted": 2}  # and none is left to be read at each look


def test_totals_stay_when_rows_are_deleted(store: Store, writers: list[psycopg.Connection[Any]]) -> None:
    for seconds in (0.1, 0.2, 0.30000000000000004, 1e-7, 3600, 4000):
        writers[0].execute(ATTEMPT, (seconds, seconds))
    writers[0].execute(EVENT)
    writers[0].commit()
    with store.begin() as tx:
        before = sorted(figures.totals(tx), key=str)
    fold(store, 3)
    with store.begin() as tx:
        assert (
            sorted(figures.totals(tx), key=str) == before
        )  # to the last digit: a sum that falls is taken for a restart
        assert tx.run("DELETE FROM attempts") == 6
        tx.run("DELETE FROM events")
    fold(store, 3)
    with store.begin() as tx:
        assert sorted(figures.totals(tx), key=str) == before


def test_a_bucket_includes_its_upper_bound(store: Store, writers: list[psycopg.Connection[Any]]) -> None:
    for seconds in (0.05, 0.0500001, 3600, 3600.1):
        writers[0].execute(ATTEMPT, (seconds, None))
    writers[0].commit()
    with store.begin() as tx:
        assert {row["le"]: row["count"] for row in figures.totals(tx) if row["name"] == "attempt"} == {
            0.05: 1, 0.1: 1, 3600: 1, float("inf"): 1
        }  # fmt: skip


def test_an_old_database_is_caught_up_with_in_steps(
    store: Store, writers: list[psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST", 3)
    for _ in range(8):
        writers[0].execute(ATTEMPT, (1, None))
    writers[0].commit()
    folded = []
    for _ in range(5):
        fold(store)
        assert totals(store)["attempt"] == (8, 8_000_000)
        with store.begin() as tx:
            row = tx.one("SELECT attempts FROM counted")
        folded.append(row["attempts"] if row else None)
    assert folded == [0, 3, 6, 8, 8]


LARGE = """
SET session_replication_role = replica;
INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, state, status, due_at)
    SELECT 'd' || n, 'r' || n, 'h', 'a' || n % 5, 'housing', 'referral',
        CASE WHEN n % 300 = 0 THEN 'waiting' WHEN n % 301 = 0 THEN 'dead' ELSE 'delivered' END, 'sent', NULL
    FROM generate_series(1, 20000) AS n;
INSERT INTO attempts (delivery, agency, kind, outcome, seconds)
    SELECT 'd' || n, 'a' || n % 5, 'send', 'delivered', 1 FROM generate_series(1, 20000) AS n;
INSERT INTO events (position, hub, type, referral) SELECT n, 'h', 'referral.accepted', 'r' || n FROM generate_series(1, 20000) AS n;
INSERT INTO audit (position, link, actor, action, object) SELECT n, '', 'gateway', 'x', 'd' || n FROM generate_series(1, 20000) AS n;
ANALYZE;
"""


@pytest.mark.parametrize("analyzed", [True, False])
def test_looking_reads_no_large_table_through(store: Store, analyzed: bool) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute(LARGE if analyzed else LARGE.replace("ANALYZE;", ""))
    fold(store, 4)
    plans = []
    for statement, values in (
        (figures.TOTALS, {"bounds": list(figures.BOUNDS)}),
        (figures.FOLD, {"bounds": list(figures.BOUNDS), "most": figures.MOST}),
        (figures.BACKLOG, {"states": [str(state) for state in UNDELIVERED]}),
        (figures.UNFINISHED, None),
    ):
        with store.begin() as tx:
            plans += [row["QUERY PLAN"] for row in tx.all("EXPLAIN " + statement, values)]
    read = [line.strip() for line in plans if "Seq Scan" in line]
    assert len(plans) > 40
    assert not [line for line in read if " on totals" not in line and " on counted" not in line], read
