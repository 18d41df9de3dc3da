"""Opening hours: is an agency open at an instant, and if not, when next?

Hours are wall-clock time in Europe/London. A time that the clocks skip, or show twice, is read as
RFC 5545 (section 3.3.5) reads it: by the offset before the change, and as the first of the two.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
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


HSDS_DAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
ONLY_NOTES = frozenset({"id", "freq", "interval", "wkst", "byday", "opens_at", "closes_at", "valid_from", "valid_to", "description",
                        "notes", "attending_type", "schedule_link", "service_id", "service_at_location_id", "location_id"})  # fmt: skip
"""The parts of an HSDS schedule that are understood, or say nothing about when."""


def of_schedules(services: Iterable[Sequence[Mapping[str, Any]]], on: date) -> Hours | None:
    """When an agency is open by the schedules (HSDS 3) of its *services*, those valid *on* that day: while one of them is.

    None, round the clock, also where a service has no schedule, or one that says more than times of every week: what is
    not understood holds nothing back.
    """
    weeks = [_week(schedules, on) for schedules in services]
    known = [week for week in weeks if week is not None]
    if not weeks or len(known) < len(weeks):
        return None
    return Hours(tuple(_merged(span for week in known for span in week[day]) for day in range(7)), frozenset())


def _week(schedules: Sequence[Mapping[str, Any]], on: date) -> list[list[Span]] | None:
    week: list[list[Span]] = [[] for _ in range(7)]
    valid = [one for one in schedules if _valid(one, on)]
    for one in valid:
        days = str(one.get("byday", "")).split(",")
        opens, closes = _minutes(one.get("opens_at")), _minutes(one.get("closes_at"))
        every_week = one.get("freq", "WEEKLY") == "WEEKLY" and one.get("interval", 1) in (1, "1")
        if (
            not every_week
            or set(one) - ONLY_NOTES
            or not set(days) <= set(HSDS_DAYS)
            or opens is None
            or closes is None
        ):
            return None
        for day in (HSDS_DAYS[name] for name in days):
            if opens < closes:
                week[day].append((opens, DAY if closes == DAY - 1 else closes))  # 23:59: there is no 24:00 in HSDS
            else:  # over midnight
                week[day].append((opens, DAY))
                week[(day + 1) % 7].append((0, closes))
    return week if valid else None


def _valid(schedule: Mapping[str, Any], on: date) -> bool:
    return str(schedule.get("valid_from", "")) <= on.isoformat() <= str(schedule.get("valid_to", "9999"))


def _minutes(clock: object) -> int | None:
    """Since midnight; of a time without an offset, or with one that London has: it is what the clock shows there."""
    match = re.fullmatch(r"(\d\d):(\d\d)(:\d\d)?(Z|\+0[01]:00)?", clock) if isinstance(clock, str) else None
    return int(match[1]) * 60 + int(match[2]) if match else None


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def words(hours: Hours) -> str:
    """A week in a line, such as ``mon-fri 09:00-17:00``."""
    told: list[tuple[int, int, str]] = []
    for day, spans in enumerate(hours.week):
        times = ", ".join(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}" for start, end in spans)
        if told and told[-1][1:] == (day - 1, times):
            told[-1] = (told[-1][0], day, times)
        else:
            told.append((day, day, times))
    days = ((DAYS[first] + (f"-{DAYS[last]}" if last > first else ""), times) for first, last, times in told if times)
    return "; ".join(f"{day} {times}" for day, times in days) or "never"


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
