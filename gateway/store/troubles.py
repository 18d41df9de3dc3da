"""Troubles, and the outbox of alerts that tell of them.

Both are written in the transaction that finds the trouble, so that no crash comes between. An alert keeps its id
through all repetitions: it is sent at least once, and a receiver can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway import ids
from gateway.policy.troubles import QUIET, Kind, Phase

from .session import Tx

CHANGE = """
WITH begun AS (
    INSERT INTO troubles (agency, kind) SELECT %(agency)s, %(kind)s WHERE %(phase)s = 'begins'
    ON CONFLICT (agency, kind) WHERE ended_at IS NULL DO NOTHING RETURNING id
), over AS (
    UPDATE troubles SET ended_at = clock_timestamp()
    WHERE agency = %(agency)s AND kind = %(kind)s AND ended_at IS NULL AND %(phase)s = 'over' RETURNING id
), changed AS (
    SELECT id FROM begun UNION ALL SELECT id FROM over
), told AS (
    INSERT INTO alerts (id, trouble, channel, phase, count)
    SELECT %(alert)s, changed.id, channel, %(phase)s, %(count)s FROM changed, unnest(%(channels)s::text[]) AS channel
)
SELECT id FROM changed
"""


def change(tx: Tx, agency: str, kind: Kind, phase: Phase, *, channels: Sequence[str], count: int | None = None) -> bool:
    """A trouble begins or is over: tell of it on *channels*. False if it had begun before, or there was none."""
    values = {
        "agency": agency, "kind": kind, "phase": phase, "channels": list(channels), "count": count,
        "alert": ids.new("alr"),
    }  # fmt: skip
    return tx.one(CHANGE, values) is not None


def under_way(tx: Tx) -> dict[tuple[str, Kind], datetime]:
    """``{(agency, kind): since when}`` of every trouble that is not over."""
    rows = tx.all("SELECT agency, kind, began_at FROM troubles WHERE ended_at IS NULL ORDER BY agency, kind")
    return {(row["agency"], Kind(row["kind"])): row["began_at"] for row in rows}


def late(tx: Tx, agencies: Mapping[str, frozenset[str] | None], oldest: timedelta) -> dict[str, int]:
    """How many of each agency's deliveries wait for longer than *oldest*: uncertain ones only while they
    are asked about, tasks only once they are late.

    *agencies*: ``{name: urgencies that count, None: all}``.
    """
    rows = tx.all(
        "SELECT name, waiting.count FROM unnest(%(names)s::text[], %(only)s::text[]) AS agency(name, urgencies) "
        "CROSS JOIN LATERAL (SELECT count(*) FROM deliveries JOIN referrals ON referrals.id = referral "
        "  WHERE agency = name AND state IN ('held', 'waiting', 'queued', 'sending', 'asking', 'task') "
        "  AND (state <> 'asking' OR due_at IS NOT NULL) AND (state <> 'task' OR code = 'late') "
        "  AND deliveries.created_at < clock_timestamp() - %(oldest)s "
        "  AND (urgencies IS NULL OR urgency = ANY(urgencies::text[]))) AS waiting WHERE waiting.count > 0",
        {
            "names": list(agencies), "oldest": oldest,
            "only": [only if only is None else f"{{{','.join(sorted(only))}}}" for only in agencies.values()],
        },
    )  # fmt: skip
    return {row["name"]: row["count"] for row in rows}


def ended(tx: Tx) -> dict[tuple[str, Kind], tuple[int, int]]:
    """``{(agency, kind): (lately, in all)}`` of the dead, and of the uncertain that wait for a person; webhooks' are their hub's."""
    rows = tx.all(
        "SELECT agency, state, count(*) FILTER (WHERE updated_at > clock_timestamp() - %(quiet)s) AS lately, count(*) AS whole "
        "FROM deliveries WHERE event IS NULL AND (state = 'dead' OR state = 'asking' AND due_at IS NULL) GROUP BY agency, state",
        {"quiet": QUIET},
    )
    kinds = {"dead": Kind.DEAD, "asking": Kind.UNDECIDED}
    return {(row["agency"], kinds[row["state"]]): (row["lately"], row["whole"]) for row in rows}


@dataclass(frozen=True)
class Alert:
    """One message of the outbox. *count*: of deliveries, where that has a meaning. *at*: when it was written."""

    place: int
    id: str
    channel: str
    agency: str
    kind: Kind
    phase: Phase
    count: int | None
    began_at: datetime
    ended_at: datetime | None
    at: datetime
    failures: int


def take(tx: Tx, channels: Sequence[str], lease: timedelta) -> Alert | None:
    """The next alert that is due on *channels*, for this process alone while the *lease* lasts.

    The end of a trouble is not told on a channel before its beginning was, or was given up.
    """
    row = tx.one(
        "UPDATE alerts SET due_at = clock_timestamp() + %(lease)s FROM troubles "
        "WHERE troubles.id = alerts.trouble AND place = (SELECT place FROM alerts AS due "
        "  WHERE due_at <= clock_timestamp() AND channel = ANY(%(channels)s) AND NOT EXISTS (SELECT FROM alerts AS before "
        "    WHERE before.trouble = due.trouble AND before.channel = due.channel AND before.place < due.place "
        "    AND before.due_at IS NOT NULL) ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) "
        "RETURNING alerts.*, agency, kind, began_at, ended_at",
        {"channels": list(channels), "lease": lease},
    )
    if row is None:
        return None
    known = {name: row[name] for name in Alert.__dataclass_fields__}
    return Alert(**{**known, "kind": Kind(row["kind"]), "phase": Phase(row["phase"])})


def sent(tx: Tx, alert: Alert) -> None:
    tx.put(
        "UPDATE alerts SET sent_at = clock_timestamp(), due_at = NULL WHERE place = %(place)s", {"place": alert.place}
    )


def failed(tx: Tx, alert: Alert, due_at: datetime | None) -> None:
    """It is tried again at *due_at*; None: given up."""
    tx.put(
        "UPDATE alerts SET failures = failures + 1, due_at = %(due_at)s WHERE place = %(place)s",
        {"place": alert.place, "due_at": due_at},
    )


def untold(tx: Tx) -> int:
    """How many alerts could not be sent so far, or were given up within a day."""
    row = tx.one(
        "SELECT count(*) FROM alerts WHERE sent_at IS NULL AND failures > 0 "
        "AND at > clock_timestamp() - interval '1 day'"
    )
    return int(row["count"]) if row else 0
