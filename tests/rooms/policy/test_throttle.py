"""Delays that grow and end: nobody is locked out, and nobody guesses quickly."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.throttle import FROM_ANYWHERE, FROM_ONE_PLACE, OF_AN_ADDRESS, Throttle

LAST = datetime(2026, 1, 1, tzinfo=UTC)
RULES = st.sampled_from([FROM_ONE_PLACE, FROM_ANYWHERE, OF_AN_ADDRESS])


@given(RULES, st.integers(0, 10**9))
def test_no_pause_is_longer_than_the_longest_and_none_gets_shorter(rule: Throttle, failures: int) -> None:
    pause, next_one = (rule.ready_at(count, LAST) - LAST for count in (failures, failures + 1))
    assert timedelta(0) <= pause <= next_one <= rule.most
    assert (pause == timedelta(0)) is (failures < rule.free)


def test_how_many_guesses_a_day_it_leaves() -> None:
    at, failures = LAST, 0
    while at < LAST + timedelta(days=1):
        at = FROM_ONE_PLACE.ready_at(failures, at)
        failures += 1
    assert failures < 120
