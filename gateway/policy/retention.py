"""How long a referral is kept: it depends on what came of it, and counts from the last that happened (UK GDPR article 5(1)(e))."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway_sdk import Status

from .lifecycle import MAY_HAVE_IT, UNDELIVERED, State


class Outcome(StrEnum):
    """What came of a referral, as far as keeping it goes."""

    ENDED = "ended"  # every agency that has it is done with it
    OPEN = "open"  # an agency has it, and nobody said that it is done
    UNDELIVERED = "undelivered"  # no agency ever had it


DONE = frozenset({Status.COMPLETED, Status.DECLINED, Status.WITHDRAWN})


@dataclass(frozen=True)
class Part:
    """A delivery of it, or of what followed it. *doubted*: a request may have arrived."""

    state: State
    status: Status
    doubted: bool = False


def outcome(parts: Iterable[Part]) -> Outcome | None:
    """What came of a referral with these deliveries; None: something of it is still on its way, and it is kept."""
    parts = list(parts)
    if any(part.state in UNDELIVERED for part in parts):
        return None
    there = [part for part in parts if part.state in MAY_HAVE_IT or part.doubted]
    if not there:
        return Outcome.UNDELIVERED
    return Outcome.ENDED if all(part.status in DONE for part in there) else Outcome.OPEN
