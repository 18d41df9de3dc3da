"""How the web process listens: what is no HTTP, or comes too slowly, is told so and hung up on."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.api import server
from gateway.delivery.room import PostRoom
from tests.rooms.api.listening import Listener, hear, listening, opened
from tests.support import Agencies

PATIENCE = 0.4  # seconds
POST = b"POST /v1/referrals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"


@pytest.fixture(scope="module")
def room(new_database: Callable[[], str], agencies: Agencies) -> Iterator[PostRoom]:
    with opened(new_database(), agencies, arrival=f"{PATIENCE}s", hsts="365d") as made:
        yield made


@pytest.fixture(scope="module")
def listener(room: PostRoom) -> Iterator[Listener]:
    with listening(room) as found:
        yield found


def problem(heard: bytes, status: int, slug: str) -> dict[str, Any]:
    """The problem document that was heard; it carries what every answer does."""
    head, _, body = heard.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} "), heard[:200]
    for line in (
        "content-type: application/problem+json", "cache-control: no-store", "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "strict-transport-security: max-age=31536000",
    ):  # fmt: skip
        assert line in lines
    found: dict[str, Any] = json.loads(body)
    assert found["type"].endswith(f"/{slug}")
    return found


SLOW: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "a head, letter by letter": (b"GET /healthz HTTP/1.1\r\nX-Slow: ", b"a"),
    "headers, one after the other": (b"GET /healthz HTTP/1.1\r\n", b"X-A: b\r\n"),
    "a body of a known length": (POST + b"Content-Length: 50000\r\n\r\n", b" "),
    "a body in chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("name", SLOW)
def test_who_sends_slowly_is_hung_up_on(listener: Listener, name: str, hub_key: str) -> None:
    head, drip = SLOW[name]
    head = head.replace(b"Host: x", f"Host: x\r\nAuthorization: Bearer {hub_key}".encode())
    started = time.monotonic()
    with listener.connect() as stream:
        stream.sendall(head)
        stream.settimeout(0.02)
        heard = b""
        while time.monotonic() - started < 5:
            try:
                stream.sendall(drip)
                part = stream.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not part:
                break
            heard += part
    assert PATIENCE <= time.monotonic() - started < PATIENCE + 1
    problem(heard, 408, "request-timeout")


def test_who_is_answered_early_may_not_go_on_for_ever(listener: Listener) -> None:
    """Nobody reads the body of a stranger's request; sending it slowly holds no connection."""
    started = time.monotonic()
    with listener.connect() as stream:
        stream.sendall(POST + b"Content-Length: 50000\r\n\r\n")
        stream.settimeout(5)
        heard = hear(stream)
    assert heard.startswith(b"HTTP/1.1 401 ")
    assert heard.count(b"HTTP/1.1 ") == 1
    assert time.monotonic() - started < PATIENCE + 1


def test_who_does_not_read_is_hung_up_on(listener: Listener) -> None:
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect(("127.0.0.1", listener.port))
        stream.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)  # more than the kernel keeps for us
        time.sleep(0.1)
        mine = stream.getsockname()[1]
        assert mine in listener.callers()
        deadline = time.monotonic() + PATIENCE + 8
        while mine in listener.callers() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert mine not in listener.callers()


def test_a_length_and_chunks_at_once_hide_no_second_request(listener: Listener) -> None:
    both = POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    heard = listener.say(both + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert heard.count(b"HTTP/1.1 ") == 1
    problem(heard, 400, "malformed")


def test_each_request_of_a_connection_has_its_own_time(listener: Listener) -> None:
    with listener.connect() as stream:
        for _ in range(3):
            stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(PATIENCE * 0.7)
            assert stream.recv(65536).startswith(b"HTTP/1.1 200 ")
        stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal")  # the next one comes behind, and stops
        stream.settimeout(5)
        first, _, second = hear(stream).partition(b'{"status":"ok"}')
    assert first.startswith(b"HTTP/1.1 200 ")
    problem(second, 408, "request-timeout")


NO_HTTP: dict[str, bytes] = {
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "a head without an end": b"GET / HTTP/1.1\r\nX-A: " + b"a" * (server.LONGEST_HEAD + 1),
    "headers without an end": b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 9000,
    "an address without an end": b"GET /" + b"a" * (server.LONGEST_HEAD + 1),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: \0\r\n\r\n",
    "a header that begins with a space": b"GET /healthz HTTP/1.1\r\n X-A: b\r\nHost: x\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length that is none": POST + b"Content-Length: two\r\n\r\n{}",
    "a coding nobody knows": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a control character in the address": b"GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address that is not ASCII": "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_told_so(listener: Listener, name: str) -> None:
    heard = listener.say(NO_HTTP[name])
    assert heard.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), heard[:200]
    problem(heard, 400, "malformed")


def test_there_is_room_for_so_many(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    held = [listener.connect() for _ in range(3)]
    time.sleep(0.1)
    problem(listener.say(), 503, "busy")
    for stream in held:
        stream.close()
    time.sleep(0.1)
    assert listener.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
