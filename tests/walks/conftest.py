"""A whole gateway in processes of its own, on the embedded parts or on PostgreSQL and RabbitMQ."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.collector import Collector
from tests.running import Gateway, free_port, running
from tests.support import agencies_running

pytest.register_assert_rewrite("tests.walks.stories.telling")  # it asserts for every story


@pytest.fixture(params=["embedded", "servers"])
def house(request: pytest.FixtureRequest) -> str:
    """Which parts: the embedded ones, or PostgreSQL and RabbitMQ with two workers."""
    kind: str = request.param
    if kind == "servers":
        servers.require(servers.POSTGRES, servers.RABBITMQ)
    return kind


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        yield running


@pytest.fixture
def more() -> dict[str, Any]:
    """Further settings of the walk: a module that needs some has a fixture of this name."""
    return {}


@pytest.fixture
def walk(house: str, database: str, tmp_path: Path, more: dict[str, Any]) -> Iterator[Gateway]:
    """A gateway with its web process and its delivery processes running, and simulators that call back."""
    port = free_port()
    with ExitStack() as stack:
        agencies = stack.enter_context(agencies_running(callback_base=f"http://127.0.0.1:{port}"))
        if house == "embedded":
            url, broker, workers = database, {}, ["delivery"]
        else:
            url = stack.enter_context(servers.database())
            broker = {"broker_url": servers.RABBITMQ, "broker_queue": stack.enter_context(servers.queue())}
            workers = ["delivery", "delivery-2"]
        settings = agencies.settings(port=port, lease="4s", **broker, **more)
        for name, chosen in settings.pop("of_agencies", {}).items():
            settings["agencies"][name] |= chosen
        yield stack.enter_context(running(url, agencies, settings, tmp_path, workers))
