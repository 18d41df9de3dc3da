"""What people are told that something needs them: the kinds of trouble, and the words for each."""

from datetime import timedelta
from enum import StrEnum

QUIET = timedelta(hours=1)
"""Deliveries that die, or come to wait for a person, within so long of each other are one trouble."""


class Kind(StrEnum):
    OUTAGE = "outage"  # the agency does not answer: its breaker is open
    LATE = "late"  # referrals wait for longer than they may
    DEAD = "dead"  # deliveries died lately: nothing more is tried by itself
    UNDECIDED = "undecided"  # uncertain deliveries came to wait for a person lately
    UNUSUAL = "unusual-opening"  # somebody opened personal data lately as nobody should have to
    BREAK_GLASS = "break-glass"  # an admin opened a referral in an emergency lately


OF_PEOPLE = frozenset({Kind.UNUSUAL, Kind.BREAK_GLASS})
"""These are a person's, an actor of the audit, where others are an agency's."""


class Phase(StrEnum):
    BEGINS = "begins"
    OVER = "over"


OF_THEM = {
    (
        Kind.UNUSUAL,
        Phase.BEGINS,
    ): "opens personal data in an unusual way: many, at night, or of others. Ask them; see the audit.",
    (Kind.UNUSUAL, Phase.OVER): "opened nothing in an unusual way within the last hour.",
    (Kind.BREAK_GLASS, Phase.BEGINS): "broke the glass: opens a referral in an emergency. Ask them; see the audit.",
    (Kind.BREAK_GLASS, Phase.OVER): "broke no glass within the last hour.",
}


def says(agency: str, kind: Kind, phase: Phase, count: int | None) -> str:
    """The trouble in a sentence. *agency*: or the person. *count*: of deliveries; when it is over, of those that still
    wait for somebody."""
    if kind in OF_PEOPLE:
        return f"{agency} {OF_THEM[kind, phase]}"
    match kind, phase:
        case Kind.OUTAGE, Phase.BEGINS:
            return f"{agency} does not answer. Nothing is sent to it until a call comes through."
        case Kind.OUTAGE, _:
            return f"{agency} answers again. What waited goes on by itself."
        case Kind.LATE, Phase.BEGINS:
            return f"{agency}: {_many(count)} for longer than allowed."
        case Kind.LATE, _:
            return f"{agency}: nothing waits for longer than allowed any more."
        case Kind.DEAD, Phase.BEGINS:
            return f"{agency}: {_many(count, 'died', 'died')}. Nothing more is tried by itself: find out why."
        case Kind.DEAD, _:
            return f"{agency}: no more died within the last hour. {_many(count, 'is dead', 'are dead')}."
        case _, Phase.BEGINS:
            return f"{agency}: {_many(count)} for a person: it may have arrived. Ask them, then confirm or send again."
        case _:
            return f"{agency}: no more came to wait for a person within the last hour. {_many(count)} for one."


def _many(count: int | None, one: str = "waits", more: str = "wait") -> str:
    return f"1 delivery {one}" if count == 1 else f"{count or 'no'} deliveries {more}"
