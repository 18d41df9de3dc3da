"""What comes in is looked at before anything else; what goes wrong is told as a problem."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway import app
from gateway.delivery.room import PostRoom
from gateway.errors import Misconfigured
from gateway.store import schema, session
from gateway.store.session import Store
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem

JSON = {"Content-Type": "application/json", "Idempotency-Key": "k"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000, b'{"a": "\\ud800"}', b'{"a": "\\u0000"}',
        b"1" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(hub: Hub, body: bytes) -> None:
    problem(hub.call("POST", "/v1/referrals", content=body, headers=JSON), 400, "malformed")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
def test_only_json_is_taken(hub: Hub, kind: str) -> None:
    answer = hub.call("POST", "/v1/consents", content=b"{}", headers={"Content-Type": kind})
    problem(answer, 415, "unsupported-media-type")


def test_a_body_over_the_limit_is_refused(hub: Hub, room: PostRoom) -> None:
    large = b"[" + b" " * room.settings.body_limit + b"]"
    problem(hub.call("POST", "/v1/referrals", content=large, headers=JSON), 413, "too-large")

    def chunks() -> Any:
        for _ in range(room.settings.body_limit // 1024 + 2):
            yield b" " * 1024

    problem(hub.call("POST", "/v1/referrals", content=chunks(), headers=JSON), 413, "too-large")


def test_unknown_addresses_and_methods(hub: Hub) -> None:
    problem(hub.call("GET", "/v1/nothing"), 404, "not-found")
    answer = hub.call("DELETE", "/v1/referrals")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    assert hub.call("OPTIONS", "/v1/webhooks/whe_x").headers["allow"] == "DELETE, GET, PATCH"


def test_bad_parameters_are_named_without_their_value(hub: Hub) -> None:
    answer = hub.call("GET", "/v1/events?limit=SECRETVALUE")
    document = problem(answer, 422, "invalid-parameter")
    assert document["errors"][0]["parameter"] == "query.limit"
    assert "SECRETVALUE" not in answer.text


def test_a_mistake_inside_is_a_plain_500(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("SECRETVALUE")

    monkeypatch.setattr("gateway.api.agencies.AgencyView", fail)
    with caplog.at_level(logging.DEBUG):
        answer = hub.call("GET", "/v1/agencies")
    problem(answer, 500, "internal")
    assert "SECRETVALUE" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text


def test_a_database_that_is_away_is_a_503(hub: Hub, room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    from psycopg_pool import PoolTimeout

    def away(*args: Any, **kwargs: Any) -> Any:
        raise PoolTimeout("no connection")

    monkeypatch.setattr(room.store._pool, "connection", away)
    answer = hub.call("GET", "/readyz")
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert hub.client.get("/healthz").json() == {"status": "ok"}


def test_a_wrong_database_address_is_one_line(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "OPENING", 1)
    with pytest.raises(Misconfigured, match="database_url"):
        Store("postgresql://nobody@127.0.0.1:1/none", room.store.vault).open()


def test_a_malformed_database_address_is_not_quoted() -> None:
    with pytest.raises(Misconfigured, match="database_url") as told:
        schema.current("postgresql://me:a-secret@[host/name")
    assert "a-secret" not in str(told.value)


def test_every_answer_carries_what_browsers_are_to_heed(room: PostRoom) -> None:
    secure = room.settings.model_copy(update={"hsts": timedelta(days=730)})
    with TestClient(app.build(replace(room, settings=secure)), follow_redirects=False) as client:
        large = {"content": b" " * (room.settings.body_limit + 1)}
        for answer in (
            client.get("/healthz"), client.get("/openapi.json"), client.get("/v1/events"), client.get("/nothing"),
            client.get("/console"), client.get("/console/login"), client.post("/v1/consents", **large),
        ):  # fmt: skip
            headers = answer.headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            page = headers["content-type"].startswith("text/html") if "content-type" in headers else False
            assert headers["referrer-policy"] == ("same-origin" if page else "no-referrer")
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["strict-transport-security"] == "max-age=63072000"


def test_https_is_not_insisted_on_unless_it_is_said(client: TestClient) -> None:
    assert "strict-transport-security" not in client.get("/healthz").headers


def test_schemas_are_served(client: TestClient) -> None:
    assert client.get("/schemas/v1/referral.json").json()["title"] == "Referral"
    problem(client.get("/schemas/v1/gossip.json"), 404, "not-found")
