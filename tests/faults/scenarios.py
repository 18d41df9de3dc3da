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

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from . import account
from .account import Account
from .house import HOUSES, House
from .load import Load

Opener = Callable[[], AbstractContextManager[House]]


@dataclass(frozen=True)
class Scenario:
    """*act* harms a house under load and returns how often. *houses*: ``{name for the table: how to open one}``."""

    name: str
    act: Callable[[House, Load], int]
    houses: Mapping[str, Opener] = field(default_factory=lambda: HOUSES)


@dataclass(frozen=True)
class Played:
    """A scenario that was played in a house: *faults* injected, and what came of it."""

    scenario: str
    house: str
    faults: int
    account: Account


def play(scenario: Scenario, name: str, house: House) -> Played:
    """*scenario* in *house*, from its first referral to the account of the last."""
    faults, failure = 0, None
    with Load(house) as load:
        try:
            faults = scenario.act(house, load)
        except AssertionError as error:
            failure = str(error)
        house.restore()
    found = account.settle(house, load)
    if failure:
        found.wrong.append(failure)
    if not load.submitted:
        found.wrong.append("no referral was accepted")
    return Played(scenario.name, name, faults, found)
