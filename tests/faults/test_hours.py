"""An agency is away for hours, on the schedule of the default settings. The hours are moved into the past, not waited for."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from gateway import plugins
from gateway.delivery import decisions
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.settings import Settings
from gateway.store.deliveries import Delivery
from gateway.store.session import Store
from tests.faults.proxy import Fault, Proxy
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.support import HEALTH, HOUSING, Agencies

STEP = timedelta(minutes=30)
TRIES = 8  # the first, and one after each of the seven pauses


@pytest.fixture
def away(agencies: Agencies) -> Iterator[Proxy]:
    """What stands before the housing agency, where nobody listens."""
    url = agencies[HOUSING].url
    with Proxy(("127.0.0.1", int(url.rpartition(":")[2]))) as proxy:
        proxy.be(Fault.REFUSE)
        yield proxy


@pytest.fixture
def usual(room: PostRoom, agencies: Agencies, away: Proxy) -> PostRoom:
    """*room* with the default schedules, and housing behind *away*."""
    configured = agencies.settings()["agencies"]
    configured[HOUSING]["base_url"] = f"http://127.0.0.1:{away.port}/{HOUSING}"
    settings = Settings(agencies=configured)
    return PostRoom(room.store, plugins.load(settings), settings)


def pass_time(store: Store, step: timedelta) -> None:
    """Move everything that happened, or is to happen, that far into the past."""
    moved = {
        "deliveries": ("due_at", "created_at", "updated_at"),
        "attempts": ("at",),
        "agency_health": ("opened_at", "probe_at", "closed_at"),
    }
    with store.begin() as tx:
        for table, columns in moved.items():
            changes = ", ".join(f"{column} = {column} - %(step)s" for column in columns)
            tx.run(f"UPDATE {table} SET {changes}", {"step": step})  # type: ignore[arg-type]


def live_through(room: PostRoom, hours: float) -> None:
    for _ in range(int(timedelta(hours=hours) / STEP)):
        work(room)
        pass_time(room.store, STEP)
    work(room)


def at_housing(room: PostRoom, identifiers: list[str]) -> list[Delivery]:
    return [of(room, identifier)[HOUSING] for identifier in identifiers]


@pytest.mark.parametrize("count", [1, 12], ids=["one", "enough to open the breaker"])
def test_hours_later_everything_arrives_once(usual: PostRoom, agencies: Agencies, away: Proxy, count: int) -> None:
    identifiers = [submit(usual, HOUSING, HEALTH)[1] for _ in range(count)]
    live_through(usual, 20)
    waiting = at_housing(usual, identifiers)
    assert {delivery.state for delivery in waiting} == {State.WAITING}
    assert all(delivery.attempts < TRIES for delivery in waiting)
    assert {of(usual, identifier)[HEALTH].state for identifier in identifiers} == {State.DELIVERED}
    away.be(Fault.NONE)
    live_through(usual, 13)  # the longest pause, and a fifth
    assert {delivery.state for delivery in at_housing(usual, identifiers)} == {State.DELIVERED}
    assert [case.times for case in agencies[HOUSING].cases.values()] == [1] * count


def test_days_later_it_is_for_a_person(usual: PostRoom, agencies: Agencies, away: Proxy) -> None:
    _, identifier = submit(usual, HOUSING)
    live_through(usual, 34)
    [dead] = at_housing(usual, [identifier])
    assert (dead.state, dead.code, dead.attempts) == (State.DEAD, "connect_failed", TRIES)
    away.be(Fault.NONE)
    live_through(usual, 1)
    assert not agencies[HOUSING].cases  # nothing that ended begins again by itself
    decisions.replay(usual, dead.id, by="admin:a", reason="they are back")
    work(usual)
    assert at_housing(usual, [identifier])[0].state is State.DELIVERED
