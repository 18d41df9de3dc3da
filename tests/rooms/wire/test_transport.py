"""The wire against servers that misbehave: one deadline, honest codes, nothing followed, nothing leaked."""

import gzip
import socket
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
import pytest

from gateway import wire
from gateway.errors import MaybeSent, NotSent
from gateway.wire import Target
from tests.rooms.wire.hostile import Act, Certificates, always, reply, serving

POST = sdk.RestRequest("POST", "/referrals", json={"name": "CANARY"}, idempotency_key="k")


def target(url: str, **changes: Any) -> Target:
    return Target("agency", url, deadline=0.6, max_reply=10_000, **changes)


def fails(kind: type[NotSent] | type[MaybeSent], code: str, request: sdk.Request, to: Target) -> None:
    """*request* fails as said; what is raised quotes nothing of it."""
    with pytest.raises(kind) as caught:
        wire.send(request, to)
    assert caught.value.code == code
    assert code in wire.CODES
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "CANARY" not in shown


def test_a_reply_is_brought_back() -> None:
    with serving(always(reply(b'{"id": "7"}', "201 Created"))) as server:
        found = wire.send(POST, target(server.url))
    assert (found.status, found.json) == (201, {"id": "7"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"name":"CANARY"}'
    assert b"Idempotency-Key: k" in head
    assert b"Accept-Encoding: identity" in head


def test_error_statuses_are_replies() -> None:
    with serving(always(reply(b"busy", "503 Service Unavailable", "text/plain", "Retry-After: 7"))) as server:
        assert wire.send(POST, target(server.url)).retry_after == 7


def drip(part: bytes) -> Act:
    def act(stream: socket.socket, request: bytes) -> None:
        for _ in range(200):
            stream.sendall(part)
            time.sleep(0.05)

    return act


def head_then_drip(stream: socket.socket, request: bytes) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    drip(b"x")(stream, request)


def headers_then_drip(stream: socket.socket, request: bytes) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(b"X-A: b\r\n")(stream, request)


def black_hole(stream: socket.socket, request: bytes) -> None:
    time.sleep(5)


@pytest.mark.parametrize(
    "act",
    [black_hole, head_then_drip, headers_then_drip, drip(b"H"), drip(b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["black hole", "slow body", "slow headers", "slow status line", "endless 100 Continue"],
)
def test_the_deadline_is_for_the_whole_exchange(act: Act) -> None:
    with serving(act) as server:
        started = time.monotonic()
        with pytest.raises(MaybeSent):
            wire.send(POST, target(server.url))
        assert time.monotonic() - started < 1.5
        assert len(server.requests) == 1


def test_a_black_hole_is_a_timeout() -> None:
    with serving(black_hole) as server:
        fails(MaybeSent, "timeout", POST, target(server.url))


def reset(stream: socket.socket, request: bytes) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def close(stream: socket.socket, request: bytes) -> None:
    stream.close()


def lying(stream: socket.socket, request: bytes) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}")
    stream.close()


def cut_chunks(stream: socket.socket, request: bytes) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
    stream.close()


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (reset, "connection_lost"),
        (close, "connection_lost"),
        (lying, "reply_truncated"),
        (cut_chunks, "reply_truncated"),
        (always(b"SSH-2.0-OpenSSH\r\n\r\n"), "connection_lost"),
        (always(reply(b"x" * 20_000)), "reply_too_large"),
        (always(reply(gzip.compress(b"{}"), "200 OK", "application/json", "Content-Encoding: gzip")), "reply_unreadable"),
        (always(b"HTTP/1.1 200 OK\r\n" + b"X-Flood: y\r\n" * 5000 + b"\r\n"), "connection_lost"),
    ],
    ids=["reset", "close", "lying length", "cut chunks", "not HTTP", "too large", "gzip", "header flood"],
)  # fmt: skip
def test_what_was_written_may_have_arrived(act: Act, code: str) -> None:
    with serving(act) as server:
        fails(MaybeSent, code, POST, target(server.url))
        assert len(server.requests) == 1  # nothing tries again by itself


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_redirects_are_not_followed(status: str) -> None:
    with serving(always(reply())) as elsewhere:
        answer = reply(b"", status, "text/plain", f"Location: {elsewhere.url}/x")
        with serving(always(answer)) as server:
            fails(MaybeSent, "redirected", POST, target(server.url))
        assert elsewhere.connections == 0


def test_what_cannot_be_reached_was_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        fails(NotSent, "connect_failed", POST, target(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    fails(NotSent, "name_unknown", POST, target("http://no-such-host.invalid"))


PATHS = [
    "//evil.example/x", "x", "http://evil.example/", "/a/../b", "/%2e%2e/b", "/@evil", "/a b", "/a\r\nX: y", "/a?b=c", "/é",
    "/a#b",
]  # fmt: skip
HEADERS = [
    ("Host", "evil"), ("Authorization", "x"), ("X-A", "b\r\nX-B: c"), ("X A", "b\x00"), ("Content-Length", "0"),
    ("Cookie", "a"),
]  # fmt: skip
ASTRAY = [
    *(sdk.RestRequest("GET", path) for path in PATHS),
    *(sdk.RestRequest("GET", "/a", headers={name: value}) for name, value in HEADERS),
    sdk.RestRequest("POST", "/a", json={1, 2}),
    sdk.RestRequest("POST", "/a", json=float("nan")),
]


@pytest.mark.parametrize("request_", ASTRAY, ids=repr)
def test_a_request_goes_to_its_agency_or_nowhere(request_: sdk.RestRequest) -> None:
    with serving(always(reply())) as server:
        fails(NotSent, "request_unbuildable", request_, target(server.url + "/base"))
        assert server.connections == 0


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serving(always(reply())) as proxy, serving(always(reply())) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        wire.send(POST, target(server.url))
        assert (proxy.connections, len(server.requests)) == (0, 1)
        assert b"Authorization" not in server.requests[0]


def test_a_connection_is_kept_and_one_closed_while_idle_does_no_harm() -> None:
    with serving(always(reply())) as server:
        for _ in range(3):
            wire.send(POST, target(server.url))
        assert server.connections == 1

    def once(stream: socket.socket, request: bytes) -> None:
        stream.sendall(reply())
        stream.close()

    with serving(once) as server:
        for _ in range(3):
            wire.send(POST, target(server.url))
            time.sleep(0.05)
        assert (len(server.requests), server.connections) == (3, 3)


def test_a_connection_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.transport.IDLE", 0.0)
    with serving(always(reply())) as server:
        wire.send(POST, target(server.url))
        wire.send(POST, target(server.url))
        assert server.connections == 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def secure(port: int, certificates: Certificates, **changes: Any) -> Target:
    return target(f"https://127.0.0.1:{port}", ca_file=certificates.authority, **changes)


def test_a_private_authority_is_trusted_when_it_is_configured(certificates: Certificates) -> None:
    with serving(always(reply()), certificates.server("good")) as server:
        assert wire.send(POST, secure(server.port, certificates)).status == 200
        fails(NotSent, "tls_failed", POST, replace(secure(server.port, certificates), ca_file=None))


@pytest.mark.parametrize(
    "options", [{"host": "other.example"}, {"host": "127.0.0.2"}, {"days": -1}], ids=["name", "address", "expired"]
)
def test_a_wrong_certificate_is_refused(certificates: Certificates, options: dict[str, Any]) -> None:
    with serving(always(reply()), certificates.server("wrong", **options)) as server:
        fails(NotSent, "tls_failed", POST, secure(server.port, certificates))
        assert server.requests == []


def test_plain_http_on_a_tls_address_is_refused(certificates: Certificates) -> None:
    def shout(stream: socket.socket, request: bytes) -> None:
        stream.sendall(reply())

    with serving(shout) as server:
        with pytest.raises(NotSent):
            wire.send(POST, secure(server.port, certificates))
        assert not any(b"CANARY" in request for request in server.requests)


def test_a_client_certificate_is_shown(certificates: Certificates) -> None:
    mine, key = certificates.make("client", "gateway")
    with serving(always(reply()), certificates.server("mutual", client_too=True)) as server:
        shown = secure(server.port, certificates, client_certificate=mine, client_key=key)
        assert wire.send(POST, shown).status == 200
        with pytest.raises((NotSent, MaybeSent)):
            wire.send(POST, secure(server.port, certificates))


def test_credentials_are_not_shown() -> None:
    assert "SECRET" not in repr(target("http://127.0.0.1", credentials={"token": "SECRET"}))


def token_server(lasting: int = 300, statuses: Callable[[int], str] = lambda count: "200 OK") -> tuple[Act, list[str]]:
    """A server that gives tokens t1, t2 and answers calls as *statuses* says. Returns what it saw, too."""
    seen: list[str] = []

    def act(stream: socket.socket, request: bytes) -> None:
        if request.startswith(b"POST /token"):
            seen.append("token")
            body = f'{{"access_token": "t{seen.count("token")}", "token_type": "Bearer", "expires_in": {lasting}}}'
            stream.sendall(reply(body.encode()))
        else:
            line = next(line for line in request.split(b"\r\n") if line.startswith(b"Authorization"))
            seen.append(line.decode().split()[-1])
            stream.sendall(reply(b"{}", statuses(len(seen) - seen.count("token"))))

    return act, seen


OAUTH = {"auth": sdk.OAuth2ClientCredentials("/token", "s"), "credentials": {"client_id": "i", "client_secret": "s"}}


def test_a_token_is_fetched_once_and_kept() -> None:
    act, seen = token_server()
    with serving(act) as server:
        for _ in range(3):
            wire.send(POST, target(server.url, **OAUTH))
    assert seen == ["token", "t1", "t1", "t1"]


def test_a_refused_token_is_renewed_once() -> None:
    act, seen = token_server(statuses=lambda count: "401 Unauthorized")
    with serving(act) as server:
        assert wire.send(POST, target(server.url, **OAUTH)).status == 401
    assert seen == ["token", "t1", "token", "t2"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(b"{}", "401 Unauthorized"), "token_refused"),
        (reply(b"{}", "503 Service Unavailable"), "token_unavailable"),
        (reply(b"<html>"), "token_unavailable"),
        (reply(b'{"access_token": "a\\nb"}'), "token_unavailable"),
        (b"", "token_unavailable"),
    ],
)
def test_without_a_token_nothing_is_sent(answer: bytes, code: str) -> None:
    def act(stream: socket.socket, request: bytes) -> None:
        stream.sendall(answer)
        stream.close()

    with serving(act) as server:
        fails(NotSent, code, POST, target(server.url, **OAUTH))
        assert not any(b"CANARY" in request for request in server.requests)


@pytest.mark.parametrize(
    ("auth", "credentials", "expected"),
    [
        (sdk.Bearer(), {"token": "abc"}, b"Authorization: Bearer abc"),
        (sdk.ApiKey("X-Key"), {"api_key": "abc"}, b"X-Key: abc"),
    ],
)
def test_fixed_credentials_are_added(auth: sdk.Auth, credentials: dict[str, str], expected: bytes) -> None:
    with serving(always(reply())) as server:
        wire.send(POST, target(server.url, auth=auth, credentials=credentials))
    assert expected in server.requests[0]
