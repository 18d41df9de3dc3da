"""What is measured again and again: how many are answered, or done, a second; and what runs beside it."""

import http.client
import importlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from gateway.embedded.supervisor import gateway, wait_ready
from tests.running import free_port
from tests.support import HOUSING

from . import servers
from .servers import Bench, process

THREADS = 16
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
DELIVERIES = int(os.environ.get("BENCH_DELIVERIES", "1600"))
UVICORN = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "error"]
HAND_WORKER = [
    sys.executable, "-m", "celery", "-A", "benchmarks.by_hand:tasks", "worker", "-P", "threads",
    "-c", str(THREADS), "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip
DELIVERED = "SELECT count(*) AS n, min(at) AS first, max(at) AS last FROM attempts WHERE outcome = 'delivered'"
SENT_BY_HAND = "SELECT count(*) AS n, min(sent_at) AS first, max(sent_at) AS last FROM by_hand WHERE state = 'sent'"


def rate(port: int, path: str, headers: Mapping[str, str], bodies: Sequence[bytes]) -> float:
    """Answers a second, from eight connections, for some seconds."""

    def pull(caller: int) -> int:
        connection, done = http.client.HTTPConnection("127.0.0.1", port), 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            body = bodies[(done * 8 + caller) % len(bodies)]
            connection.request("POST", path, body, {**headers, "Idempotency-Key": uuid4().hex})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            done += 1
        connection.close()
        return done

    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        return sum(pool.map(pull, range(8))) / (time.monotonic() - started)


@contextmanager
def web(bench: Bench) -> Iterator[int]:
    port = free_port()
    with process(gateway("serve"), {**bench.environment, "GATEWAY_PORT": str(port)}):
        assert wait_ready(f"http://127.0.0.1:{port}/readyz", 20), "the web process does not answer"
        yield port


@contextmanager
def by_hand(bench: Bench) -> Iterator[tuple[dict[str, str], Any]]:
    """The environment of the pipeline written by hand, and its module, with a table and a queue of its own."""
    environment = {
        **bench.environment, "BY_HAND_BROKER": servers.BROKER, "BY_HAND_QUEUE": f"by-hand-{uuid4().hex[:8]}",
        "BY_HAND_AGENCY": f"{bench.addresses[HOUSING]}/referrals", "BY_HAND_TOKEN": bench.token(),
    }  # fmt: skip
    os.environ.update(environment)
    sys.modules.pop("benchmarks.by_hand", None)
    module = importlib.import_module("benchmarks.by_hand")  # anew: it reads the environment when it is imported

    module.Base.metadata.create_all(module.ENGINE)
    try:
        yield environment, module
    finally:
        module.Base.metadata.drop_all(module.ENGINE)
        module.ENGINE.dispose()
        with module.tasks.connection() as connection:
            connection.default_channel.queue_delete(environment["BY_HAND_QUEUE"])
        module.tasks.close()


def rate_of(bench: Bench, sql: Any, number: int, patience: float = 120) -> float:
    """How many a second, from the first to the last of *number*. *sql* gives ``n``, ``first`` and ``last``."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with bench.store.begin() as tx:
            row = tx.one(sql)
        assert row is not None
        if row["n"] >= number:
            return number / float((row["last"] - row["first"]).total_seconds())
        time.sleep(0.05)
    raise SystemExit("the benchmark does not come to an end")
