"""May an agency be called now, and if not, why and until when?

One rule for all who ask: the claim, an attempt that begins, the command line, the status page.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from . import breaker
from .hours import Hours, opens_at

MINUTE = timedelta(seconds=60)


class Why(StrEnum):
    PAUSED = "paused"  # by a person, until resumed
    DOWN = "down"  # its breaker is open, until a call may try
    CLOSED = "closed"  # outside its opening hours, but for what it takes round the clock
    LIMITED = "at its limit"  # called as often as it may be in a minute


RECALLS = frozenset({Why.PAUSED, Why.CLOSED})
"""These call back what was claimed already; the others only let nothing more be claimed."""


@dataclass(frozen=True)
class Stop:
    """*since* and *until* are None where nobody can say; a pause lasts until a person ends it."""

    why: Why
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Minute:
    """*calls* ended within the last minute or are under way, of at most *most*; the next place is free at *free_at*."""

    most: int
    calls: int
    free_at: datetime

    @property
    def left(self) -> int:
        return max(0, self.most - self.calls)


@dataclass(frozen=True)
class Standing:
    """How an agency stands at an instant. *stops*: why it is not called, the one that lasts longest first.

    *exempt*: the urgencies for which it is never closed. *probing*: its breaker lets one call try.
    """

    stops: tuple[Stop, ...] = ()
    exempt: frozenset[str] = frozenset()
    probing: bool = False
    minute: Minute | None = None

    def stop(self, urgency: str | None = None, *, claimed: bool = False) -> Stop | None:
        """What holds back a referral of this *urgency*, longest; None: it may go. *claimed*: it was, before."""
        for stop in self.stops:
            exempt = stop.why is Why.CLOSED and urgency in self.exempt
            if not exempt and (stop.why in RECALLS or not claimed):
                return stop
        return None

    @property
    def expected(self) -> bool:
        """Whether it stands as its settings say it should: not paused, not down."""
        return not self.probing and not any(stop.why in (Why.PAUSED, Why.DOWN) for stop in self.stops)

    def takes(self) -> frozenset[str] | None:
        """The urgencies that may go now: those (perhaps none), or None: all."""
        if not self.stops:
            return None
        return frozenset(urgency for urgency in self.exempt if self.stop(urgency) is None)


def stand(
    now: datetime,
    *,
    paused_at: datetime | None = None,
    opened_at: datetime | None = None,
    probe_at: datetime | None = None,
    hours: Hours | None = None,
    exempt: frozenset[str] = frozenset(),
    minute: Minute | None = None,
) -> Standing:
    """How an agency stands at *now*. *opened_at* and *probe_at*: of its breaker, None while it is closed."""
    gate = breaker.gate(probe_at, now)
    stops = []
    if paused_at is not None:
        stops.append(Stop(Why.PAUSED, since=paused_at))
    if gate is breaker.Gate.OPEN:
        stops.append(Stop(Why.DOWN, since=opened_at, until=probe_at))
    if hours is not None and (opening := opens_at(hours, now)) != now:
        stops.append(Stop(Why.CLOSED, until=opening))
    if minute is not None and not minute.left:
        stops.append(Stop(Why.LIMITED, until=minute.free_at))
    stops.sort(key=lambda stop: (stop.until is None, stop.until or now), reverse=True)
    return Standing(tuple(stops), exempt, gate is breaker.Gate.PROBE, minute)
