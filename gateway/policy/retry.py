"""When to try again: readable lists of pauses, spread a little, and an agency's own wish within limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Schedule:
    """*pauses*: after the first failure, the second, and so on. *jitter*: the part by which each varies.

    *least* applies after a busy answer or a timeout; *most* caps what an agency may ask for.
    """

    pauses: Sequence[timedelta]
    jitter: float = 0.0
    least: timedelta = timedelta(0)
    most: timedelta = timedelta(days=1)
    repeat_last: bool = False


def next_time(
    schedule: Schedule,
    failures: int,
    now: datetime,
    spread: float,
    *,
    busy: bool = False,
    retry_after: float | None = None,
) -> datetime | None:
    """When to try again after *failures* failures (1 or more), or None when the schedule is used up.

    *spread* is a random number from 0 up to 1; *retry_after* is in seconds. What an agency asks
    for is never shortened by jitter, and never goes over ``most``.
    """
    place = failures - 1
    if place >= len(schedule.pauses):
        if not schedule.repeat_last:
            return None
        place = len(schedule.pauses) - 1
    pause = schedule.pauses[place] * (1 + schedule.jitter * (2 * spread - 1))
    if busy:
        pause = max(pause, schedule.least)
    if retry_after is not None:
        pause = max(pause, min(timedelta(seconds=min(retry_after, schedule.most.total_seconds())), schedule.most))
    return now + pause
