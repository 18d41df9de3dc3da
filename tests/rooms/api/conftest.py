"""The web process's application, called in this process, on a real database."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from gateway import app
from gateway.delivery.room import PostRoom
from gateway.store import callers
from tests.support import consent


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
def hub(client: TestClient, room: PostRoom) -> Hub:
    with room.store.begin() as tx:
        return Hub(client, callers.add_hub(tx, "glasgow-hub", by="test"))


@pytest.fixture
def other_hub(client: TestClient, room: PostRoom) -> Hub:
    with room.store.begin() as tx:
        return Hub(client, callers.add_hub(tx, "highland-hub", by="test"))
