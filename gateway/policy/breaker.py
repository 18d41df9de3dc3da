"""A circuit breaker: when to stop calling an agency that is down, and when to try it again.

Nygard's pattern, with the counts in the database, so that all delivery processes share one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True)
class Limits:
    """It opens when at least *least* calls ended within *window* and the share *failing* of them failed.

    After *pause* one call is let through as a probe; each failed probe costs another *pause*.
    """

    window: timedelta = timedelta(minutes=5)
    least: int = 10
    failing: float = 0.7
    pause: timedelta = timedelta(seconds=30)


class Gate(StrEnum):
    OPEN = "open"  # no calls
    PROBE = "half-open"  # one call is due, to see
    CLOSED = "closed"  # calls go through


def trips(limits: Limits, calls: int, failures: int) -> bool:
    """Whether a breaker that was closed opens now. *calls* ended within the window, *failures* of them."""
    return calls >= limits.least and failures >= limits.failing * calls


def gate(probe_at: datetime | None, now: datetime) -> Gate:
    """How a breaker stands whose next probe is due at *probe_at* (None: closed)."""
    if probe_at is None:
        return Gate.CLOSED
    return Gate.PROBE if now >= probe_at else Gate.OPEN
