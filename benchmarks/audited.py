"""What the audit's chain costs those who write: the same rows chained by each writer under a lock, and not at all."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from gateway.store import audit
from gateway.store.session import Store, Tx

from .load import SECONDS
from .servers import Bench

WRITERS = 8


def audited(bench: Bench) -> dict[str, float]:
    """Commits a second of eight writers, each with one row of the audit."""
    store = Store(bench.server.url, bench.store.vault, WRITERS + 1).open()
    try:
        found = {
            "a plain row": commits(store, lambda tx: tx.put("INSERT INTO one_row (document) VALUES ('deed')")),
            "each linked as it is written": commits(store, _write_and_link),
            "linked by the clock": commits(store, _write, by_clock=True),
        }
        with store.begin() as tx:
            assert audit.verify(tx).holds
        return found
    finally:
        store.close()


def commits(store: Store, work: Callable[[Tx], object], by_clock: bool = False) -> float:
    """Of *work* a second; where the clock links, what is written counts when it is linked."""
    over = Event()

    def write() -> int:
        done = 0
        while not over.is_set():
            with store.begin() as tx:
                work(tx)
            done += 1
        return done

    with ThreadPoolExecutor(WRITERS) as pool:
        started = time.monotonic()
        writing = [pool.submit(write) for _ in range(WRITERS)]
        while time.monotonic() < started + SECONDS:
            time.sleep(0.5)
            if by_clock:
                with store.begin() as tx:
                    audit.link(tx)
        over.set()
        done = sum(one.result() for one in writing)
        if by_clock:
            with store.begin() as tx:
                while audit.link(tx):
                    pass
        return done / (time.monotonic() - started)


def _write(tx: Tx) -> None:
    audit.write(tx, "bench", "bench.deed", "one")


def _write_and_link(tx: Tx) -> None:
    _write(tx)
    audit.link(tx)
