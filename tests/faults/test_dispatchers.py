"""Several delivery processes look for work at once, on one database."""

import threading
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.store import deliveries
from gateway.store.session import Store
from tests.rooms.delivery.test_attempt import submit
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY

DISPATCHERS = 4
WINDOW = 8  # of each agency, by the settings


def test_claims_never_overlap_and_keep_to_the_window(
    room: PostRoom, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        submit(room)
    together = threading.Barrier(DISPATCHERS)
    rung: list[tuple[str, UUID]] = []
    original = deliveries.claim_due

    def all_before_one_commits(*args: Any, **more: Any) -> Any:
        claimed = original(*args, **more)
        with suppress(threading.BrokenBarrierError):
            together.wait(0.5)
        return claimed

    monkeypatch.setattr(deliveries, "claim_due", all_before_one_commits)

    def dispatch() -> None:
        for _ in range(5):
            outbox.claim(room, rung.extend)

    threads = [threading.Thread(target=dispatch) for _ in range(DISPATCHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({identifier for identifier, _ in rung}) == len(rung)
    with store.begin() as tx:
        rows = tx.all("SELECT id, token, agency FROM deliveries WHERE state = 'queued'")
    assert {(row["id"], row["token"]) for row in rows} == set(rung)
    assert Counter(row["agency"] for row in rows) == dict.fromkeys((HOUSING, SOCIAL_SECURITY, HEALTH), WINDOW)
