"""Servers go away and come back: the database restarts, the broker forgets. Nothing is lost, nothing doubled."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import kombu
import pytest
import requests

from gateway.embedded import Postgres
from gateway.store import schema
from tests import servers
from tests.running import Gateway
from tests.support import PURPOSES, consent, referral, switch_on


def submit_whatever_happens(walk: Gateway, draft: dict[str, Any], patience: float = 30) -> str:
    """As a hub does: the same key again until there is an answer."""
    key, until = str(uuid4()), time.monotonic() + patience
    while True:
        try:
            answer = walk.call("POST", "/v1/referrals", json=draft, headers={"Idempotency-Key": key})
            if answer.status_code == 202:
                identifier: str = answer.json()["id"]
                return identifier
            assert answer.status_code == 503, answer.text
        except requests.ConnectionError:
            pass
        assert time.monotonic() < until
        time.sleep(0.1)


def each_arrived_once(walk: Gateway, identifiers: list[str]) -> None:
    for identifier in identifiers:
        assert {delivery["state"] for delivery in walk.settled(identifier)["deliveries"]} == {"delivered"}
    for agency in PURPOSES:
        assert len(walk.agencies[agency].cases) == len(identifiers)


@pytest.fixture
def own_postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A server that only this walk uses."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        server = Postgres(Path(folder))
        server.start()
        schema.upgrade(server.url)
        switch_on(server.url)
        yield server
        server.destroy()


@pytest.fixture
def new_database(own_postgres: Postgres) -> Callable[[], str]:
    return lambda: own_postgres.url


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
@pytest.mark.parametrize("manner", ["fast", "immediate"])
def test_the_database_restarts_under_load(own_postgres: Postgres, walk: Gateway, manner: str) -> None:
    agreed = walk.consent(consent())
    identifiers = [submit_whatever_happens(walk, referral(agreed)) for _ in range(8)]
    own_postgres._run("pg_ctl", "restart", "-w", "-D", own_postgres.data, "-m", manner, "-l", own_postgres.log)
    identifiers += [submit_whatever_happens(walk, referral(agreed)) for _ in range(8)]
    each_arrived_once(walk, identifiers)


@pytest.mark.parametrize("house", ["servers"], indirect=True)
def test_the_broker_forgets_its_messages(walk: Gateway) -> None:
    import yaml

    name = yaml.safe_load(Path(walk.environment["GATEWAY_CONFIG"]).read_text())["broker_queue"]
    agreed = walk.consent(consent())
    walk.kill("delivery")
    walk.kill("delivery-2")
    identifiers = [walk.submit(referral(agreed)) for _ in range(4)]
    walk.start("delivery", "worker")
    walk.start("delivery-2", "worker")
    with kombu.Connection(servers.RABBITMQ) as connection:
        for _ in range(30):
            with suppress(*connection.channel_errors), connection.channel() as channel:  # until a worker made the queue
                channel.queue_purge(name)
            time.sleep(0.05)
    each_arrived_once(walk, identifiers)
