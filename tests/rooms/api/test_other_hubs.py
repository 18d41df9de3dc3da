"""One hub's records are no other's: at every route, they are as if they were not there."""

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway import ids
from gateway.delivery.room import PostRoom
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.api.test_scopes import application, routes
from tests.rooms.delivery.test_attempt import of, work
from tests.support import HOUSING, referral

ADDRESSES = 22  # routes that name a record
NOT_IN_THE_DOCUMENT = {"/v1/deliveries/{delivery}/contradictions/{number}": {"believe": True}}
PREFIXES = {"consent": "con", "referral": "ref", "delivery": "del", "webhook": "whe", "identifier": "con"}


@pytest.fixture
def held(hub: Hub, room: PostRoom) -> dict[str, str]:
    """What the one hub has, by what routes call it."""
    agreed = hub.consent()
    made = hub.submit(referral(agreed, HOUSING)).json()["id"]
    work(room)
    hook = hub.call("POST", "/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).json()["id"]
    return {
        "consent": agreed, "identifier": agreed, "referral": made, "delivery": of(room, made)[HOUSING].id, "webhook": hook,
    }  # fmt: skip


def example(client: TestClient, method: str, path: str) -> Any:
    """A body of this operation that is in order."""
    if path in NOT_IN_THE_DOCUMENT:
        return NOT_IN_THE_DOCUMENT[path]
    body = application(client).openapi()["paths"][path][method.lower()].get("requestBody")
    return body["content"]["application/json"].get("example", {}) if body else {}


def call(who: Hub, client: TestClient, method: str, path: str, names: dict[str, str]) -> Any:
    address = re.sub(r"{(\w+)}", lambda match: names.get(match[1], "1"), path)
    headers = {"Idempotency-Key": "one", "If-Match": '"1"'}
    return who.call(method, address, json=None if method == "GET" else example(client, method, path), headers=headers)


def state(room: PostRoom) -> list[Any]:
    with room.store.begin() as tx:
        rows = tx.all(
            "SELECT id, state, status, updated_at FROM deliveries UNION ALL SELECT id, '', '', created_at FROM consents"
        )
        return [
            *map(str, rows),
            tx.one("SELECT count(*) AS n FROM audit"),
            tx.one("SELECT count(*) AS n FROM webhooks"),
        ]


def test_what_is_another_hubs_is_as_if_it_were_not_there(
    client: TestClient, room: PostRoom, hub: Hub, other_hub: Hub, held: dict[str, str]
) -> None:
    before, tried = state(room), 0
    nobodys = {name: ids.new(prefix) for name, prefix in PREFIXES.items()}
    for method, path, scopes in routes(client):
        if scopes and set(re.findall(r"{(\w+)}", path)) & set(held):
            theirs, never = (call(other_hub, client, method, path, names) for names in (held, nobodys))
            problem(theirs, 404, "not-found")
            told = [re.sub(r"\w{3}_\w{17}", "ID", answer.text) for answer in (theirs, never)]
            assert told[0] == told[1], (method, path)
            tried += 1
            if method == "GET" and not path.endswith(("sheet", "{identifier}")):
                assert call(hub, client, method, path, held).status_code == 200, "its own hub reads it"
    assert tried == ADDRESSES
    assert state(room) == before


def test_no_list_has_anything_of_another_hub(
    client: TestClient, hub: Hub, other_hub: Hub, held: dict[str, str]
) -> None:
    own = ""
    for method, path, scopes in routes(client):
        if scopes and method == "GET" and "{" not in path:
            own += hub.call(method, path).text
            answer = other_hub.call(method, path)
            assert not [one for one in held.values() if one in answer.text], path
    assert [held[name] in own for name in ("referral", "delivery", "webhook")] == [True] * 3
    assert json.dumps(held) not in own
