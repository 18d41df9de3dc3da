"""Opening hours: is an agency open at an instant, and if not, when next?

Hours are wall-clock time in Europe/London. A time that the clocks skip, or show twice, is read as
RFC 5545 (section 3.3.5) reads it: by the offset before the change, and as the first of the two.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON = 400  # days that are looked through for the next opening
DAY = 24 * 60

Span = tuple[int, int]
"""From and to, in minutes since midnight; the end is exclusive."""


@dataclass(frozen=True)
class Hours:
    """*week*: the spans of each weekday, Monday first, in their order. *closed_on*: whole days without any."""

    week: tuple[tuple[Span, ...], ...]
    closed_on: frozenset[date]


def parse(week: Mapping[str, str], closed_on: Iterable[date] = ()) -> Hours | None:
    """Hours as the settings write them: ``{"mon-fri": "09:00-12:00, 13:00-17:00", "sat": "10:00-12:00"}``.

    Days that are not named are closed; without any the agency is open on all but *closed_on*, and without those
    there are no hours to keep: None. Raises ValueError, which says what to write instead.
    """
    closed = frozenset(closed_on)
    if not week:
        return Hours((((0, DAY),),) * 7, closed) if closed else None
    spans: dict[int, tuple[Span, ...]] = {}
    for days, times in week.items():
        for day in _days(days):
            if day in spans:
                raise ValueError(f"{DAYS[day]} is named twice")
            spans[day] = _spans(times)
    return Hours(tuple(spans.get(day, ()) for day in range(7)), closed)


def _days(text: str) -> range:
    first, _, last = text.partition("-")
    if first not in DAYS or (last or first) not in DAYS or DAYS.index(last or first) < DAYS.index(first):
        raise ValueError(f"'{text}' is no day or range of days, such as sat or mon-fri")
    return range(DAYS.index(first), DAYS.index(last or first) + 1)


def _spans(text: str) -> tuple[Span, ...]:
    found: list[Span] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)", part.strip())
        start, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
        if not (found[-1][1] if found else 0) <= start < end <= DAY:
            raise ValueError(f"'{text}': give times such as 09:00-17:00, in their order and within one day (to 24:00)")
        found.append((start, end))
    return tuple(found)


def opens_at(hours: Hours, at: datetime) -> datetime | None:
    """The first instant from *at* on when it is open: *at* itself if it is open now. None: not within a year."""
    today = at.astimezone(LONDON).date()
    for day in (today + timedelta(days=ahead) for ahead in range(HORIZON)):
        for opens, closes in sorted(_intervals(hours, day)):  # a skipped time may follow a later one
            if opens < closes and at < closes:
                return max(at, opens)
    return None


def is_open(hours: Hours, at: datetime) -> bool:
    return opens_at(hours, at) == at


def _intervals(hours: Hours, day: date) -> Iterator[tuple[datetime, datetime]]:
    """When it is open on *day*, as instants."""
    midnight = datetime.combine(day, time(), LONDON)
    for start, end in () if day in hours.closed_on else hours.week[day.weekday()]:
        opens, closes = (midnight + timedelta(minutes=minutes) for minutes in (start, end))  # of the wall clock
        yield opens.astimezone(UTC), closes.astimezone(UTC)
