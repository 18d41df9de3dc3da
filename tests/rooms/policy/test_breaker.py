"""When a breaker opens, and when it lets a call through."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import breaker
from gateway.policy.breaker import Gate, Limits

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 50), st.floats(0.01, 1))
def test_it_trips_on_enough_calls_and_enough_failures(calls: int, failures: int, least: int, failing: float) -> None:
    limits, failures = Limits(least=least, failing=failing), min(failures, calls)
    trips = breaker.trips(limits, calls, failures)
    assert trips == (calls >= least and failures >= failing * calls)
    if trips:
        assert failures == calls or breaker.trips(limits, calls, failures + 1)
        assert breaker.trips(limits, calls + 1, failures + 1)  # one more failure never closes it


@given(st.none() | st.integers(-(10**9), 10**9))
def test_the_gate_follows_the_probe(microseconds: int | None) -> None:
    due = None if microseconds is None else NOW + timedelta(microseconds=microseconds)
    assert breaker.gate(due, NOW) is (Gate.CLOSED if due is None else Gate.PROBE if due <= NOW else Gate.OPEN)
