"""When an agency is open: on ordinary days by the wall clock, around a change of clocks without surprises."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy import hours
from gateway.policy.hours import DAY, DAYS, LONDON, Hours

OFFICE = hours.parse({"mon-fri": "09:00-17:00", "sat": "10:00-12:00"}, [date(2026, 12, 25)])
assert OFFICE is not None

instants = st.integers(0, 3 * 365 * 86400).map(lambda s: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


@st.composite
def weeks(draw: st.DrawFn) -> Hours:
    def spans() -> tuple[tuple[int, int], ...]:
        edges = sorted(draw(st.lists(st.integers(0, DAY), max_size=6, unique=True)))
        return tuple(zip(edges[::2], edges[1::2], strict=False))

    days = draw(st.lists(st.dates(date(2025, 1, 1), date(2028, 1, 1)), max_size=5))
    return Hours(tuple(spans() for _ in DAYS), frozenset(days))


def clocks_change(at: datetime) -> bool:
    """Whether the clocks change on the day of *at*, or on the one before."""
    offsets = {(at + timedelta(hours=h)).astimezone(LONDON).utcoffset() for h in (-48, -24, 0, 24)}
    return len(offsets) > 1


@given(weeks(), instants)
def test_on_ordinary_days_it_is_what_the_wall_clock_says(chosen: Hours, at: datetime) -> None:
    wall = at.astimezone(LONDON)
    minute = wall.hour * 60 + wall.minute
    inside = any(start <= minute < end for start, end in chosen.week[wall.weekday()])
    if not clocks_change(at):
        assert hours.is_open(chosen, at) == (inside and wall.date() not in chosen.closed_on)


@settings(deadline=None)  # a year without an opening takes its time to look through
@given(weeks(), instants, st.floats(0, 1))
def test_the_next_opening_is_open_and_nothing_before_it_is(chosen: Hours, at: datetime, part: float) -> None:
    opens = hours.opens_at(chosen, at)
    if opens is None:
        assert not any(hours.is_open(chosen, at + timedelta(hours=h)) for h in range(0, 24 * 14, 24))
        return
    assert opens >= at
    assert hours.is_open(chosen, opens)
    between = at + (opens - at) * part
    assert hours.opens_at(chosen, between) == opens
    assert hours.is_open(chosen, between) == (between == opens)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-27T16:59:59+00:00", "2026-11-27T16:59:59+00:00"),  # a Friday, open to the last second
        ("2026-11-27T17:00:00+00:00", "2026-11-28T10:00:00+00:00"),
        ("2026-11-28T12:00:00+00:00", "2026-11-30T09:00:00+00:00"),
        ("2026-12-24T18:00:00+00:00", "2026-12-26T10:00:00+00:00"),  # Christmas Day is a Friday
        ("2026-03-28T13:00:00+00:00", "2026-03-30T08:00:00+00:00"),  # the clocks go forward on Sunday
        ("2026-10-24T13:00:00+00:00", "2026-10-26T09:00:00+00:00"),  # and back
        ("2026-07-01T08:00:00+00:00", "2026-07-01T08:00:00+00:00"),  # 9 in the morning by the wall clock
        ("2026-07-01T07:59:59+00:00", "2026-07-01T08:00:00+00:00"),
    ],
)
def test_an_office(at: str, opens: str) -> None:
    assert hours.opens_at(OFFICE, datetime.fromisoformat(at)) == datetime.fromisoformat(opens)


@pytest.mark.parametrize(
    ("times", "at", "opens"),
    [
        ("01:30-02:30", "2026-03-29T00:00:00+00:00", None),  # skipped: half past one is half past two
        ("01:30-03:00", "2026-03-29T00:00:00+00:00", "2026-03-29T01:30:00+00:00"),
        ("01:15-01:50, 02:00-03:00", "2026-03-29T00:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        ("01:30-03:00", "2026-10-25T00:00:00+00:00", "2026-10-25T00:30:00+00:00"),  # shown twice: the first
        ("01:30-03:00", "2026-10-25T01:10:00+00:00", "2026-10-25T01:10:00+00:00"),  # and open through the second
    ],
)
def test_times_that_the_clocks_skip_or_show_twice(times: str, at: str, opens: str | None) -> None:
    sundays = hours.parse({"sun": times})
    assert sundays is not None
    found = hours.opens_at(sundays, datetime.fromisoformat(at))
    if opens is None:
        assert found is not None and found.date() > date(2026, 3, 29)
    else:
        assert found == datetime.fromisoformat(opens)


def test_without_hours_it_is_always_open_but_on_the_days_named() -> None:
    assert hours.parse({}) is None
    christmas = hours.parse({}, [date(2026, 12, 25)])
    assert christmas is not None
    assert hours.is_open(christmas, datetime(2026, 12, 24, 23, 59, tzinfo=UTC))
    assert hours.opens_at(christmas, datetime(2026, 12, 25, tzinfo=UTC)) == datetime(2026, 12, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("week", "says"),
    [
        ({"monday": "09:00-17:00"}, "'monday' is no day"),
        ({"fri-mon": "09:00-17:00"}, "'fri-mon' is no day"),
        ({"mon": "9-17"}, "give times such as"),
        ({"mon": "17:00-09:00"}, "within one day"),
        ({"mon": "22:00-24:01"}, "within one day"),
        ({"mon": "13:00-17:00, 09:00-12:00"}, "in their order"),
        ({"mon": ""}, "give times such as"),
        ({"mon-fri": "09:00-17:00", "fri": "09:00-16:00"}, "fri is named twice"),
    ],
)
def test_hours_that_make_no_sense_are_refused_with_an_example(week: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        hours.parse(week)


WEEKDAYS = {"freq": "WEEKLY", "byday": "MO,TU,WE,TH,FR", "opens_at": "09:00", "closes_at": "17:00"}
TODAY = date(2026, 3, 4)


def of(*services: list[dict[str, Any]]) -> str | None:
    found = hours.of_schedules(services, TODAY)
    return found and hours.words(found)


@pytest.mark.parametrize(
    ("services", "week"),
    [
        ([[WEEKDAYS]], "mon-fri 09:00-17:00"),
        ([[WEEKDAYS], [{**WEEKDAYS, "byday": "FR,SA", "opens_at": "16:00", "closes_at": "20:00Z"}]],
         "mon-thu 09:00-17:00; fri 09:00-20:00; sat 16:00-20:00"),
        ([[{**WEEKDAYS, "byday": "SA", "opens_at": "22:00", "closes_at": "06:00"}]], "sat 22:00-24:00; sun 00:00-06:00"),
        ([[{**WEEKDAYS, "byday": "MO,TU,WE,TH,FR,SA,SU", "opens_at": "00:00", "closes_at": "23:59"}]], "mon-sun 00:00-24:00"),
        ([[WEEKDAYS, {**WEEKDAYS, "byday": "SU", "valid_to": "2026-03-03"}]], "mon-fri 09:00-17:00"),
        ([[WEEKDAYS, {**WEEKDAYS, "byday": "SU", "valid_from": "2026-03-04"}]], "mon-fri 09:00-17:00; sun 09:00-17:00"),
        ([], None),
        ([[WEEKDAYS], []], None),
        ([[{**WEEKDAYS, "byday": "-1FR"}]], None),
        ([[{**WEEKDAYS, "freq": "MONTHLY"}]], None),
        ([[{**WEEKDAYS, "interval": 2}]], None),
        ([[{**WEEKDAYS, "bymonthday": "1"}]], None),
        ([[{**WEEKDAYS, "opens_at": "09:00+02:00"}]], None),
        ([[{**WEEKDAYS, "valid_to": "2026-03-03"}]], None),
        ([[{"freq": "WEEKLY", "byday": "MO"}]], None),
    ],
)  # fmt: skip
def test_what_is_not_understood_of_a_schedule_holds_nothing_back(
    services: list[list[dict[str, Any]]], week: str | None
) -> None:
    assert of(*services) == week
