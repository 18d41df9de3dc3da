"""Against a server that answers as it is told to."""

import json
import socket
import threading
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from gateway_client import (
    BadSignature,
    Changed,
    Client,
    Conflict,
    ConsentMissing,
    Invalid,
    NoAnswer,
    NotFound,
    Problem,
    Unauthenticated,
    Unavailable,
    transport,
    verify_webhook,
)
from standardwebhooks import Webhook

from .conftest import DRAFT, OK, Answer, Gateway, told


def test_the_key_is_sent_and_a_netrc_does_not_take_its_place(
    gateway: Gateway, client: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    gateway.answers = [(200, {"agencies": []}, {})]
    assert client.agencies() == []
    assert gateway.seen[0][2]["authorization"] == "Bearer gw_secret"


@pytest.mark.parametrize("trouble", [None, (503, {}, {}), (502, b"<html>", {}), (504, {}, {}), (429, {}, {})])
def test_a_submission_is_repeated_under_its_key(gateway: Gateway, client: Client, trouble: Answer | None) -> None:
    gateway.answers = [trouble, trouble, OK]
    assert client.submit(DRAFT)["id"] == "ref_1"
    assert len({(headers["idempotency-key"], body) for _, _, headers, body in gateway.seen}) == 1
    assert len(gateway.seen) == 3
    client.submit(DRAFT)
    client.submit(DRAFT, key="mine")
    keys = [headers["idempotency-key"] for _, _, headers, _ in gateway.seen[2:]]
    assert len(set(keys)) == 3
    assert keys[-1] == "mine"


@pytest.mark.parametrize("trouble", [None, (503, {}, {})])
def test_what_may_do_harm_is_not_repeated(gateway: Gateway, client: Client, trouble: Answer | None) -> None:
    gateway.answers = [trouble]
    for call in (lambda: client.record_consent({}), lambda: client.webhooks.create("https://h.example")):
        with pytest.raises(NoAnswer if trouble is None else Unavailable):
            call()
    assert len(gateway.seen) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (told(400, "idempotency-key-missing"), Problem), (told(401, "unauthenticated"), Unauthenticated),
        (told(403, "consent-missing", missing=[{"agency": "a"}]), ConsentMissing), (told(404, "not-found"), NotFound),
        (told(409, "conflict"), Conflict), (told(412, "changed"), Changed), (told(422, "invalid", errors=[{"pointer": "/x"}]), Invalid),
        (told(500, "internal"), Unavailable), ((302, b"", {"Location": "http://127.0.0.1:1/"}), Problem),
        ((200, b"<html>a proxy's page</html>", {}), Problem), ((418, b"CANARY", {}), Problem),
    ],
)  # fmt: skip
def test_a_no_is_raised_and_not_repeated(gateway: Gateway, client: Client, answer: Answer, kind: type[Problem]) -> None:
    gateway.answers = [answer]
    with pytest.raises(kind) as caught:
        client.submit(DRAFT)
    assert caught.value.status == answer[0]
    assert "CANARY" not in str(caught.value) + repr(caught.value)
    assert len(gateway.seen) == 1
    if kind is ConsentMissing:
        assert caught.value.missing == [{"agency": "a"}]
        assert str(caught.value) == "403 consent-missing: Do this."
    if kind is Invalid:
        assert caught.value.errors == [{"pointer": "/x"}]


def test_patience_ends(gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE", 0.2)
    gateway.answers = [told(503, "unavailable")]
    started = time.monotonic()
    with pytest.raises(Unavailable):
        client.referral("ref_1")
    assert 0.5 < time.monotonic() - started < 8
    assert 2 <= len(gateway.seen) <= 8


def test_nobody_there(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", "k", patience=0.5) as lonely, pytest.raises(NoAnswer) as caught:
        lonely.submit(DRAFT)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("in_words", [False, True])
def test_it_waits_as_long_as_the_gateway_asks(gateway: Gateway, client: Client, in_words: bool) -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if in_words else "1"
    gateway.answers = [(503, {}, {"Retry-After": value}), OK]
    started = time.monotonic()
    client.submit(DRAFT)
    assert time.monotonic() - started > 0.9
    gateway.answers = [(429, {}, {"Retry-After": "3600"}), OK]
    with pytest.raises(Unavailable) as caught:  # longer than its patience: raised at once
        client.submit(DRAFT)
    assert caught.value.retry_after == 3600


def test_words_are_said_under_a_key_and_a_contradiction_is_decided(gateway: Gateway, client: Client) -> None:
    gateway.answers = [
        (503, {}, {}),
        (202, {"id": "msg_1"}, {}),
        (200, {"messages": []}, {}),
        (200, {"id": "del_1"}, {}),
    ]
    assert client.say("ref_1", "housing", "On Monday.", answers="msg_0")["id"] == "msg_1"
    assert client.messages("ref_1") == []
    client.decide("del_1", 7, believe=False)
    tried, said, read, decided = gateway.seen
    assert tried[2]["idempotency-key"] == said[2]["idempotency-key"]
    assert json.loads(said[3]) == {"agency": "housing", "text": "On Monday.", "answers": "msg_0"}
    assert (said[1], read[:2]) == ("/v1/referrals/ref_1/messages", ("GET", "/v1/referrals/ref_1/messages"))
    assert (decided[1], json.loads(decided[3])) == ("/v1/deliveries/del_1/contradictions/7", {"believe": False})


def test_pages_are_fetched_as_needed(gateway: Gateway, client: Client) -> None:
    gateway.answers = [
        (200, {"deliveries": [{"id": 1}, {"id": 2}], "next": "abc"}, {}),
        (200, {"deliveries": [{"id": 3}]}, {}),
    ]
    found = client.deliveries(agency="a", states=["dead", "asking"])
    next(found)
    assert [path for _, path, _, _ in gateway.seen] == ["/v1/deliveries?agency=a&state=dead&state=asking&limit=200"]
    assert [delivery["id"] for delivery in found] == [2, 3]  # type: ignore[comparison-overlap]
    assert "after=abc" in gateway.seen[1][1]


def test_following_goes_on_through_an_outage(gateway: Gateway, client: Client) -> None:
    page = {"events": [{"id": "4"}, {"id": "7"}], "next": "7"}
    nothing, later = {"events": [], "next": "7"}, {"events": [{"id": "9"}], "next": "9"}
    gateway.answers = [(200, page, {}), (200, nothing, {}), None, told(503, "x"), (200, later, {})]
    stop = threading.Event()
    seen = []
    for event in client.follow("3", pause=0.01, stop=stop):
        seen.append(event["id"])
        if event["id"] == "9":
            stop.set()
    assert seen == ["4", "7", "9"]
    assert [path.partition("after=")[2].partition("&")[0] for _, path, _, _ in gateway.seen] == [
        "3",
        "7",
        "7",
        "7",
        "7",
    ]
    gateway.answers = [told(401, "unauthenticated")]
    with pytest.raises(Unauthenticated):
        next(client.follow())


@pytest.mark.parametrize("url", ["http://gateway.example", "ftp://x", "gateway.example", "http://127.0.0.1.example/"])
def test_the_key_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(ValueError, match="use https"):
        Client(url, "k")


OLD, NEW = (f"whsec_{b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))
BODY = b'{"type":"delivery.state","timestamp":"2026-01-01T00:00:00Z","data":{"id":"7","type":"delivery.state"}}'


def signed(secret: str, at: datetime, body: bytes = BODY) -> dict[str, str]:
    signature = Webhook(secret).sign("del_1", at, body.decode())
    return {"Webhook-Id": "del_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


def test_webhooks_are_verified() -> None:
    now = datetime.now(UTC)
    assert verify_webhook([NEW, OLD], signed(OLD, now), BODY)["data"]["id"] == "7"
    assert verify_webhook(NEW, signed(NEW, now), BODY)["type"] == "delivery.state"
    wrong: list[tuple[dict[str, str], bytes]] = [
        (signed(OLD, now), BODY), (signed(NEW, now), BODY + b" "), (signed(NEW, now - timedelta(minutes=6)), BODY),
        (signed(NEW, now + timedelta(minutes=6)), BODY), ({}, BODY), (signed(NEW, now) | {"Webhook-Signature": "x"}, BODY),
        (signed(NEW, now) | {"Webhook-Signature": "v1,é"}, BODY), (signed(NEW, now) | {"Webhook-Id": "del_2"}, BODY),
        (signed(NEW, now, b"not JSON"), b"not JSON"), (signed(NEW, now), b"\xff"),
    ]  # fmt: skip
    for headers, body in wrong:
        with pytest.raises(BadSignature):
            verify_webhook([NEW], headers, body)
