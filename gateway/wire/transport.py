"""Bytes out, bytes in: one deadline for the whole exchange, a cap on replies, no redirects, no proxies.

Built on requests and urllib3, whose timeouts hold for each read only: the socket is wrapped so that
every wait is cut to what is left of the deadline, and so that it is known whether a byte was written.
"""

import io
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import requests
import urllib3
from gateway_sdk import Reply
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateway.errors import MaybeSent, NotSent

from . import connections, outside
from .target import Target

IDLE = 4.0  # seconds; most servers keep a connection for five or more, so a kept one is not found closed
CHUNK = 65536
FRAMING = 256 * 1024  # bytes that may come beside twice the largest reply: its head, and how it is cut into chunks
OURS = {"User-Agent": "referral-gateway", "Accept-Encoding": "identity"}


class TooMuch(OSError):
    """More came than any reply needs."""


@dataclass
class Exchange:
    """The conversation of this thread: when it must be over, how much may still come, and whether anything was written."""

    deadline: float  # of time.monotonic()
    room: int  # bytes
    wrote: bool = False

    def left(self) -> float:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining

    def read(self, count: int) -> None:
        self.room -= count
        if self.room < 0:
            raise TooMuch


class _Local(threading.local):
    exchange = Exchange(0.0, 0)
    adapters: dict[bool, HTTPAdapter]

    def __init__(self) -> None:
        self.adapters = {}


_local = _Local()


class _Reader(io.RawIOBase):
    """Reads from a socket, each wait cut to what is left of the deadline.

    All that is read counts: heads, framing and trailers have no end of their own, and http.client reads a chunk of
    negative size up to the end of the connection, whatever amount it was asked for.
    """

    def __init__(self, owner: "_Socket") -> None:
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._owner.settimeout(_local.exchange.left())
        count: int = self._owner.recv_into(buffer)
        _local.exchange.read(count)
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.release()


class _Socket:
    """A connected socket that keeps to the thread's Exchange. Everything else is the socket's own.

    It stays open for who still reads: http.client closes it when the head says that the connection ends, and reads on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._readers, self._wanted = sock, 0, True

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(_local.exchange.left())
        _local.exchange.wrote = True
        self._sock.sendall(data)

    def makefile(self, mode: str, *args: Any, **kwargs: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Reader(self), CHUNK)

    def close(self) -> None:
        self._wanted = False
        self._close_unused()

    def release(self) -> None:
        self._readers -= 1
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._wanted and not self._readers:
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Timed:
    """A connection whose making, TLS included, and use keep to the thread's Exchange."""

    idle_since = 0.0
    sock: Any
    host: str
    port: int
    _dns_host: str

    def _places(self) -> list[connections.Place]:
        return connections.resolve(self._dns_host, self.port)

    def _new_conn(self) -> socket.socket:
        try:
            places = self._places()
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from None  # type: ignore[arg-type]
        return connections.connect(places, _local.exchange.left)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _Socket(self.sock)


class _Plain(_Timed, HTTPConnection):
    pass


class _Secure(_Timed, HTTPSConnection):
    pass


class _Public(_Secure):
    """Connects to public addresses only."""

    def _places(self) -> list[connections.Place]:
        return outside.resolve(self._dns_host, self.port)


class _KeepsFresh:
    """A kept connection that has been idle for long is opened anew: the other side may be closing it."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.idle_since > IDLE:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _PlainPool(_KeepsFresh, HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(_KeepsFresh, HTTPSConnectionPool):
    ConnectionCls = _Secure


class _PublicPool(_KeepsFresh, HTTPSConnectionPool):
    ConnectionCls = _Public


class _Adapter(HTTPAdapter):
    pools: ClassVar[dict[str, Any]] = {"http": _PlainPool, "https": _SecurePool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.pools

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if str(request.url).partition("://")[0] not in self.pools:
            raise requests.exceptions.InvalidSchema
        return super().send(request, *args, **kwargs)


class _PublicAdapter(_Adapter):
    pools: ClassVar[dict[str, Any]] = {"https": _PublicPool}


def _adapter(public_only: bool) -> HTTPAdapter:
    """One for each thread: sharing one costs locks, and its connections would be used by turns.

    Another for addresses chosen outside, so that they never ride on a connection that leads inside. Without a session of
    requests around it there are no cookies, no redirects, no proxies, netrc or certificate bundles from the environment.
    """
    if public_only not in _local.adapters:
        kind = _PublicAdapter if public_only else _Adapter
        _local.adapters[public_only] = kind(pool_connections=64, pool_maxsize=1, max_retries=0)
    return _local.adapters[public_only]


def exchange(target: Target, method: str, url: str, body: bytes, headers: Mapping[str, str], deadline: float) -> Reply:
    """One HTTP request and its reply. *deadline*: of time.monotonic(). Raises NotSent, MaybeSent."""
    _local.exchange = now = Exchange(deadline, room=2 * target.max_reply + FRAMING)
    certificate = (str(target.client_certificate), str(target.client_key)) if target.client_certificate else None
    try:
        timeout = now.left()
    except TimeoutError:
        raise NotSent("no_time_left") from None
    try:
        request = requests.PreparedRequest()
        request.prepare(method, url, {**OURS, **headers}, data=body or None)
        response = _adapter(target.public_only).send(
            request,
            timeout=timeout,
            stream=True,
            verify=str(target.ca_file) if target.ca_file else True,
            cert=certificate,
        )
        try:
            return _read(response, target)
        finally:
            response.close()
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, UnicodeError) as error:
        raise _explain(error, now) from None


def _read(response: requests.Response, target: Target) -> Reply:
    if 300 <= response.status_code < 400:
        raise MaybeSent("redirected")
    headers = {name.lower(): value for name, value in response.headers.items()}
    if headers.get("content-encoding", "identity").lower() != "identity" and not target.status_only:
        raise MaybeSent("reply_unreadable")
    body = bytearray()
    while chunk := response.raw.read(CHUNK, decode_content=False):
        body += chunk
        if len(body) > target.max_reply:
            if target.status_only:
                break
            raise MaybeSent("reply_too_large")
    return Reply(response.status_code, headers, bytes(body))


def _explain(error: Exception, exchange: Exchange) -> NotSent | MaybeSent:
    """The honest word for *error*: by what was written, then by what happened."""
    kinds = _chain(error)
    if not exchange.wrote:
        if kinds & {"SSLError", "SSLCertVerificationError", "SSLEOFError"}:
            return NotSent("tls_failed")
        if kinds & {"NotPublic", "InvalidSchema"}:
            return NotSent("address_refused")
        if "NameResolutionError" in kinds:
            return NotSent("name_unknown")
        if kinds & {"ConnectionError", "NewConnectionError", "ConnectTimeoutError", "ProtocolError"} or isinstance(
            error, OSError
        ):
            return NotSent("connect_failed")
        return NotSent("request_unbuildable")
    if "TooMuch" in kinds:
        return MaybeSent("reply_too_large")
    if time.monotonic() >= exchange.deadline or kinds & {"TimeoutError", "ReadTimeoutError", "ReadTimeout"}:
        return MaybeSent("timeout")
    return MaybeSent("reply_truncated" if "IncompleteRead" in kinds else "connection_lost")


def _chain(error: BaseException | None) -> set[str]:
    """The type names of *error* and of everything it wraps."""
    found: set[str] = set()
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and type(one).__name__ not in found:
            found.add(type(one).__name__)
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found
