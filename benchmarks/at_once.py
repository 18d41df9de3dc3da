"""Both at once: the hubs push as fast as they are answered, while what they pushed is delivered."""

import time
from typing import Any
from uuid import uuid4

from gateway.embedded.supervisor import gateway, wait_ready
from tests.running import free_port

from . import servers
from .load import DELIVERED, HAND_WORKER, SENT_BY_HAND, UVICORN, by_hand, rate, web
from .servers import Bench, process


def hand_at_once(bench: Bench) -> tuple[float, float]:
    with by_hand(bench) as (environment, _):
        port = free_port()
        command = [*UVICORN, "benchmarks.by_hand:app", "--port", str(port)]
        with process(command, environment), process(HAND_WORKER, environment):
            wait_ready(f"http://127.0.0.1:{port}/openapi.json", 20)
            return _at_once(bench, port, "/referrals", SENT_BY_HAND)


def at_once(bench: Bench) -> tuple[float, float]:
    """As in production: one delivery process, and RabbitMQ between it and its clock."""
    bench.clear()
    name = f"bench-{uuid4().hex[:8]}"
    environment = {**bench.environment, "GATEWAY_BROKER_URL": servers.BROKER, "GATEWAY_BROKER_QUEUE": name}
    with servers.queue(name), web(bench) as port, process(gateway("worker"), environment):
        return _at_once(bench, port, "/v1/referrals", DELIVERED)


def _at_once(bench: Bench, port: int, path: str, sql: Any) -> tuple[float, float]:
    """Accepted and delivered a second in the same seconds."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.key}"}
    bodies = bench.bodies(200)
    time.sleep(4)  # Celery's start
    before = _count(bench, sql)
    started = time.monotonic()
    accepted = rate(port, path, headers, bodies)
    return accepted, (_count(bench, sql) - before) / (time.monotonic() - started)


def _count(bench: Bench, sql: Any) -> int:
    with bench.store.begin() as tx:
        row = tx.one(sql)
    assert row is not None
    return int(row["n"])
