"""A hub minds its own webhooks."""

from typing import Any

import pytest

from gateway.delivery.room import PostRoom
from gateway.policy import contract
from gateway.store import audit
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_webhooks import settled
from tests.rooms.wire.hostile import always, reply, serving

URL = "http://127.0.0.1:9/events"


def create(hub: Hub, **document: Any) -> Any:
    return hub.call("POST", "/v1/webhooks", json={"url": URL, **document})


def test_its_life(hub: Hub, room: PostRoom) -> None:
    answer = create(hub, types=["delivery.state"])
    made = answer.json()
    path = answer.headers["location"]
    assert (answer.status_code, path) == (201, f"/v1/webhooks/{made['id']}")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert (made["enabled"], made["types"], made["url"]) == (True, ["delivery.state"], URL)
    assert hub.call("GET", path).json() == made
    assert hub.call("GET", "/v1/webhooks").json() == {"webhooks": [made]}

    changed = hub.call("PATCH", path, json={"types": [], "url": URL + "/2"}).json()
    assert changed == {**made, "types": [], "url": URL + "/2"}
    off = hub.call("PATCH", path, json={"enabled": False}).json()
    assert (off["enabled"], off["disabled_code"]) == (False, "webhook_off")
    problem(hub.call("POST", f"{path}/test"), 409, "conflict")
    assert hub.call("PATCH", path, json={"enabled": True}).json() == changed

    rotated = hub.call("POST", f"{path}/rotate").json()
    assert rotated["secret"] != secret
    assert rotated["old_secret_until"]
    assert hub.call("DELETE", path).status_code == 204
    problem(hub.call("GET", path), 404, "not-found")
    with room.store.begin() as tx:
        rows = tx.all("SELECT action FROM audit WHERE action LIKE 'webhook.%%' ORDER BY id")
        assert audit.verify(tx).broken is None
    assert [row["action"].partition(".")[2] for row in rows] == ["create", "change", "off", "on", "rotate", "remove"]


def test_a_test_is_sent_and_what_came_of_it_can_be_read(hub: Hub, room: PostRoom) -> None:
    with serving(always(reply(b"", "204 No Content"))) as server:
        made = create(hub, url=server.url, types=["delivery.state"]).json()
        queued = hub.call("POST", f"/v1/webhooks/{made['id']}/test")
        assert queued.status_code == 202
        settled(room)
    found = hub.call("GET", f"/v1/deliveries/{queued.json()['delivery']}").json()
    assert (found["kind"], found["state"], found["agency"]) == ("event", "delivered", made["id"])
    assert contract.problems("delivery", found) == []
    assert hub.call("GET", f"/v1/webhooks/{made['id']}").json()["last_delivery"] == found
    assert hub.call("GET", f"/v1/deliveries?agency={made['id']}").json()["deliveries"] == [found]
    assert hub.call("GET", "/v1/deliveries").json()["deliveries"] == []
    [event] = hub.call("GET", "/v1/events").json()["events"]
    assert contract.problems("event", event) == []
    assert (event["type"], event["webhook"]) == ("webhook.test", made["id"])
    assert len(server.requests) == 1


def test_another_hubs_is_as_if_it_were_not_there(hub: Hub, other_hub: Hub) -> None:
    path = f"/v1/webhooks/{create(hub).json()['id']}"
    for method, where in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")):
        problem(other_hub.call(method, path + where, **({"json": {}} if method == "PATCH" else {})), 404, "not-found")
    assert other_hub.call("GET", "/v1/webhooks").json() == {"webhooks": []}
    problem(hub.call("GET", "/v1/webhooks/whe_0"), 404, "not-found")


@pytest.mark.parametrize(
    ("document", "slug"),
    [
        ({"url": "https://user:CANARY@hub.example/"}, "invalid"),
        ({"url": "ftp://CANARY.example/"}, "invalid"),
        ({"url": URL + "?to=CANARY"}, "invalid"),
        ({"url": "https://h.example/" + "CANARY" * 200}, "invalid-parameter"),
        ({"types": ["CANARY"]}, "invalid-parameter"),
        ({"types": ["webhook.test"]}, "invalid-parameter"),
        ({"CANARY": 1}, "invalid-parameter"),
        ({"url": 7}, "invalid-parameter"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(hub: Hub, document: dict[str, Any], slug: str) -> None:
    answer = create(hub, **document)
    problem(answer, 422, slug)
    assert "CANARY" not in answer.text or document == {"CANARY": 1}
    made = create(hub).json()
    changed = hub.call("PATCH", f"/v1/webhooks/{made['id']}", json=document)
    assert changed.status_code == 422


def test_not_too_many(hub: Hub) -> None:
    for _ in range(10):
        assert create(hub).status_code == 201
    problem(create(hub), 409, "conflict")
