"""Which openings of personal data are unusual. Unusual is not forbidden: somebody is told, and asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .hours import LONDON

WITHIN = timedelta(hours=1)
NIGHT = (22, 6)  # from this hour to that one, in London

PURPOSES = {
    "contact": "She made contact, or an appointment with her",
    "referral": "Preparing or changing her referral",
    "agency": "An agency asked, or must be answered",
    "safety": "Her safety, or somebody else's",
    "supervision": "Supervision of the work on this case",
    "rights": "She asked what is held on her",
    "other": "Something else, said below",
}
"""What a case may be opened for: the code in the audit, and the words on the page."""

BY_HAND = "by-hand"
ALL_PURPOSES = {**PURPOSES, BY_HAND: "To tell an agency by hand"}
"""And the one that the sheet of a task is opened for, which needs no choice."""


class Unusual(StrEnum):
    MANY = "many"  # more cases within an hour than work explains
    NIGHT = "night"
    NOT_HERS = "not-hers"  # several cases that she did not take on, within an hour


@dataclass(frozen=True)
class Limits:
    """How many different cases somebody may open within an hour, and how many that are not hers, unremarked."""

    many: int
    not_hers: int


def unusual(at: datetime, cases: Sequence[bool], limits: Limits) -> list[Unusual]:
    """What is unusual about an opening *at* this time. *cases*: all different ones of the last hour, this one among
    them; True: hers."""
    hour = at.astimezone(LONDON).hour
    found = {
        Unusual.MANY: len(cases) > limits.many,
        Unusual.NIGHT: hour >= NIGHT[0] or hour < NIGHT[1],
        Unusual.NOT_HERS: cases.count(False) > limits.not_hers,
    }
    return [why for why, holds in found.items() if holds]
