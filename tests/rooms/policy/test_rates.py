"""A token bucket: a minute's worth at once, and then as much as flows in."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import rates

PAUSES = st.lists(st.floats(0, 30) | st.just(0.0), min_size=1, max_size=200)


def taken(pauses: list[float], a_minute: int) -> list[float]:
    """When something was taken, by somebody who tries after each of *pauses*."""
    full_at, found = 0.0, []
    for now in accumulate(pauses, initial=1000.0):
        full_at, wait = rates.take(full_at, now, a_minute)
        assert 0 <= wait <= 60
        if not wait:
            found.append(now)
    return found


@given(PAUSES, st.integers(1, 40))
def test_never_more_than_the_bucket_and_what_flowed_in(pauses: list[float], a_minute: int) -> None:
    found = taken(pauses, a_minute)
    for first in range(len(found)):
        for last in range(first, len(found)):
            most = a_minute * (1 + (found[last] - found[first]) / 60)
            assert last - first + 1 <= most + 1e-6


@given(PAUSES, st.integers(1, 40))
def test_who_is_refused_is_told_when_it_will_be_taken(pauses: list[float], a_minute: int) -> None:
    full_at = 0.0
    for now in accumulate(pauses, initial=1000.0):
        full_at, wait = rates.take(full_at, now, a_minute)
        if wait:
            assert rates.take(full_at, now + wait + 1e-6, a_minute)[1] == 0
            assert rates.take(full_at, now + wait / 2, a_minute)[1] > 0


def test_a_minutes_worth_comes_at_once() -> None:
    assert len(taken([0.0] * 50, 20)) == 20
