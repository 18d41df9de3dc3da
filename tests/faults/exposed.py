"""Houses on servers of their own, with a proxy before each server and each agency: anything can be done to them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.embedded import Postgres

from . import agencies
from .disk import Disk, under
from .house import House, NoServer, house, started
from .proxy import Fault, Proxy
from .rabbit import RabbitMQ, missing

QUEUE = "deliveries"


@dataclass
class Exposed(House):
    """*proxies*: what stands between it and ``database``, ``broker`` and each agency. *disk*: its database's.

    *repairs*: how to put right what was done to anything but its processes.
    """

    proxies: dict[str, Proxy] = field(default_factory=dict)
    disk: Disk | None = None
    rabbit: RabbitMQ | None = None
    repairs: list[Callable[[], None]] = field(default_factory=list)

    def restore(self, *names: str) -> None:
        for repair in self.repairs:
            repair()
        super().restore(*names)


@contextmanager
def embedded() -> Iterator[Exposed]:
    """With the memory broker and one delivery process."""
    with _exposed() as opened:
        yield opened


@contextmanager
def separate() -> Iterator[Exposed]:
    """With a RabbitMQ of its own and two delivery processes. Raises NoServer."""
    if why := missing():
        raise NoServer(why)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        rabbit = stack.enter_context(RabbitMQ(folder))
        proxy = stack.enter_context(Proxy(("127.0.0.1", rabbit.port)))
        broker = {"broker_url": rabbit.url(proxy.port), "broker_queue": QUEUE}
        opened = stack.enter_context(_exposed(broker=broker, workers=("delivery", "delivery-2")))
        opened.rabbit, opened.proxies["broker"] = rabbit, proxy
        opened.repairs += [rabbit.start, partial(proxy.be, Fault.NONE)]
        yield opened


@contextmanager
def _exposed(**more: Any) -> Iterator[Exposed]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        disk = stack.enter_context(under(Postgres(folder)))
        stack.enter_context(started(disk.server))
        database = stack.enter_context(Proxy(str(disk.server.socket / ".s.PGSQL.5432")))
        before = {name: stack.enter_context(Proxy()) for name in agencies.ADAPTERS}  # where they are, turns out below
        opened: Exposed = stack.enter_context(
            house(
                disk.server.url, kind=Exposed, **more,
                reach=f"postgresql://gateway@127.0.0.1:{database.port}/postgres?sslmode=disable",
                addresses={name: f"http://127.0.0.1:{proxy.port}/{name}" for name, proxy in before.items()},
            )
        )  # fmt: skip
        for name, proxy in before.items():
            proxy.upstream = ("127.0.0.1", urlsplit(opened.agencies[name].url).port or 0)
        opened.postgres, opened.disk, opened.proxies = disk.server, disk, {"database": database, **before}
        healed = [partial(proxy.be, Fault.NONE) for proxy in opened.proxies.values()]
        opened.repairs = [disk.free, disk.server.start, opened.store._pool.check, *healed]
        yield opened
