"""A pretended world, and a database on the other side of a proxy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.store import session
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.faults.pretended.clock import Clock
from tests.faults.pretended.world import World
from tests.faults.proxy import Proxy


@pytest.fixture(scope="session")
def new_world(new_database: Callable[[], str]) -> Iterator[Callable[[], World]]:
    """Begins a world on the emptied database; close() it before the next begins."""
    url = new_database()
    clock = Clock(url)
    store = Store(url, Vault(generate()), 8).open()
    yield lambda: World(store, clock)
    store.close()
    clock.close()


@pytest.fixture
def between(database: str) -> Iterator[Proxy]:
    folder = parse_qs(urlsplit(database).query)["host"][0]
    with Proxy(str(Path(folder) / ".s.PGSQL.5432")) as proxy:
        yield proxy


@pytest.fixture
def far(between: Proxy, database: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """As *store*; its connections go through *between*."""
    monkeypatch.setattr(session, "SILENCE", 1)
    monkeypatch.setattr(session, "CONNECTING", 1)
    name = urlsplit(database).path.strip("/")
    opened = Store(f"postgresql://gateway@127.0.0.1:{between.port}/{name}", store.vault, 2).open()
    yield opened
    opened.close()
