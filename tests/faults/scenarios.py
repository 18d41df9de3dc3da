"""Scenarios: what goes wrong while hubs submit.

A scenario is a name (the row of the table), the houses it is for, and a function that does its worst to a running
house and says how many faults that were. While it runs, hubs submit without a pause; when it returns, the house is
restored, everything is drained, and every referral accounted for: see ``account.py`` for what is counted. So a
scenario needs to count nothing itself::

    def crash_the_worker(house: House, load: Load) -> int:
        under_way(load, 10)             # wait until ten referrals are taken
        house.kill("delivery")
        return 1                        # one fault

    Scenario("the worker crashes", crash_the_worker)

It may raise AssertionError when a fault could not be injected: a scenario that does no harm proves nothing. *house* of
its own (a context manager that yields a House) is for one that needs more than the two in ``house.HOUSES``.
"""

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import LiteralString

from . import account
from .account import Account
from .agencies import DEADLINE
from .crash import BY_NAME, PLACES, Place
from .house import HOUSES, House
from .load import Load, under_way, wait_for

Opener = Callable[[], AbstractContextManager[House]]


@dataclass(frozen=True)
class Scenario:
    """*act* harms a house under load and returns how often. *houses*: ``{name for the table: how to open one}``.

    *asking*: whether something may be left to a person at the agency that has neither keys nor answers.
    """

    name: str
    act: Callable[[House, Load], int]
    houses: Mapping[str, Opener] = field(default_factory=lambda: HOUSES)
    asking: bool = True


@dataclass(frozen=True)
class Played:
    """A scenario that was played in a house: *faults* injected, what came of it, and what else was measured."""

    scenario: str
    house: str
    faults: int
    account: Account
    notes: list[str]


def play(scenario: Scenario, name: str, house: House) -> Played:
    """*scenario* in *house*, from its first referral to the account of the last."""
    faults, failure = 0, None
    house.notes.clear()
    with Load(house) as load:
        try:
            faults = scenario.act(house, load)
        except AssertionError as error:
            failure = str(error) or repr(error)
        house.restore()
    found = account.settle(house, load)
    if failure:
        found.wrong.append(failure)
    if found.asking and not scenario.asking:
        found.wrong.append(f"{found.asking} left to a person, where nothing died")
    if not load.submitted:
        found.wrong.append("no referral was accepted")
    return Played(scenario.name, name, faults, found, [*house.notes])


def at(*steps: str) -> list[Place]:
    """The places within *steps*."""
    return [place for place in PLACES if place.step in steps]


def kills(places: Iterable[Place]) -> Callable[[House, Load], int]:
    """Kill a process at each of *places*, one after the other; processes of one role share the work."""
    chosen = list(places)

    def act(house: House, load: Load) -> int:
        under_way(load, 4)
        queues: dict[str, SimpleQueue[tuple[int, Place]]] = {role: SimpleQueue() for role in house.roles.values()}
        for number, place in enumerate(chosen):
            if not place.needs:
                queues[place.role].put((number, place))
        with ThreadPoolExecutor(len(house.roles)) as pool:
            done = [pool.submit(_kill_in_turn, house, name, queues[role]) for name, role in house.roles.items()]
        return sum(one.result() for one in done) + sum(_kill_alone(house, place) for place in chosen if place.needs)

    return act


def _kill_in_turn(house: House, name: str, places: "SimpleQueue[tuple[int, Place]]") -> int:
    count = 0
    while True:
        try:
            number, place = places.get_nowait()
        except Empty:
            house.restore(name)  # the others need it
            return count
        assert house.crash(name, place, nth=1 + number % 2), f"no process came to {place.name!r}"
        count += 1


def _kill_alone(house: House, place: Place) -> int:
    """Kill a process at *place*, to which another must not be quicker, after one died where it leaves the need for it."""
    first, *others = house.workers
    for name in others:
        house.kill(name)
    for one in (BY_NAME[place.needs or ""], place):
        assert house.crash(first, one, nth=1), f"no process came to {one.name!r}"
    house.restore()
    return 2 + len(others)


FROZEN = [
    "begin: looked, before it is held",
    "begin: committed as sending",
    "send: opened and translated",
    "send: connected, before the first byte",
    "send: reply read, before it is settled",
]
STANDSTILL = 4.0  # seconds: over every lease, and time enough for another process to ask the agency and send again


def freeze(house: House, load: Load) -> int:
    """A process stands still for longer than its lease, as under a paused machine, and goes on as if nothing had been."""
    under_way(load, 4)
    name = house.workers[0]
    for number, place in enumerate(FROZEN):
        assert house.freeze(name, BY_NAME[place], 1 + number % 3, STANDSTILL), f"no process came to {place!r}"
        time.sleep(0.5)
    return len(FROZEN)


def stop(house: House, load: Load) -> int:
    """Every delivery process is told to stop while the agencies are slow, and told again by somebody in haste: what is in
    flight is finished, no more begun."""
    under_way(load, 10)
    slow(house, 0.8)
    wait_for(lambda: _count(house, "SELECT FROM deliveries WHERE state = 'sending'"), "something is in flight", 10)
    begun = "SELECT FROM audit WHERE action IN ('delivery.begin', 'delivery.repeat')"
    asked = time.monotonic()
    for sign in (signal.SIGTERM, *[signal.SIGINT] * 4):
        for name in house.workers:
            house.processes[name].send_signal(sign)
        time.sleep(0.1)
    before = _count(house, begun)
    codes = [house.processes[name].wait(30) for name in house.workers]
    took = time.monotonic() - asked
    slow(house, 0)
    assert not any(codes), f"it ended with {codes}"
    assert took < DEADLINE + 3, f"it took {took:.1f} s to stop"
    assert _count(house, begun) == before, "something was begun half a second after the signal"
    assert not _count(house, "SELECT FROM deliveries WHERE state = 'sending'"), "something is left on the wire"
    return len(codes)


def rolling_restart(house: House, load: Load) -> int:
    """Every process is stopped and started again, one after the other, twice."""
    under_way(load, 10)
    for name, role in [*house.roles.items()] * 2:
        code = house.stop(name)
        assert code == 0, f"{name} ended with {code}"
        house.start(name, role)
        house.wait_ready()
        under_way(load, len(load.submitted) + 10)
    return 2 * len(house.roles)


def slow(house: House, seconds: float) -> None:
    """Let every agency take that long over an answer."""
    for simulator in house.agencies.simulators.values():
        vars(simulator)["slow"] = seconds


def _count(house: House, rows: LiteralString) -> int:
    with house.store.begin() as tx:
        return len(tx.all(rows))


ALL_AT_ONCE = Scenario("killed at every place", kills(PLACES))

STEPS = {
    "taken in and claimed": ("intake", "claim"),
    "withdrawn and taken back": ("consent", "take back"),
    "begun and sent": ("begin", "send"),
    "settled and tidied": ("settle", "tidy"),
    "asked and answered": ("ask", "callback"),
}

SCENARIOS = [
    *(Scenario(f"killed where it is {name}", kills(at(*steps))) for name, steps in STEPS.items()),
    Scenario("frozen for longer than the lease", freeze),
    Scenario("told to stop", stop, asking=False),
    Scenario("restarted one after the other, twice", rolling_restart, asking=False),
]
