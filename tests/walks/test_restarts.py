"""The broker forgets everything. Nothing is lost, nothing doubled."""

import time
from contextlib import suppress
from pathlib import Path

import kombu
import pytest

from tests import servers
from tests.running import Gateway
from tests.support import PURPOSES, consent, referral


def each_arrived_once(walk: Gateway, identifiers: list[str]) -> None:
    for identifier in identifiers:
        assert {delivery["state"] for delivery in walk.settled(identifier)["deliveries"]} == {"delivered"}
    for agency in PURPOSES:
        assert len(walk.agencies[agency].cases) == len(identifiers)


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
