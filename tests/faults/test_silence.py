"""A database that takes everything and says nothing: whoever waits is told, and the next connection is a new one."""

import threading
import time
from typing import Any

import pytest

from gateway.delivery import attempt
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.store.session import Store, StoreUnavailable
from tests.faults.proxy import Fault, Proxy
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.support import HOUSING, Agencies


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


def test_what_an_agency_answered_is_kept_while_the_database_is_away(
    far: Store, room: PostRoom, agencies: Agencies, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise be in doubt, and at an agency without keys or answers left to a person."""
    _, identifier = submit(room, HOUSING)
    send = attempt.wire.send

    def send_and_go_away(*args: Any, **more: Any) -> Any:
        reply = send(*args, **more)
        between.be(Fault.REFUSE)
        threading.Timer(0.7, between.be, [Fault.NONE]).start()
        return reply

    monkeypatch.setattr(attempt.wire, "send", send_and_go_away)
    work(PostRoom(far, room.agencies, room.settings))
    delivered = of(room, identifier)[HOUSING]
    assert (delivered.state, delivered.attempts, len(agencies[HOUSING].cases)) == (State.DELIVERED, 1, 1)
