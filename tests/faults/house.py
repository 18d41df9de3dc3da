"""A running gateway to do harm to, on the embedded default's parts or on separate servers.

A house is left as it was found: whoever kills a process starts it again (``house.restore()`` starts whatever is not
running). Its parts can be reached by other addresses than their own, so that something can be put in between::

    with private_postgres() as server, proxy_to(server) as between:
        with house(server.url, reach=between.url) as opened: ...
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from gateway.embedded import Postgres
from gateway.embedded.supervisor import wait_ready
from gateway.store import schema
from tests import running, servers
from tests.support import switch_on

from . import agencies
from .crash import Place

PATIENCE = 120.0  # seconds for a process to start and to come to a place
HOME = Path(__file__).parents[2]


class NoServer(Exception):
    """A server that the house stands on does not answer; says which, in a sentence."""


@dataclass
class House(running.Gateway):
    """A gateway, its roles by process name, and the private PostgreSQL it stands on, if it does.

    *notes*: what was measured, in sentences.
    """

    roles: dict[str, str] = field(default_factory=dict)
    postgres: Postgres | None = None
    notes: list[str] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> None:
        self.roles[name] = arguments[0]
        super().start(name, *arguments)

    @property
    def workers(self) -> list[str]:
        return [name for name, role in self.roles.items() if role == "worker"]

    def crash(self, name: str, place: Place, nth: int, patience: float = PATIENCE) -> bool:
        """Run the process called *name* until it kills itself at *place*; False if it did not in *patience* seconds."""
        self.kill(name)
        self.run(name, victim(place, nth, signal.SIGKILL, self.roles[name]))
        try:
            code = self.processes[name].wait(patience)
        except subprocess.TimeoutExpired:
            return False
        assert code == -signal.SIGKILL, f"{name} ended with {code} before it came to {place.name!r}"
        return True

    def freeze(self, name: str, place: Place, nth: int, seconds: float, patience: float = PATIENCE) -> bool:
        """Run the process called *name* until it stands still at *place*, and let it go on after *seconds*."""
        self.kill(name)
        self.run(name, victim(place, nth, signal.SIGSTOP, self.roles[name]))
        process = psutil.Process(self.processes[name].pid)
        until = time.monotonic() + patience
        while process.status() != psutil.STATUS_STOPPED:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        return True

    def restore(self, *names: str) -> None:
        """Start those that are not running, of *names* or of all."""
        for name in names or tuple(self.roles):
            if self.processes[name].poll() is not None:
                self.start(name, self.roles[name])

    def wait_ready(self) -> None:
        """Wait until the web process answers."""
        assert wait_ready(self.base + "/readyz", PATIENCE), "the web process does not answer"


def victim(place: Place, nth: int, sign: signal.Signals, role: str) -> list[str]:
    """The command line of a process that sends itself *sign* when it comes to *place* for the *nth* time."""
    return [sys.executable, "-m", "tests.faults.victim", place.name, str(nth), sign.name, role]


@contextmanager
def house(
    database: str,
    *,
    reach: str | None = None,
    broker: Mapping[str, str] | None = None,
    workers: Sequence[str] = ("delivery",),
    addresses: Mapping[str, str] | None = None,
    kind: type[House] = House,
    **settings: Any,
) -> Iterator[Any]:
    """A gateway on *database*, which has its tables, with three agencies of its own.

    *reach*: where its processes find the database, if elsewhere. *broker*: ``broker_url`` and ``broker_queue``;
    memory without. *addresses*: ``{agency: base_url}`` where they are not reached directly. *settings*: others of
    the gateway.
    """
    port = running.free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-faults-")))
        found = stack.enter_context(agencies.running(f"http://127.0.0.1:{port}"))
        agencies.install(folder)
        chosen = agencies.settings(found, addresses or {}, port=port, **(broker or {}), **settings)
        environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{HOME}"}
        yield stack.enter_context(
            running.running(database, found, chosen, folder, workers, reach, environment, kind=kind)
        )


@contextmanager
def private_postgres() -> Iterator[Postgres]:
    """A durable server of our own, with tables; its data is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder, started(Postgres(Path(folder))) as server:
        yield server


@contextmanager
def started(server: Postgres) -> Iterator[Postgres]:
    """*server* with tables; its data is removed afterwards."""
    server.start()
    try:
        schema.upgrade(server.url)
        switch_on(server.url)
        yield server
    finally:
        server.destroy()


@contextmanager
def embedded(**more: Any) -> Iterator[House]:
    """On what ``gateway up`` stands on: a private PostgreSQL, the memory broker, one delivery process."""
    with private_postgres() as server, house(server.url, **more) as opened:
        opened.postgres = server
        yield opened


@contextmanager
def separate(**more: Any) -> Iterator[House]:
    """On PostgreSQL and RabbitMQ, with two delivery processes. Raises NoServer."""
    if missing := servers.missing(servers.POSTGRES, servers.RABBITMQ):
        raise NoServer(missing)
    with servers.database() as database, servers.queue() as queue:
        broker = {"broker_url": servers.RABBITMQ, "broker_queue": queue}
        with house(database, broker=broker, workers=("delivery", "delivery-2"), **more) as opened:
            yield opened


HOUSES: Mapping[str, Callable[..., AbstractContextManager[House]]] = {
    "embedded": embedded,
    "PostgreSQL + RabbitMQ": separate,
}
