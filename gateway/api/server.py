"""How the web process listens: HTTP/1.1 by uvicorn, and no request may take for ever to arrive."""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.errors import Busy, Malformed, Problem, TooSlow
from gateway.settings import Settings

from . import border, problems

MOST_CONNECTIONS = 800  # under the 1024 open files that a process usually has
LONGEST_HEAD = 64 * 1024  # bytes


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve *app* until told to stop."""
    uvicorn.Server(config(app, settings)).run()


def config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    listening = partial(Listening, patience=settings.arrival.total_seconds(), always=border.always(settings))
    return uvicorn.Config(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False,
        http=cast(type[asyncio.Protocol], listening), ws="none", h11_max_incomplete_event_size=LONGEST_HEAD,
        proxy_headers=False,  # whom we trust as a proxy, and with what, is in the settings: see peers.py
        timeout_graceful_shutdown=20,
    )  # fmt: skip


class Listening(H11Protocol):
    """One connection. Each request has *patience* seconds from its first byte to its last, answered or not; and whoever
    leaves an answer unread for so long is hung up on.

    uvicorn alone waits for ever, for the head, the body and the reader, so that a few slow callers hold all connections.
    What is no HTTP, or comes too slowly, is told so in a problem document that carries the *always* headers.
    """

    def __init__(self, *given: Any, patience: float, always: border.Pairs, **more: Any) -> None:
        super().__init__(*given, **more)
        self._patience, self._always = patience, always
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(Busy("There are too many connections. Try again in a few seconds."))
        self._expect(begun=True)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect(begun=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()
        self._expect(begun=bool(self.conn.trailing_data[0]))  # the next one may have come behind this one

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(begun=False)
        super().connection_lost(exc)

    def _expect(self, *, begun: bool) -> None:
        """Start the clock when a request begins to arrive, stop it when it is here."""
        arriving = self.conn.their_state is h11.SEND_BODY or (begun and self.conn.their_state is h11.IDLE)
        if arriving and self._end is None and not self.transport.is_closing():
            self._end = self.loop.call_later(self._patience, self._too_slow)
        elif not arriving and self._end is not None:
            self._end.cancel()
            self._end = None

    def _watch_reader(self) -> None:
        """An answer that leaves at once is none of our business."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._patience, self._unread)

    def _unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _too_slow(self) -> None:
        self._refuse(TooSlow(f"A request must arrive whole within {self._patience:g} seconds. Send it again."))

    def send_400_response(self, msg: str) -> None:
        self._refuse(Malformed(f"This is not HTTP/1.1 as it should be, or its head is over {LONGEST_HEAD} bytes."))

    def _refuse(self, problem: Problem) -> None:
        """Answer, if nothing was answered yet, and hang up. Whoever waits for the rest is told that nobody is there."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            answer = problems.of(problem)
            headers = [*answer.raw_headers, *self._always, (b"connection", b"close")]
            reason = HTTPStatus(problem.status).phrase.encode()
            head = h11.Response(status_code=problem.status, headers=headers, reason=reason)
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
