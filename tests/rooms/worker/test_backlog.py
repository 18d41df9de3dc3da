"""A backlog is worked off as quickly when it is long, though one agency never answers; and in bounded memory."""

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

import pytest

from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.plugins import Agency
from gateway.settings import AgencySettings, Settings
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.faults.pretended.offices import Plain

WINDOW = 8
SILENT, OTHERS = "silent", ["a", "b", "c", "d"]

FILL = """
INSERT INTO hubs VALUES ('hub') ON CONFLICT DO NOTHING;
INSERT INTO consents (id, hub, subject_index, document) VALUES ('con', 'hub', '', '');
INSERT INTO referrals (id, hub, consent, subject_index, area, urgency, payload)
    VALUES ('ref', 'hub', 'con', '', 'glasgow', 'stat', '');
INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, state, status, due_at)
    SELECT agency || n, 'ref', 'hub', agency, 'housing', 'referral', 'waiting', 'received', now() - n * interval '1 ms'
    FROM generate_series(1, %(each)s) AS n, unnest(%(agencies)s::text[]) AS agency;
ANALYZE deliveries
"""


@dataclass
class Drained:
    """What it took: *rounds* of the clock, how many were claimed in the largest, and the bytes of memory each needed."""

    rounds: int = 0
    largest: int = 0
    memory: list[int] = field(default_factory=list)
    left: int = 0
    held: list[int] = field(default_factory=list)


def drain(store: Store, each: int) -> Drained:
    """Work off *each* deliveries of every agency; those to the silent one are claimed, and hang."""
    chosen = {"adapter": "none", "base_url": "https://a.example", "areas": ["glasgow"], "window": WINDOW}
    agencies = {name: Agency(name, Plain(), AgencySettings.model_validate(chosen)) for name in [SILENT, *OTHERS]}
    room, found = PostRoom(store, agencies, Settings()), Drained()
    with store.begin() as tx:
        for statement in FILL.split(";\n"):
            tx.run(statement, {"each": each, "agencies": list(agencies)} if "%(each)s" in statement else None)

    def answered(bundle: Sequence[tuple[str, UUID]]) -> None:
        with store.begin() as tx:
            tx.run(
                "UPDATE deliveries SET state = 'delivered', token = NULL, due_at = NULL "
                "WHERE id = ANY(%(ids)s) AND agency <> %(silent)s",
                {"ids": [identifier for identifier, _ in bundle], "silent": SILENT},
            )

    while True:
        rung: list[tuple[str, UUID]] = []
        tracemalloc.start()
        claimed = outbox.claim(room, rung.extend)
        found.memory.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        if not claimed:
            break
        found.rounds, found.largest = found.rounds + 1, max(found.largest, claimed)
        answered(rung)
    with store.begin() as tx:
        rows = tx.all(
            "SELECT agency, token IS NOT NULL AS held, count(*) FROM deliveries WHERE due_at IS NOT NULL GROUP BY 1, 2"
        )
    found.left = sum(row["count"] for row in rows if row["agency"] != SILENT)
    found.held = [row["count"] for row in rows if row["held"]]
    return found


@pytest.fixture
def drained(new_database: Callable[[], str]) -> Callable[[int], Drained]:
    def run(each: int) -> Drained:
        store = Store(new_database(), Vault(generate()), 2).open()
        try:
            return drain(store, each)
        finally:
            store.close()

    return run


def test_a_long_backlog_is_worked_off_at_the_rate_of_a_short_one(drained: Callable[[int], Drained]) -> None:
    short, long = drained(100), drained(1000)  # 500 and 5,000 in all
    for found, each in ((short, 100), (long, 1000)):
        assert found.left == 0
        assert found.held == [WINDOW]  # the silent one holds its window, and no more
        assert found.rounds == -(-each // WINDOW)  # of each agency a window full in each round
        assert found.largest <= WINDOW * (len(OTHERS) + 1)
    assert median(long.memory) < 2 * median(short.memory)  # one round may fall together with another thread's work
