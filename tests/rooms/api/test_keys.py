"""API keys: how long they hold, what replaces them, when they were last used, and how often they may call."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.api import door
from gateway.delivery.room import PostRoom
from gateway.store import callers
from gateway.store.session import Store
from tests.rooms.api.conftest import Hub, Open
from tests.rooms.api.test_referrals import problem


def keys(room: PostRoom) -> list[dict[str, Any]]:
    with room.store.begin() as tx:
        return [row for row in callers.list_hubs(tx) if row["last_used_at"] or row["hub"] == "dundee-hub"]


def test_a_key_ends_when_it_is_to(client: TestClient, room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BELIEVED", 0.0)
    with room.store.begin() as tx:
        short = Hub(client, callers.add_hub(tx, "dundee-hub", by="test", lasting=timedelta(hours=1)))
    assert short.call("GET", "/v1/events").status_code == 200
    with room.store.begin() as tx:
        tx.run("UPDATE api_keys SET expires_at = now()")
    problem(short.call("GET", "/v1/events"), 401, "unauthenticated")


def test_a_rotated_key_overlaps_with_its_successor(
    client: TestClient, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BELIEVED", 0.0)
    with room.store.begin() as tx:
        old = callers.add_hub(tx, "dundee-hub", by="test", scopes=["events:read"], lasting=timedelta(days=90))
    [first] = keys(room)
    with room.store.begin() as tx:
        new = callers.rotate_key(tx, first["key"], timedelta(hours=24), by="test")
    for secret in (old, new):
        assert Hub(client, secret).call("GET", "/v1/events").status_code == 200
        problem(Hub(client, secret).call("GET", "/v1/agencies"), 403, "scope-missing")
    assert [row["expires_at"] - row["created_at"] for row in keys(room)] == [
        pytest.approx(timedelta(hours=24), abs=timedelta(seconds=5)), timedelta(days=90),
    ]  # fmt: skip
    with room.store.begin() as tx:
        tx.run("UPDATE api_keys SET expires_at = now() WHERE id = %(id)s", {"id": first["key"]})
    problem(Hub(client, old).call("GET", "/v1/events"), 401, "unauthenticated")
    assert Hub(client, new).call("GET", "/v1/events").status_code == 200


def test_a_new_key_does_not_make_a_second_worker(room: PostRoom) -> None:
    with room.store.begin() as tx:
        old = callers.add_hub(tx, "dundee-hub", by="test")
        before = callers.by_key(tx, old)
    [row] = keys(room)
    with room.store.begin() as tx:
        after = callers.by_key(tx, callers.rotate_key(tx, row["key"], timedelta(0), by="test"))
    assert before is not None
    assert before == after


def test_the_last_use_is_noted_once_a_minute(
    client: TestClient, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BELIEVED", 0.0)
    with room.store.begin() as tx:
        hub = Hub(client, callers.add_hub(tx, "dundee-hub", by="test"))
    assert [row["last_used_at"] for row in keys(room)] == [None]
    hub.call("GET", "/v1/events")
    [used] = keys(room)
    assert used["last_used_at"] is not None
    hub.call("GET", "/v1/events")
    assert keys(room) == [used]
    with room.store.begin() as tx:
        tx.run("UPDATE api_keys SET last_used_at = now() - interval '61 s'")
    hub.call("GET", "/v1/events")
    assert keys(room)[0]["last_used_at"] > used["last_used_at"]


def test_within_a_second_nothing_is_looked_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    found = callers.by_key
    monkeypatch.setattr(callers, "by_key", lambda tx, secret: looked.append(secret) or found(tx, secret))
    monkeypatch.setattr(door, "BELIEVED", 60.0)
    for _ in range(5):
        assert hub.call("GET", "/v1/agencies").status_code == 200
    assert len(looked) == 1


def test_a_caller_is_held_to_its_rate_and_holds_up_nobody_else(process: Open, hub: Hub, other_hub: Hub) -> None:
    client = process(rates={"calls_a_minute": 3})
    mine, theirs = Hub(client, hub.key), Hub(client, other_hub.key)
    assert [mine.call("GET", "/v1/agencies").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = mine.call("GET", "/v1/agencies")
    problem(answer, 429, "too-many-requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert theirs.call("GET", "/v1/agencies").status_code == 200


def test_who_guesses_is_stopped_and_who_was_here_before_is_not(
    process: Open, hub: Hub, other_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BELIEVED", 0.0)  # each time it is looked up
    client = process(rates={"failures_a_minute": 5})
    assert Hub(client, hub.key).call("GET", "/v1/agencies").status_code == 200
    guesses = [Hub(client, f"gw_{n}").call("GET", "/v1/agencies") for n in range(7)]
    assert [guess.status_code for guess in guesses] == [401] * 5 + [429] * 2
    assert int(guesses[-1].headers["retry-after"]) >= 1
    problem(
        Hub(client, other_hub.key).call("GET", "/v1/agencies"), 429, "too-many-requests"
    )  # it may be one more guess
    assert Hub(client, hub.key).call("GET", "/v1/agencies").status_code == 200


def test_guesses_are_counted_by_address_on_a_trusted_proxys_word_only(process: Open, hub: Hub) -> None:
    rates = {"failures_a_minute": 1}
    behind = process("192.0.2.1", rates=rates, trusted_proxies=["192.0.2.0/24"])
    plain = process("192.0.2.1", rates=rates)

    def guess(client: TestClient, chain: str) -> int:
        status: int = Hub(client, "gw_x").call("GET", "/v1/agencies", headers={"X-Forwarded-For": chain}).status_code
        return status

    assert [guess(behind, "198.51.100.1"), guess(behind, "198.51.100.1"), guess(behind, "198.51.100.2")] == [
        401,
        429,
        401,
    ]
    assert guess(behind, "198.51.100.9, 198.51.100.1, 192.0.2.5") == 429  # the first is the guesser's own word
    assert guess(behind, "2001:db8::1") == 401
    assert guess(behind, "2001:db8::2") == 429  # one machine may have the whole /64
    assert [guess(plain, "198.51.100.1"), guess(plain, "198.51.100.2")] == [401, 429]


def test_guesses_at_metrics_and_callbacks_count(process: Open) -> None:
    client = process(rates={"failures_a_minute": 2}, metrics_token="metrics-token-16")
    wrong = {"Authorization": "Bearer wrong"}
    assert [client.get("/metrics", headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert [client.post("/v1/callbacks/glasgow-housing").status_code for _ in range(3)] == [401, 401, 429]
    assert client.post("/v1/callbacks/glasgow-health").status_code == 401  # another agency is not held up


def test_nothing_is_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MANY", 10)
    buckets = door.Buckets(1_000_000_000)
    for number in range(100):
        buckets.take(str(number), "x")
    assert len(buckets._full_at) <= 11


def test_a_database_that_is_away_is_no_wrong_key(process: Open, hub: Hub, store: Store) -> None:
    client = process(rates={"failures_a_minute": 1})
    store.close()
    for _ in range(3):
        problem(Hub(client, hub.key).call("GET", "/v1/agencies"), 503, "unavailable")
