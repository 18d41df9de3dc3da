"""With a big backlog the clock looks at little: each of its statements goes by an index, and reads what it takes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from gateway.policy.breaker import Limits
from gateway.settings import Settings
from gateway.store import audit, deliveries, events, health, listings, pace, webhooks
from gateway.store.deliveries import Window
from gateway.store.session import Store, Tx
from gateway.vault import Vault, generate

AGENCIES = [f"agency-{number}" for number in range(20)]
WIDTH, LEASE = 8, Settings().lease
FREE = 4  # places of each window; the others are taken
TAKEN = len(AGENCIES) * FREE
SMALL, BIG = 1_000, 50_000
LARGE = {"deliveries", "attempts", "events", "audit"}

# Twice as many are settled as are due. Of each agency four are on the wire, and of one of them the worker died.
FILL = """
INSERT INTO hubs VALUES ('hub');
INSERT INTO consents (id, hub, subject_index, document) VALUES ('con', 'hub', '', '');
INSERT INTO referrals (id, hub, consent, subject_index, area, urgency, payload)
    VALUES ('ref', 'hub', 'con', '', 'glasgow', 'stat', '');
INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, state, status, due_at, created_at, token)
    SELECT state || n, 'ref', 'hub', 'agency-' || n % 20, 'housing', 'referral', state, 'received',
        due_at, now() - n * interval '1 s', token
    FROM generate_series(1, {due}) AS n, LATERAL (VALUES
        ('waiting', n, now() - n * interval '1 ms', NULL::uuid),
        ('delivered', n, CASE WHEN n % 2 = 0 THEN now() + n * interval '1 s' END, NULL),
        ('refused', n, NULL, NULL),
        ('sending', CASE WHEN n <= 80 THEN n END, now() + (n - 5) * interval '1 min', gen_random_uuid())
    ) AS each(state, wanted, due_at, token) WHERE wanted IS NOT NULL;
INSERT INTO attempts (delivery, agency, kind, outcome, seconds, at)
    SELECT state || n, 'agency-' || n % 20, 'send', state, 0.1, now() - n * interval '1 s'
    FROM generate_series(1, {due}) AS n, unnest(ARRAY['delivered', 'refused']) AS state;
INSERT INTO events (hub, type, referral, delivery, agency, state, status, position)
    SELECT 'hub', 'delivery.state', 'ref', 'delivered' || n, 'agency-' || n % 20, 'delivered', 'sent',
        nextval('event_positions') FROM generate_series(1, {due}) AS n;
INSERT INTO events (hub, type, referral) SELECT 'hub', 'referral.accepted', 'ref' FROM generate_series(1, 10);
INSERT INTO audit (actor, action, object, position, link)
    SELECT 'gateway', 'delivery.deliver', 'delivered' || n, n, '' FROM generate_series(1, {due}) AS n;
INSERT INTO audit (actor, action, object) SELECT 'hub', 'delivery.queue', 'waiting' || n FROM generate_series(1, 10) AS n;
ANALYZE
"""


@pytest.fixture(scope="module")
def stores(new_database: Callable[[], str]) -> Iterator[dict[int, Store]]:
    """``{how many are due: a database}``."""
    urls = {due: new_database() for due in (SMALL, BIG)}
    for due, url in urls.items():
        with psycopg.connect(url) as connection:
            connection.execute(FILL.format(due=due))  # type: ignore[arg-type]
    made = {due: Store(url, Vault(generate()), 2).open() for due, url in urls.items()}
    yield made
    for store in made.values():
        store.close()


# What the clock and a failing call do, and how many rows of the large tables each may read, whatever the backlog.
WORK: Mapping[str, tuple[Callable[[Tx], object], int]] = {
    "claim": (lambda tx: deliveries.claim_due(tx, dict.fromkeys(AGENCIES, Window(WIDTH)), most=200, lease=LEASE), 400),
    "abandoned": (deliveries.abandoned, 200),
    "place events": (events.place, 100),
    "link the audit": (audit.link, 100),
    "failed": (lambda tx: health.failed(tx, AGENCIES[0], Limits()), 50),
    "calls a minute": (lambda tx: pace.minutes(tx, dict.fromkeys(AGENCIES, 60)), 400),
    "queue events for webhooks": (webhooks.queue_events, 100),
    "oldest undelivered": (listings.oldest_undelivered, 50),
}


class Undone(Exception):
    """So that nothing is committed."""


def plans(store: Store, work: Callable[[Tx], object]) -> list[dict[str, Any]]:
    """The plan of each statement of *work*, with what it read when it was run."""
    put, found = Tx.put, []

    def explaining(tx: Tx, sql: Any, values: Any = None) -> Any:
        put(tx, "SAVEPOINT before")
        found.append(put(tx, "EXPLAIN (ANALYZE, FORMAT JSON) " + sql, values).fetchall()[0]["QUERY PLAN"][0]["Plan"])
        put(tx, "ROLLBACK TO SAVEPOINT before")
        return put(tx, sql, values)

    with suppress(Undone), store.begin() as tx:
        with patch.object(Tx, "put", explaining):
            work(tx)
        raise Undone
    return found


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def scans(found: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    every = [node for plan in found for node in nodes(plan)]
    return [node for node in every if "Scan" in node["Node Type"] and node.get("Relation Name") in LARGE]


def read(found: list[dict[str, Any]]) -> float:
    """Rows of the large tables that were looked at, taken or not."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans(found)
    )


@pytest.mark.parametrize("name", WORK)
def test_it_goes_by_an_index_and_reads_little(stores: dict[int, Store], name: str) -> None:
    work, most = WORK[name]
    found = plans(stores[BIG], work)
    assert scans(found)
    assert "Seq Scan" not in {node["Node Type"] for node in scans(found)}
    assert read(found) <= most


def test_a_claim_reads_no_more_when_fifty_times_as_many_are_due(stores: dict[int, Store]) -> None:
    work, _ = WORK["claim"]
    few, many = (read(plans(stores[due], work)) for due in (SMALL, BIG))
    assert TAKEN <= many <= 2 * few


def test_a_claim_takes_what_the_windows_leave_free(stores: dict[int, Store]) -> None:
    with suppress(Undone), stores[BIG].begin() as tx:
        claimed: list[Any] = WORK["claim"][0](tx)  # type: ignore[assignment]
        assert len(claimed) == TAKEN + 5
        raise Undone
