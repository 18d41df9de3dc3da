"""Real servers for every test: a private PostgreSQL, and the agencies' simulators."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from gateway import plugins
from gateway.delivery.room import PostRoom
from gateway.embedded import Postgres
from gateway.settings import Settings
from gateway.store import callers, schema
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.databases import Databases
from tests.support import Agencies, agencies_running, switch_on

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine takes its time
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of our own, faster than a durable one; its data is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        server = Postgres(Path(folder), durable=False)
        server.start()
        try:
            schema.upgrade(server.url)
            switch_on(server.url)
            yield server
        finally:
            server.destroy()


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres.url)


@pytest.fixture(scope="session")
def new_database(databases: Databases) -> Callable[[], str]:
    """Makes a database with current tables and returns its address."""
    return databases.new


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The address of a database that is as new."""
    with databases.lent() as url:
        yield url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(database, Vault(generate()), 10).open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def agencies() -> Iterator[Agencies]:
    """The three simulators, for the whole run; see the fixture room for a clean one."""
    with agencies_running() as running:
        yield running


@pytest.fixture
def room(store: Store, agencies: Agencies) -> Iterator[PostRoom]:
    """A post room on a fresh database and forgetful simulators."""
    agencies.forget()
    settings = Settings(**agencies.settings())
    with store.begin() as tx:
        callers.add_hub(tx, "glasgow-hub", by="test")
        callers.add_hub(tx, "highland-hub", by="test")
    yield PostRoom(store, plugins.load(settings), settings)
    agencies.forget()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests last, so that a simple mistake shows soon. Of two processes one begins with them, and the other helps
    it out in the end with what is quick: neither waits for the other."""
    shared = hasattr(config, "workerinput")
    items.sort(key=lambda item: bool({"walks", "faults"} & set(item.path.parts)), reverse=shared)
