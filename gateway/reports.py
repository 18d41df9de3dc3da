"""The reading room: counts and ages; never names."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway_sdk import Status

from .errors import Invalid
from .policy import consent
from .policy.disclosure import Fact, Figure, figure, is_small
from .policy.hours import LONDON
from .policy.lifecycle import UNDELIVERED, State
from .store import listings, progress
from .store.progress import Asked
from .store.session import Tx

QUARTER = re.compile(r"(20\d\d)-Q([1-4])")
DAY = 86400.0  # seconds
OUTCOMES: Mapping[Status, str] = {
    Status.RECEIVED: "no answer",
    Status.SENT: "no answer",
    Status.ACCEPTED: "under way",
    Status.APPOINTMENT_OFFERED: "under way",
    Status.NO_SHOW: "under way",
    Status.IN_PROGRESS: "under way",
    Status.ON_HOLD: "under way",
    Status.LOST_CONTACT: "lost contact",
    Status.COMPLETED: "completed",
    Status.DECLINED: "declined",
    Status.CANCELLATION_REQUESTED: "taken back",
    Status.WITHDRAWN: "taken back",
}


@dataclass(frozen=True)
class AgencyTotals:
    """How many deliveries of one agency are in each state, and since when the oldest unsettled one waits."""

    agency: str
    counts: dict[State, int]
    oldest: datetime | None


@dataclass(frozen=True)
class Overview:
    agencies: list[AgencyTotals]
    counts: dict[State, int]
    oldest_undelivered: timedelta | None


def overview(tx: Tx, agencies: list[str]) -> Overview:
    """Totals for each of *agencies*, and for any other that deliveries still name."""
    counts: dict[str, dict[State, int]] = {name: {} for name in agencies}
    oldest: dict[str, datetime] = {}
    whole: dict[State, int] = defaultdict(int)
    for row in listings.totals(tx):
        state = State(row["state"])
        counts.setdefault(row["agency"], {})[state] = row["count"]
        whole[state] += row["count"]
        if state in UNDELIVERED:
            oldest[row["agency"]] = min(row["oldest"], oldest.get(row["agency"], row["oldest"]))
    listed = [AgencyTotals(name, counts[name], oldest.get(name)) for name in sorted(counts)]
    return Overview(listed, dict(whole), listings.oldest_undelivered(tx))


def lawful_bases(tx: Tx, hub: str | None = None) -> list[dict[str, Any]]:
    """Every use of another lawful basis than consent, newest first: ids and counts."""
    return listings.lawful_bases(tx, hub)


@dataclass(frozen=True)
class Progress:
    """What became of the referrals of a *quarter*, each agency that was asked counting once.

    *counted*: by service, area and outcome; days until the agency's first answer; None: of too few women.
    *left_out*: how many more there are of women who did not agree to be counted; None: of too few as well.
    """

    quarter: str
    is_over: bool
    counted: Figure | None
    left_out: int | None


def of_quarter(tx: Tx, quarter: str | None = None) -> Progress:
    """Progress in *quarter*, ``2026-Q3`` in London; without it, in the last one that is over. Raises Invalid.

    Only what a woman agrees to have counted at this instant is in any figure but *left_out*.
    """
    now = tx.now()
    chosen = quarter or _quarter_of(_bounds(_quarter_of(now))[0] - timedelta(days=1))
    since, until = _bounds(chosen)
    return Progress(chosen, until <= now, *count(progress.of_period(tx, since, until)))


def count(asked: Iterable[Asked]) -> tuple[Figure | None, int | None]:
    """What may be told of *asked*, and how many of them may not be counted; see Progress."""
    facts = [(_fact(one), _may_be_counted(one)) for one in asked]
    left_out = [fact for fact, counts in facts if not counts]
    return figure(fact for fact, counts in facts if counts), None if is_small(left_out) else len(left_out)


def _may_be_counted(one: Asked) -> bool:
    return one.consent is not None and bool(consent.statistics(one.consent.consent, one.consent.read_at))


def _fact(one: Asked) -> Fact:
    days = None if one.waited is None else one.waited / DAY
    return Fact(one.woman, (one.purpose, one.area, OUTCOMES[one.status]), days)


def _bounds(quarter: str) -> tuple[datetime, datetime]:
    found = QUARTER.fullmatch(quarter)
    if found is None:
        raise Invalid("give a quarter such as 2026-Q3")
    year, number = int(found[1]), int(found[2])
    first = datetime(year, 3 * number - 2, 1, tzinfo=LONDON)
    return first, datetime(year + number // 4, 3 * number % 12 + 1, 1, tzinfo=LONDON)


def _quarter_of(at: datetime) -> str:
    local = at.astimezone(LONDON)
    return f"{local.year}-Q{(local.month + 2) // 3}"
