"""The proxy misbehaves as it is told, seen with a plain socket."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.proxy import Fault, Link, Proxy


@pytest.fixture
def heard() -> list[bytes]:
    """What the echo got."""
    return []


@pytest.fixture
def echo(heard: list[bytes]) -> Iterator[tuple[str, int]]:
    """A server that says back what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, heard), daemon=True).start()
        yield listener.getsockname()


def serve(listener: socket.socket, heard: list[bytes]) -> None:
    def converse(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(1000):
                heard.append(data)
                connection.sendall(data)

    with suppress(OSError):
        while True:
            threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(echo) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 1)


def ask(connection: socket.socket, question: bytes = b"hello!") -> bytes:
    """One question and one answer, or as much of it as comes within the timeout of *connection*."""
    connection.sendall(question)
    answer = b""
    while len(answer) < len(question) and (piece := connection.recv(1000)):
        answer += piece
    return answer


def test_it_passes_things_on_both_ways_and_the_end_too(proxy: Proxy, heard: list[bytes]) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        assert (ask(one, b"a"), ask(two, b"bb"), ask(one, b"c")) == (b"a", b"bb", b"c")
        one.shutdown(socket.SHUT_WR)
        assert one.recv(10) == b""
    assert heard == [b"a", b"bb", b"c"]


def test_it_speaks_to_a_unix_socket(tmp_path: Path, heard: list[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        threading.Thread(target=serve, args=(listener, heard), daemon=True).start()
        with Proxy(str(tmp_path / "s")) as proxy, connect(proxy) as connection:
            assert ask(connection) == b"hello!"


def test_latency_holds_up_each_piece(proxy: Proxy) -> None:
    with connect(proxy) as connection, proxy.being(Fault.LATENCY, 0.1):
        started = time.monotonic()
        assert ask(connection) == b"hello!"
        assert 0.2 <= time.monotonic() - started < 0.9


def test_a_drip_is_a_byte_at_a_time(proxy: Proxy) -> None:
    with connect(proxy) as connection, proxy.being(Fault.DRIP, 0.05):
        started = time.monotonic()
        connection.sendall(b"hello!")
        assert [connection.recv(1000) for _ in b"hello!"] == [b"h", b"e", b"l", b"l", b"o", b"!"]
        assert time.monotonic() - started >= 0.3


def test_a_reset_comes_after_the_request_arrived(proxy: Proxy, heard: list[bytes]) -> None:
    with connect(proxy) as connection, proxy.being(Fault.RESET):
        with pytest.raises(ConnectionResetError):
            ask(connection)
        assert heard == [b"hello!"]


def test_a_truncated_answer_is_its_first_half(proxy: Proxy, heard: list[bytes]) -> None:
    with connect(proxy) as connection, proxy.being(Fault.TRUNCATE):
        assert ask(connection) == b"hel"
        assert heard == [b"hello!"]


def test_what_stood_still_goes_on(proxy: Proxy, heard: list[bytes]) -> None:
    with connect(proxy) as old:
        assert ask(old, b"before") == b"before"
        with proxy.being(Fault.HALF_OPEN), connect(proxy) as new:
            for connection in (old, new):
                connection.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    ask(connection)
            assert heard == [b"before"]
        assert old.recv(100) == b"hello!"


def test_what_fell_into_a_black_hole_is_lost(proxy: Proxy, heard: list[bytes]) -> None:
    with connect(proxy) as old:
        old.settimeout(0.2)
        with proxy.being(Fault.BLACK_HOLE), connect(proxy) as new:
            new.settimeout(0.2)
            for connection in (old, new):
                with pytest.raises(TimeoutError):
                    ask(connection)
        with pytest.raises(TimeoutError):  # a connection of then stays dead
            ask(old)
        assert heard == []
        with connect(proxy) as later:
            assert ask(later) == b"hello!"


def test_nobody_listens_and_then_somebody_does_again(proxy: Proxy) -> None:
    with connect(proxy) as open_before:
        assert ask(open_before) == b"hello!"
        with proxy.being(Fault.REFUSE):
            with pytest.raises(ConnectionRefusedError):
                connect(proxy)
            with pytest.raises(ConnectionResetError):
                open_before.recv(10)
    with connect(proxy) as later:
        assert ask(later) == b"hello!"


def test_a_server_that_is_not_there_is_a_reset(proxy: Proxy) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        proxy.upstream = taken.getsockname()
        with pytest.raises(ConnectionResetError), connect(proxy) as connection:  # at once, perhaps
            ask(connection)


def test_it_may_be_reset_while_it_connects(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def hurried(client: socket.socket, server: socket.socket) -> Link:
        """Reset as soon as its other end is connected."""

        class Server(socket.socket):
            def connect(self, address: Any) -> None:
                super().connect(address)
                link.reset()

        server.close()
        link = Link(client, Server())
        return link

    with monkeypatch.context() as patched:
        patched.setattr("tests.faults.proxy.Link", hurried)
        with pytest.raises(ConnectionResetError), connect(proxy) as connection:
            connection.recv(10)
    with connect(proxy) as connection:
        assert ask(connection) == b"hello!"  # and no thread of it broke off
