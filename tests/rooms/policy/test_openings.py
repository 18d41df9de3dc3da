"""Which openings are unusual: many within an hour, at night in London, or of cases that are not one's own."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.hours import LONDON
from gateway.policy.openings import Limits, Unusual, unusual

LIMITS = Limits(many=5, not_hers=2)
NOON = datetime(2026, 6, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([True], []), ([True] * 5, []), ([True] * 6, [Unusual.MANY]), ([False] * 2, []),
        ([False] * 3, [Unusual.NOT_HERS]), ([False] * 3 + [True] * 3, [Unusual.MANY, Unusual.NOT_HERS]),
    ],
)  # fmt: skip
def test_how_many_and_whose(cases: list[bool], why: list[Unusual]) -> None:
    assert unusual(NOON, cases, LIMITS) == why


@given(st.integers(0, 366 * 24 * 60))
def test_night_is_londons(minutes: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    hour = at.astimezone(LONDON).hour
    assert (Unusual.NIGHT in unusual(at, [True], LIMITS)) is (hour in {22, 23, 0, 1, 2, 3, 4, 5})
