"""The reading room: counts and ages; never names."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .policy.lifecycle import UNDELIVERED, State
from .store import listings
from .store.session import Tx


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
