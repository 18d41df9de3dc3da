"""The web process's application, called in this process, on a real database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from gateway import app
from gateway.delivery.room import PostRoom
from gateway.settings import Settings
from gateway.store import callers
from tests.support import Agencies, consent

Open = Callable[..., TestClient]


@dataclass
class Hub:
    """A hub's way in."""

    client: TestClient
    key: str

    def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def consent(self, document: dict[str, Any] | None = None) -> str:
        answer = self.call("POST", "/v1/consents", json=document or consent())
        assert answer.status_code == 201, answer.text
        identifier: str = answer.json()["id"]
        return identifier

    def submit(self, draft: Any, key: str | None = None) -> Any:
        return self.call("POST", "/v1/referrals", json=draft, headers={"Idempotency-Key": key or str(uuid4())})


@pytest.fixture
def client(room: PostRoom) -> Iterator[TestClient]:
    with TestClient(app.build(room), base_url="http://127.0.0.1", follow_redirects=False) as opened:
        yield opened  # one event loop for all threads of a test, as in the web process


@pytest.fixture
def process(room: PostRoom, agencies: Agencies) -> Iterator[Open]:
    """A further web process on the same database, with *changes* to its settings; callers come from *address*."""
    with ExitStack() as stack:

        def make(address: str = "192.0.2.7", **changes: Any) -> TestClient:
            changed = replace(room, settings=Settings(**agencies.settings(**changes)))
            opened = TestClient(app.build(changed), base_url="http://127.0.0.1", client=(address, 4711))
            return stack.enter_context(opened)

        yield make


@pytest.fixture
def hub_key(room: PostRoom) -> str:
    with room.store.begin() as tx:
        return callers.add_hub(tx, "glasgow-hub", by="test")


@pytest.fixture
def hub(client: TestClient, hub_key: str) -> Hub:
    return Hub(client, hub_key)


@pytest.fixture
def other_hub(client: TestClient, room: PostRoom) -> Hub:
    with room.store.begin() as tx:
        return Hub(client, callers.add_hub(tx, "highland-hub", by="test"))
