"""The one rule about calling an agency: what stops it, for how long, and for whom."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from gateway.policy import hours
from gateway.policy.calls import Minute, Standing, Stop, Why, stand

NOW = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)  # a Saturday evening
MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=20)
OFFICE = hours.parse({"mon-fri": "09:00-17:00"})

STOPPING = {
    Why.PAUSED: {"paused_at": NOW - timedelta(hours=1)},
    Why.DOWN: {"opened_at": NOW - timedelta(minutes=5), "probe_at": SOON},
    Why.CLOSED: {"hours": OFFICE},
    Why.LIMITED: {"minute": Minute(5, 5, NOW + timedelta(seconds=7))},
}


def test_nothing_stops_an_agency_that_is_well() -> None:
    stands = stand(NOW, minute=Minute(5, 4, NOW))
    assert (stands.stop(), stands.takes(), stands.probing, stands.expected) == (None, None, False, True)


@pytest.mark.parametrize("whys", [c for size in (1, 2, 3, 4) for c in combinations(STOPPING, size)], ids=str)
def test_what_lasts_longest_is_told_first_and_only_some_stops_call_back(whys: tuple[Why, ...]) -> None:
    facts = {name: value for why in whys for name, value in STOPPING[why].items()}
    stands = stand(NOW, exempt=frozenset({"stat"}), **facts)  # type: ignore[arg-type]
    longest = [why for why in (Why.PAUSED, Why.CLOSED, Why.DOWN, Why.LIMITED) if why in whys]
    assert [stop.why for stop in stands.stops] == longest
    calls_back = [why for why in longest if why in (Why.PAUSED, Why.CLOSED)]
    claimed = stands.stop("routine", claimed=True)
    assert (claimed and claimed.why) == (calls_back[0] if calls_back else None)
    if whys == (Why.CLOSED,):
        assert stands.stops == (Stop(Why.CLOSED, until=MONDAY),)
        assert (stands.stop("stat"), stands.takes()) == (None, {"stat"})
    else:
        assert stands.takes() == frozenset()
    assert stands.expected == (not {Why.PAUSED, Why.DOWN} & set(whys))


def test_a_breaker_that_may_probe_stops_nothing() -> None:
    stands = stand(SOON, opened_at=NOW, probe_at=SOON)
    assert (stands.stops, stands.probing, stands.expected) == ((), True, False)


def test_without_exemptions_a_closed_agency_takes_nothing() -> None:
    assert stand(NOW, hours=OFFICE).takes() == frozenset()
    assert stand(MONDAY, hours=OFFICE).takes() is None
    assert Standing().takes() is None
