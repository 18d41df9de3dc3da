"""A TCP proxy on loopback that can be told to misbehave while connections run through it."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

PIECE = 65536
LINGER_OFF, LINGER_0 = struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)  # with 0 seconds, closing is a reset


class Fault(StrEnum):
    NONE = "none"
    LATENCY = "latency"  # every piece waits
    DRIP = "drip"  # replies come a byte at a time
    RESET = "reset"  # what was asked is passed on; the answer becomes a reset
    TRUNCATE = "truncate"  # half of an answer, then the end
    HALF_OPEN = "half-open"  # connections are accepted, and stand still until this is over
    BLACK_HOLE = "black hole"  # everything is taken, nothing passed on; such a connection is dead for good
    REFUSE = "refuse"  # nobody listens; what was open is reset


@dataclass(eq=False)
class Link:
    """One connection through the proxy. *dead*: something of it was swallowed, so that it can never go on.

    *over*: the proxy itself ended it.
    """

    client: socket.socket
    server: socket.socket
    dead: bool = False
    over: bool = False

    def reset(self) -> None:
        self.close(socket.SHUT_RD, LINGER_0)

    def close(self, how: int = socket.SHUT_RDWR, linger: bytes = LINGER_OFF) -> None:
        self.over = True
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end.shutdown(how)  # wakes whoever reads from it: until then it is not closed
        for end in (self.client, self.server):
            end.close()


class Proxy:
    """Passes connections on to *upstream*, a host and port or the path of a unix socket. A context manager.

    *links*: every connection it ever had.
    """

    def __init__(self, upstream: tuple[str, int] | str = ("127.0.0.1", 0)) -> None:
        self.upstream = upstream
        self.fault, self.pause = Fault.NONE, 0.0
        self.links: list[Link] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.be(Fault.REFUSE)

    def be(self, fault: Fault, pause: float = 0.0) -> None:
        """Misbehave in this way from now on. *pause*: seconds, for each piece or byte that is to wait."""
        with self._changed:
            before, self.fault, self.pause = self.fault, fault, pause
            self._changed.notify_all()
        if fault is Fault.REFUSE and before is not fault:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.reset()
        elif before is Fault.REFUSE and fault is not before:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self._listen()

    @contextmanager
    def being(self, fault: Fault, pause: float = 0.0) -> Iterator[None]:
        """Misbehave while the block runs."""
        self.be(fault, pause)
        try:
            yield
        finally:
            self.be(Fault.NONE)

    def reset(self) -> None:
        """Reset what is open now."""
        for link in self.links:
            link.reset()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._while(Fault.HALF_OPEN)
        family = socket.AF_UNIX if isinstance(self.upstream, str) else socket.AF_INET
        link = Link(client, socket.socket(family))
        self.links.append(link)
        try:
            link.server.connect(self.upstream)
            if family == socket.AF_INET:
                link.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # nobody is there, or it was reset meanwhile
            link.reset()
            return
        threading.Thread(target=self._pump, args=(link, link.server, client, True), daemon=True).start()
        self._pump(link, client, link.server, False)

    def _pump(self, link: Link, source: socket.socket, sink: socket.socket, reply: bool) -> None:
        try:
            while data := source.recv(PIECE):
                self._carry(link, sink, data, reply)
            self._while(Fault.HALF_OPEN, Fault.BLACK_HOLE)  # an end is not passed on either
            if not link.over:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            link.reset()

    def _carry(self, link: Link, sink: socket.socket, data: bytes, reply: bool) -> None:
        self._while(Fault.HALF_OPEN)
        link.dead |= self.fault is Fault.BLACK_HOLE
        if link.dead:
            return
        match self.fault:
            case Fault.RESET if reply:
                link.reset()
            case Fault.TRUNCATE if reply:
                sink.sendall(data[: len(data) // 2])
                link.close()
            case Fault.DRIP if reply:
                for place in range(len(data)):
                    self._wait(Fault.DRIP)
                    sink.sendall(data[place : place + 1])
            case _:
                self._wait(Fault.LATENCY)
                sink.sendall(data)

    def _while(self, *faults: Fault) -> None:
        """Return once it misbehaves in none of these ways."""
        with self._changed:
            self._changed.wait_for(lambda: self.fault not in faults)

    def _wait(self, fault: Fault) -> None:
        """Wait for the pause of *fault*, or until that is over."""
        until = time.monotonic() + self.pause
        with self._changed:
            self._changed.wait_for(lambda: self.fault is not fault, max(0.0, until - time.monotonic()))
