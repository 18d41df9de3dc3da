"""A database that takes everything and says nothing: whoever waits is told, and the next connection is a new one."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.store import session
from gateway.store.session import Store, StoreUnavailable
from gateway.vault import Vault, generate
from tests.faults.proxy import Fault, Proxy


@pytest.fixture
def between(database: str) -> Iterator[Proxy]:
    folder = parse_qs(urlsplit(database).query)["host"][0]
    with Proxy(str(Path(folder) / ".s.PGSQL.5432")) as proxy:
        yield proxy


@pytest.fixture
def far(between: Proxy, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose connections go through *between*."""
    monkeypatch.setattr(session, "SILENCE", 1)
    monkeypatch.setattr(session, "CONNECTING", 1)
    name = urlsplit(database).path.strip("/")
    store = Store(f"postgresql://gateway@127.0.0.1:{between.port}/{name}", Vault(generate()), 2).open()
    yield store
    store.close()


def works(store: Store) -> bool:
    with store.begin() as tx:
        return tx.one("SELECT 1 AS one") == {"one": 1}


def test_a_silent_database_is_unavailable_and_forgotten_once_it_answers(far: Store, between: Proxy) -> None:
    assert works(far)
    started = time.monotonic()
    with between.being(Fault.BLACK_HOLE), pytest.raises(StoreUnavailable):
        works(far)
    assert time.monotonic() - started < 1.8
    assert works(far)  # by another connection: the old one is dead
    assert len(between.links) >= 2


def test_a_commit_that_is_not_answered_is_unavailable(far: Store, between: Proxy) -> None:
    def commit() -> None:
        with far.begin() as tx:
            tx.run("SELECT 1")
            between.be(Fault.BLACK_HOLE)

    with pytest.raises(StoreUnavailable):
        commit()
    between.be(Fault.NONE)
    assert works(far)


def test_the_database_lets_go_what_a_vanished_process_held(far: Store, between: Proxy, store: Store) -> None:
    """Its locks would otherwise stop every other process for as long as TCP believes in it."""

    def vanish() -> None:
        with far.begin() as tx:
            tx.run("SELECT pg_advisory_xact_lock(4711)")
            between.be(Fault.BLACK_HOLE)
            assert not takes_lock(store)
            time.sleep(1.5)
            assert takes_lock(store)

    with pytest.raises(StoreUnavailable):
        vanish()


def takes_lock(store: Store) -> bool:
    with store.begin() as tx:
        return tx.one("SELECT pg_try_advisory_xact_lock(4711) AS taken") == {"taken": True}


def test_after_an_outage_nobody_waits_for_the_next_attempt_to_connect(far: Store, between: Proxy) -> None:
    """They come ever further apart; the first who asks makes one at once."""

    def use_all() -> None:
        with far.begin(), far.begin():
            between.be(Fault.REFUSE)

    with pytest.raises(StoreUnavailable):
        use_all()
    time.sleep(3.5)  # the next one, of those after 1, 2, 4 seconds, would be as far away
    between.be(Fault.NONE)
    started = time.monotonic()
    assert works(far)
    assert time.monotonic() - started < 2
