"""The faults of ``make faults`` that every run of the tests can afford, and what would silently disarm the rest."""

import re
from collections.abc import Iterator
from pkgutil import resolve_name

import pytest

from tests import servers
from tests.faults import __main__ as runner
from tests.faults.crash import BY_NAME, PLACES
from tests.faults.house import HOUSES, House
from tests.faults.scenarios import FROZEN, SCENARIOS, STEPS, Scenario, at, freeze, kills, play, rolling_restart, stop


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_the_place_is_there(place: object) -> None:
    assert callable(resolve_name(place.target))  # type: ignore[attr-defined]


def test_no_place_is_left_out() -> None:
    assert len(BY_NAME) == len(PLACES)
    assert {place.needs for place in PLACES} - {None} <= BY_NAME.keys()
    assert set(FROZEN) <= BY_NAME.keys()
    assert at(*(step for steps in STEPS.values() for step in steps)) == PLACES


@pytest.fixture(scope="module", params=HOUSES)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param != "embedded":
        servers.require(servers.POSTGRES, servers.RABBITMQ)
    with HOUSES[request.param]() as opened:
        yield opened


HANDFUL = [
    "intake: committed, before the answer",
    "claim: message handed over",
    "send: written, before the reply",
    "settle: before the message is acknowledged",
    "callback: applied, before the commit",
]


PARTS = 3  # that processes of the tests can share


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(420)
def test_processes_killed_anywhere_lose_and_double_nothing(house: House, part: int) -> None:
    everywhere = PLACES if house.postgres else [BY_NAME[name] for name in HANDFUL]
    places = everywhere[part::PARTS]
    found = play(Scenario("killed", kills(places)), "a house", house)
    assert found.account.good, found.account.wrong
    assert found.faults >= len(places)


@pytest.mark.parametrize("act", [stop, rolling_restart, freeze], ids=lambda act: act.__name__)
@pytest.mark.timeout(240)
def test_processes_stopped_or_frozen_lose_and_double_nothing(house: House, act: object) -> None:
    found = play(Scenario("stopped", act, asking=act is freeze), "a house", house)  # type: ignore[arg-type]
    assert found.account.good, found.account.wrong


def test_the_page_and_the_promises_show_the_same_table() -> None:
    page = (runner.DOCS / "faults.md").read_text("utf-8")
    block = runner.BLOCK.search((runner.DOCS / "delivery.md").read_text("utf-8"))
    assert block is not None
    assert page.endswith("\n\n" + block[0])
    rows = re.findall(r"^\| (.*) \|$", page, re.MULTILINE)[2:]
    assert rows[-1].startswith("all |")
    for row in rows:
        lost, *twice_and_late = row.split(" | ")[4:9]
        assert {lost, *twice_and_late} == {"0"}, row
    assert {scenario.name for scenario in SCENARIOS} <= {row.split(" | ")[1] for row in rows}
