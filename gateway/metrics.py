"""What operators watch, in Prometheus's text format: counted in the database at each scrape.

So it does not matter which process is asked, nor that one was started again. Labels are agencies' names from
the settings (all hubs' webhooks are one) and words of closed lists: no ids, no texts, nothing of a person.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any

from . import ids
from .plugins import Agency
from .policy.breaker import Gate, gate
from .policy.hours import is_open
from .policy.lifecycle import UNDELIVERED, State
from .store import directory, figures, health
from .store.session import Tx

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ANSWERS = ("update", "notfound", "unavailable", "uncertain")
OUTCOMES = {
    "send": ("delivered", "refused", "unavailable", "uncertain", "unmade"),
    "ask": ANSWERS,
    "poll": ANSWERS,
}
"""What attempts of each kind come to."""
OTHER = ("other", "other")  # kind and outcome of what is not in the list
DEPTHS = (*(state for state in State if state in UNDELIVERED), State.DEAD)
GATES = {Gate.CLOSED: 0, Gate.PROBE: 1, Gate.OPEN: 2}

Labels = tuple[str, ...]
Buckets = list[tuple[str, float]]


@dataclass(frozen=True)
class Seen:
    """The database at one moment. *totals*, *unfinished*: as store/figures.py gives them; *backlog*: by agency and state."""

    agencies: list[str]
    totals: list[dict[str, Any]]
    backlog: Mapping[tuple[str, str], dict[str, Any]]
    gates: Mapping[str, Gate]
    paused: Collection[str]
    closed: Collection[str]
    unfinished: Mapping[str, int]


def text(tx: Tx, agencies: Mapping[str, Agency]) -> bytes:
    """All there is to watch of *agencies*, and of any other that the rows still name."""
    from prometheus_client import generate_latest

    return generate_latest(Collector(look(tx, agencies)))


def look(tx: Tx, agencies: Mapping[str, Agency]) -> Seen:
    listed = directory.look(tx)
    totals, backlog, (everyone, now) = figures.totals(tx), figures.backlog(tx), health.picture(tx)
    unwell = {name: found for name, found in everyone.items() if not ids.valid(name, "whe")}
    named = {row["agency"] for row in (*totals, *backlog) if row["agency"]}
    return Seen(
        sorted({*agencies, *named, *unwell}),
        totals,
        {(row["agency"], row["state"]): row for row in backlog},
        {agency: gate(found.probe_at, now) for agency, found in unwell.items()},
        {agency for agency, found in unwell.items() if found.paused_at},
        {
            name
            for name, agency in agencies.items()
            if (hours := agency.opening(listed, now)) and not is_open(hours, now)
        },
        figures.unfinished(tx),
    )


class Collector:
    """Gives what was seen its names: a collector as ``prometheus_client`` wants one."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client import core

        kinds: dict[str, Any] = {
            "counter": core.CounterMetricFamily, "gauge": core.GaugeMetricFamily, "histogram": core.HistogramMetricFamily
        }  # fmt: skip
        for watched in WATCHED:
            family = kinds[watched.kind](watched.name, watched.help, labels=watched.labels)
            for labels, value in watched.read(self._seen).items():
                family.add_metric(labels, *(value if isinstance(value, tuple) else (value,)))
            yield family


def _attempts(seen: Seen) -> dict[Labels, float]:
    known = [(agency, kind, outcome) for agency in seen.agencies for kind in OUTCOMES for outcome in OUTCOMES[kind]]
    counts: dict[Labels, float] = dict.fromkeys(known, 0)
    for row in seen.totals:
        if row["name"] == "attempt":
            labels = row["agency"], row["kind"], row["outcome"]
            labels = labels if labels in counts else (row["agency"], *OTHER)
            counts[labels] = counts.get(labels, 0) + row["count"]
    return counts


def _histogram(name: str) -> Callable[[Seen], dict[Labels, tuple[Buckets, float]]]:
    """Reads the buckets of each agency, each with those below it, and the sum in seconds."""

    def read(seen: Seen) -> dict[Labels, tuple[Buckets, float]]:
        counts = {agency: Counter(dict.fromkeys((*figures.BOUNDS, inf), 0)) for agency in seen.agencies}
        micros = dict.fromkeys(seen.agencies, 0)
        for row in seen.totals:
            if row["name"] == name:
                counts[row["agency"]][row["le"]] += row["count"]
                micros[row["agency"]] += row["micros"]
        return {(agency,): (_buckets(counts[agency]), micros[agency] / 1e6) for agency in seen.agencies}

    return read


def _buckets(counts: Mapping[float, int]) -> Buckets:
    bounds = sorted(counts)
    words = ("+Inf" if bound == inf else str(bound) for bound in bounds)
    return list(zip(words, accumulate(counts[bound] for bound in bounds), strict=True))


def _each(value: Callable[[Seen, str], float]) -> Callable[[Seen], dict[Labels, float]]:
    """Reads *value* of each agency."""
    return lambda seen: {(agency,): value(seen, agency) for agency in seen.agencies}


def _depth(seen: Seen, agency: str, state: State, what: str = "count") -> float:
    row = seen.backlog.get((agency, state))
    return row[what] if row else 0


def _oldest(seen: Seen, agency: str) -> float:
    return max(_depth(seen, agency, state, "age") for state in UNDELIVERED)


@dataclass(frozen=True)
class Watched:
    """A metric, and how its values are read: numbers, or buckets and a sum, by the values of its *labels*."""

    name: str
    kind: str
    labels: Labels
    help: str
    read: Callable[[Seen], Mapping[Labels, float | tuple[Buckets, float]]]


WATCHED = (
    Watched(
        "gateway_referrals_accepted_total", "counter", (),
        "Referrals accepted from hubs.",
        lambda seen: {(): sum(row["count"] for row in seen.totals if row["name"] == "referral")},
    ),
    Watched(
        "gateway_attempts_total", "counter", ("agency", "kind", "outcome"),
        "Exchanges with agencies, by what they came to.",
        _attempts,
    ),
    Watched(
        "gateway_attempt_duration_seconds", "histogram", ("agency",),
        "What an exchange with an agency took.",
        _histogram("attempt"),
    ),
    Watched(
        "gateway_claim_delay_seconds", "histogram", ("agency",),
        "What passed from when a delivery was due until it was claimed, counted when its exchange has ended.",
        _histogram("claim"),
    ),
    Watched(
        "gateway_oldest_undelivered_age_seconds", "gauge", (),
        "Age of the oldest delivery to an agency that is not settled, be it waiting, held back or uncertain; 0: there is none.",
        lambda seen: {(): max((_oldest(seen, name) for name in seen.agencies if name != figures.WEBHOOKS), default=0)},
    ),
    Watched(
        "gateway_agency_oldest_undelivered_age_seconds", "gauge", ("agency",),
        "The same, of each agency.",
        _each(_oldest),
    ),
    Watched(
        "gateway_deliveries", "gauge", ("agency", "state"),
        "Deliveries that are not settled, and dead ones.",
        lambda seen: {(agency, state): _depth(seen, agency, state) for agency in seen.agencies for state in DEPTHS},
    ),
    Watched(
        "gateway_deliveries_undecided", "gauge", ("agency",),
        "Deliveries that the agency may have and that wait for a person to find out.",
        _each(lambda seen, agency: _depth(seen, agency, State.ASKING, "undecided")),
    ),
    Watched(
        "gateway_agency_breaker_state", "gauge", ("agency",),
        "Whether calls go through: 0 closed, 1 half-open, 2 open.",
        _each(lambda seen, agency: GATES[seen.gates.get(agency, Gate.CLOSED)]),
    ),
    Watched(
        "gateway_agency_paused", "gauge", ("agency",),
        "1 while an administrator has paused the agency.",
        _each(lambda seen, agency: int(agency in seen.paused)),
    ),
    Watched(
        "gateway_agency_closed", "gauge", ("agency",),
        "1 outside the agency's opening hours.",
        _each(lambda seen, agency: int(agency in seen.closed)),
    ),
    Watched(
        "gateway_audit_unlinked_rows", "gauge", (),
        "Audit rows that are not linked into the chain yet.",
        lambda seen: {(): seen.unfinished["audit"]},
    ),
    Watched(
        "gateway_events_unplaced", "gauge", (),
        "Events that have no place in the hubs' feed yet.",
        lambda seen: {(): seen.unfinished["events"]},
    ),
)  # fmt: skip
