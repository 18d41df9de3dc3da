"""A running gateway to do harm to, on the embedded default's parts or on separate servers.

A house is left as it was found: whoever kills a process starts it again (``house.restore()`` starts whatever is not
running). Its parts can be reached by other addresses than their own, so that something can be put in between::

    with private_postgres() as server, proxy_to(server) as between:
        with house(server.url, reach=between.url) as opened: ...
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.embedded import Postgres
from gateway.store import schema
from tests import running, servers

from . import agencies

HOME = Path(__file__).parents[2]


@dataclass
class House(running.Gateway):
    """A gateway, its roles by process name, and the private PostgreSQL it stands on, if it does."""

    roles: dict[str, str] = field(default_factory=dict)
    postgres: Postgres | None = None

    def start(self, name: str, *arguments: str) -> None:
        self.roles[name] = arguments[0]
        super().start(name, *arguments)

    @property
    def workers(self) -> list[str]:
        return [name for name, role in self.roles.items() if role == "worker"]

    def restore(self) -> None:
        """Start every process that is not running."""
        for name, role in self.roles.items():
            if self.processes[name].poll() is not None:
                self.start(name, role)


@contextmanager
def house(
    database: str,
    *,
    reach: str | None = None,
    broker: Mapping[str, str] | None = None,
    workers: Sequence[str] = ("delivery",),
    addresses: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[House]:
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
            running.running(database, found, chosen, folder, workers, reach, environment, kind=House)
        )


@contextmanager
def private_postgres() -> Iterator[Postgres]:
    """A durable server of our own, with tables; its data is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            schema.upgrade(server.url)
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
    """On PostgreSQL and RabbitMQ, with two delivery processes. See :func:`tests.servers.missing`."""
    with servers.database() as database, servers.queue() as queue:
        broker = {"broker_url": servers.RABBITMQ, "broker_queue": queue}
        with house(database, broker=broker, workers=("delivery", "delivery-2"), **more) as opened:
            yield opened


HOUSES: Mapping[str, Callable[..., AbstractContextManager[House]]] = {
    "embedded": embedded,
    "PostgreSQL + RabbitMQ": separate,
}
