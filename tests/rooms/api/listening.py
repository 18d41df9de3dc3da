"""The web process's server in a thread of this one, and what a stranger says to it byte by byte."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from uvicorn.server import ServerState

from gateway import app, plugins
from gateway.api import server
from gateway.delivery.room import PostRoom
from gateway.settings import RateSettings, Settings
from gateway.store import callers
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.support import Agencies

UNHURRIED = RateSettings(calls_a_minute=10**6, tokens_a_minute=10**6, failures_a_minute=10**6)


@dataclass(frozen=True)
class Listener:
    port: int
    state: ServerState

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def callers(self) -> set[int]:
        """The ports at the other ends of the connections that are open at this moment."""
        return {one.client[1] for one in list(self.state.connections) if one.client}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def say(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """All that comes back for *parts* until the other side hangs up, or says nothing for five seconds."""
        with self.connect() as stream:
            stream.settimeout(5)
            with suppress(OSError):
                for part in parts:
                    stream.sendall(part)
                    time.sleep(pause)
            return hear(stream)


def hear(stream: socket.socket) -> bytes:
    heard = b""
    with suppress(OSError):
        while part := stream.recv(65536):
            heard += part
    return heard


@contextmanager
def opened(url: str, agencies: Agencies, **changes: object) -> Iterator[PostRoom]:
    """A room on the database at *url* that is not held back by how often it is called; for all tests of a module."""
    store = Store(url, Vault(generate()), 10).open()
    with store.begin() as tx:
        callers.add_hub(tx, "glasgow-hub", by="test")
    settings = Settings(**agencies.settings(rates=UNHURRIED, **changes))
    try:
        yield PostRoom(store, plugins.load(settings), settings)
    finally:
        store.close()


@contextmanager
def listening(room: PostRoom) -> Iterator[Listener]:
    """As ``gateway serve`` does, on a free port."""
    config = server.config(app.build(room), room.settings)
    config.port = 0
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Listener(running.servers[0].sockets[0].getsockname()[1], running.server_state)
    finally:
        running.should_exit = True
        thread.join()
