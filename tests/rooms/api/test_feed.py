"""The feed: a hub that keeps its place and asks again misses nothing, whatever is written meanwhile, by whomever."""

import random
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.delivery.room import PostRoom
from gateway.store import events
from gateway.store.session import Store, Tx
from tests.rooms.api.conftest import Hub

_numbers = count(1)


class Undone(Exception):
    """The transaction is rolled back."""


@dataclass
class Writer:
    """Writes events in one open transaction after another."""

    store: Store
    committed: set[str]
    _open: tuple[AbstractContextManager[Tx], Tx] | None = None
    _written: list[str] = field(default_factory=list)

    def write(self) -> None:
        if self._open is None:
            transaction = self.store.begin()
            self._open = transaction, transaction.__enter__()
        name = f"ref_{next(_numbers)}"
        events.write(self._open[1], "referral.accepted", hub="glasgow-hub", referral=name)
        self._open[1].now()  # the row is there, with its serial number, and waits for the commit
        self._written.append(name)

    def commit(self) -> None:
        if self._open:
            self._open[0].__exit__(None, None, None)
            self.committed.update(self._written)
            self._forget()

    def roll_back(self) -> None:
        if self._open:
            with suppress(Undone):
                self._open[0].__exit__(Undone, Undone(), None)
            self._forget()

    def _forget(self) -> None:
        self._open, self._written = None, []


@dataclass
class Reader:
    """A hub that keeps ``next``."""

    hub: Hub
    next: str
    seen: list[str] = field(default_factory=list)

    def read(self, limit: int) -> int:
        answer = self.hub.call("GET", f"/v1/events?after={self.next}&limit={limit}").json()
        self.seen += [event["referral"] for event in answer["events"]]
        self.next = answer["next"]
        return len(answer["events"])


def end_of_feed(hub: Hub) -> str:
    reader = Reader(hub, "0")
    while reader.read(1000):
        pass
    return reader.next


STEP = st.one_of(
    st.tuples(st.sampled_from(["write", "write", "commit", "roll_back"]), st.integers(0, 3)),
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 4)),
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(st.lists(STEP, max_size=40))
def test_nothing_is_missed_or_repeated_in_any_order_of_commits(room: PostRoom, hub: Hub, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    start = end_of_feed(hub)
    committed: set[str] = set()
    writers = [Writer(room.store, committed) for _ in range(4)]
    readers = [Reader(hub, start) for _ in range(2)]
    try:
        for what, who, *limit in steps:
            readers[who].read(*limit) if what == "read" else getattr(writers[who], what)()
    finally:
        for writer in writers:
            writer.commit()
    late = Reader(hub, start)
    for reader in (late, *readers):
        while reader.read(7):
            pass
        assert len(reader.seen) == len(set(reader.seen)), "something came twice"
        assert set(reader.seen) == committed, "something was missed, or was never committed"
        assert reader.seen == late.seen, "the order changed"


def test_nothing_is_missed_while_others_write(room: PostRoom, hub: Hub) -> None:
    committed: list[set[str]] = [set() for _ in range(4)]

    def work(own: set[str], chance: random.Random) -> None:
        for _ in range(25):
            writer = Writer(room.store, own)
            for _ in range(chance.randint(1, 3)):
                writer.write()
                time.sleep(chance.random() * 0.004)
            writer.roll_back() if chance.random() < 0.3 else writer.commit()

    def poll(reader: Reader) -> None:
        while any(writer.is_alive() for writer in writers):
            reader.read(5)

    readers = [Reader(hub, "0") for _ in range(3)]
    writers = [threading.Thread(target=work, args=(own, random.Random(seed))) for seed, own in enumerate(committed)]
    polling = [threading.Thread(target=poll, args=(reader,)) for reader in readers]
    for thread in (*writers, *polling):
        thread.start()
    for thread in (*writers, *polling):
        thread.join()
    for reader in readers:
        while reader.read(100):
            pass
        assert len(reader.seen) == len(set(reader.seen))
        assert set(reader.seen) == set.union(*committed)
        assert reader.seen == readers[0].seen


def test_writers_do_not_wait_for_readers(room: PostRoom, hub: Hub) -> None:
    committed: set[str] = set()
    writer = Writer(room.store, committed)
    writer.write()
    writer.commit()
    with room.store.begin() as reading:
        assert events.place(reading) == 1  # and the reader dawdles, holding the lock on positions
        with room.store.begin() as tx:
            tx.run("SET LOCAL lock_timeout = '2s'")
            events.write(tx, "referral.accepted", hub="glasgow-hub", referral="ref_late")
    assert [event["referral"] for event in hub.call("GET", "/v1/events").json()["events"]] == [*committed, "ref_late"]


def test_two_that_give_positions_at_once_agree(room: PostRoom, hub: Hub) -> None:
    writer = Writer(room.store, set())
    for _ in range(3):
        writer.write()
    writer.commit()

    def place() -> None:
        with room.store.begin() as tx:
            events.place(tx)

    second = threading.Thread(target=place)
    with room.store.begin() as tx:
        events.place(tx)
        given = tx.all("SELECT id, position FROM events ORDER BY id")
        second.start()
        second.join(0.2)
    second.join()
    with room.store.begin() as tx:
        assert tx.all("SELECT id, position FROM events ORDER BY id") == given


def test_a_position_is_not_given_again_when_old_events_are_removed(room: PostRoom, hub: Hub) -> None:
    for name in ("ref_old", "ref_new"):
        with room.store.begin() as tx:
            events.write(tx, "referral.accepted", hub="glasgow-hub", referral=name)
        if name == "ref_old":
            place = end_of_feed(hub)
            with room.store.begin() as tx:
                tx.run("DELETE FROM events")
    answer = hub.call("GET", f"/v1/events?after={place}").json()
    assert [event["referral"] for event in answer["events"]] == ["ref_new"]
