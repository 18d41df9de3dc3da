"""One deadline for everything: finding an open address, the handshake, the sending, the reply; and what each fault is called."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
import pytest

from gateway import wire
from gateway.errors import MaybeSent, NotSent
from gateway.wire import Target
from tests.faults.proxy import Fault, Proxy
from tests.rooms.wire.hostile import Certificates, always, reply, serving

POST = sdk.RestRequest("POST", "/referrals", json={"name": "x"}, idempotency_key="k")
DEADLINE = 0.6  # seconds
SLACK = 2.0


def target(url: str, **changes: Any) -> Target:
    return Target("agency", url, **{"deadline": DEADLINE, "max_reply": 10_000, **changes})


def outcome(request: sdk.Request, to: Target) -> Any:
    """The reply's status, or the error's type and code; within the deadline."""
    started = time.monotonic()
    try:
        return wire.send(request, to).status
    except (NotSent, MaybeSent) as error:
        return type(error), error.code
    finally:
        assert time.monotonic() - started < to.deadline + SLACK


LONG = reply(b'{"note": "%s"}' % (b"x" * 2000))


@pytest.mark.parametrize("new", [True, False], ids=["new connection", "kept connection"])
@pytest.mark.parametrize(
    ("fault", "pause", "wanted"),
    [
        (Fault.NONE, 0, 200),
        (Fault.LATENCY, 0.1, 200),
        (Fault.LATENCY, 2, (MaybeSent, "timeout")),
        (Fault.DRIP, 0.01, (MaybeSent, "timeout")),
        (Fault.RESET, 0, (MaybeSent, "connection_lost")),
        (Fault.TRUNCATE, 0, (MaybeSent, "reply_truncated")),
        (Fault.HALF_OPEN, 0, (MaybeSent, "timeout")),
        (Fault.BLACK_HOLE, 0, (MaybeSent, "timeout")),
        (Fault.REFUSE, 0, (NotSent, "connect_failed")),
    ],
)
def test_what_each_fault_of_a_network_is_called(fault: Fault, pause: float, wanted: Any, new: bool) -> None:
    """On a kept connection the same: one that died while nobody looked is no failed sending, and no hidden second one."""
    with serving(always(LONG)) as server, Proxy(("127.0.0.1", server.port)) as between:
        to = target(f"http://127.0.0.1:{between.port}")
        patient = replace(to, deadline=20)  # where all is well, a busy machine must not make a timeout of it
        if not new:
            assert outcome(POST, patient) == 200
        before = len(server.requests)
        with between.being(fault, pause):
            time.sleep(0.05)  # a reset needs a moment
            assert outcome(POST, to if wanted == (MaybeSent, "timeout") else patient) == wanted
        assert len(server.requests) - before <= 1
        assert outcome(POST, patient) == 200  # and nothing of it is left over


@contextmanager
def nobody_accepts() -> Iterator[socket.socket]:
    """A listener whose queue is full: connecting takes for ever."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener


def test_all_addresses_of_a_name_share_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_accepts() as listener:
        found = socket.getaddrinfo(*listener.getsockname(), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found * 4)
        assert outcome(POST, target(f"http://agency.example:{listener.getsockname()[1]}")) == (
            NotSent,
            "connect_failed",
        )


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, serving(always(reply())) as server:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        places = [taken.getsockname(), ("127.0.0.1", server.port)]
        found = [entry for place in places for entry in socket.getaddrinfo(*place, type=socket.SOCK_STREAM)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert outcome(POST, target(f"http://agency.example:{server.port}")) == 200


def test_connecting_and_the_handshake_share_the_deadline(tmp_path: Path) -> None:
    """The connection stands after a second, when the kernel tries again; then nothing is said."""
    authority = Certificates(tmp_path).authority
    with nobody_accepts() as listener:
        accepted: list[socket.socket] = []

        def accept_later() -> None:
            time.sleep(0.3)
            with suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])

        threading.Thread(target=accept_later, daemon=True).start()
        to = target(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=authority, deadline=1.5)
        assert outcome(POST, to)[0] is NotSent
        listener.shutdown(socket.SHUT_RDWR)
        begun = [one for one in accepted if _said(one) == b"\x16"]
        for one in accepted:
            one.close()
        assert len(begun) == 1  # it was connected, and the handshake begun


def _said(connection: socket.socket) -> bytes:
    """The first byte of it, if there is one; those that fill the queue say nothing."""
    with suppress(BlockingIOError):
        return connection.recv(1, socket.MSG_DONTWAIT)
    return b""


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_who_reads_slowly_does_not_hold_us_up(secure: bool, tmp_path: Path) -> None:
    """The deadline is for all that is sent, not for each piece of it."""
    certificates = Certificates(tmp_path)

    def read_slowly(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        stream: socket.socket = connection
        if secure:
            stream = certificates.server("slow").wrap_socket(connection, server_side=True)
        with stream:
            while stream.recv(65536):
                time.sleep(0.1)

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=read_slowly, args=(listener,), daemon=True).start()
        scheme = "https" if secure else "http"
        to = target(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", ca_file=certificates.authority, deadline=2)
        huge = sdk.RestRequest("POST", "/referrals", json={"text": "x" * 8_000_000})
        assert outcome(huge, to) == (MaybeSent, "timeout")


def test_a_reply_without_an_end_is_too_large() -> None:
    def endless(stream: socket.socket, request: bytes) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            stream.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    with serving(endless) as server:
        assert outcome(POST, target(server.url)) == (MaybeSent, "reply_too_large")
