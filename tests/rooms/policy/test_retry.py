"""When to try again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.retry import Schedule, next_time

NOW = datetime(2026, 3, 1, tzinfo=UTC)
pauses = st.lists(st.integers(0, 100_000).map(lambda s: timedelta(seconds=s)), min_size=1, max_size=8)
schedules = st.builds(
    Schedule, pauses, st.floats(0, 0.9), st.just(timedelta(seconds=60)), st.just(timedelta(days=1)), st.booleans()
)


@given(schedules, st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.booleans(), st.none() | st.floats(0, 1e9))
def test_the_schedule_is_kept(
    schedule: Schedule, failures: int, spread: float, busy: bool, retry_after: float | None
) -> None:
    due = next_time(schedule, failures, NOW, spread, busy=busy, retry_after=retry_after)
    if failures > len(schedule.pauses) and not schedule.repeat_last:
        assert due is None
        return
    assert due is not None
    pause = schedule.pauses[min(failures, len(schedule.pauses)) - 1]
    least, most = pause * (1 - schedule.jitter), pause * (1 + schedule.jitter)
    if busy:
        least, most = max(least, schedule.least), max(most, schedule.least)
    if retry_after is not None:
        wish = min(timedelta(seconds=min(retry_after, 86400)), schedule.most)
        least, most = max(least, wish), max(most, wish)
    assert least <= due - NOW <= most


@given(schedules, st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.floats(0) | st.just(float("inf")))
def test_what_an_agency_asks_for_only_ever_postpones(
    schedule: Schedule, failures: int, spread: float, wish: float
) -> None:
    usual = next_time(schedule, failures, NOW, spread)
    asked = next_time(schedule, failures, NOW, spread, retry_after=wish)
    assert (usual is None) == (asked is None)
    if usual and asked:
        assert NOW <= usual <= asked <= max(usual, NOW + schedule.most)


def test_the_pauses_are_taken_in_order_and_then_it_is_given_up() -> None:
    schedule = Schedule([timedelta(seconds=5), timedelta(minutes=5)])
    assert [next_time(schedule, n, NOW, 0.5) for n in (1, 2, 3)] == [
        NOW + timedelta(seconds=5),
        NOW + timedelta(minutes=5),
        None,
    ]


def test_what_an_agency_asks_for_has_a_limit() -> None:
    schedule = Schedule([timedelta(seconds=5)], most=timedelta(hours=24))
    assert next_time(schedule, 1, NOW, 0.5, retry_after=1e12) == NOW + timedelta(hours=24)
