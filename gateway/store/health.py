"""How each agency is doing: its breaker, and whether an administrator paused it. Shared by all processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.policy import breaker

from . import audit
from .session import Tx


@dataclass(frozen=True)
class Health:
    """*opened_at*: since when the breaker is open. *probe_at*: when the next call may try. *closed_at*: when it last
    closed; what failed before counts no more. *paused_at*: by a person."""

    agency: str
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    closed_at: datetime | None = None
    paused_at: datetime | None = None


def picture(tx: Tx) -> tuple[dict[str, Health], datetime]:
    """The agencies that are not simply well, and the time by the database's clock."""
    rows = tx.all(
        "SELECT agency_health.*, clock_timestamp() AS now FROM (SELECT) AS clock "
        "LEFT JOIN agency_health ON opened_at IS NOT NULL OR paused_at IS NOT NULL ORDER BY agency"
    )
    now = rows[0]["now"]
    return {row["agency"]: of_row(row) for row in rows if row["agency"]}, now


def of_row(row: Mapping[str, Any]) -> Health:
    return Health(**{name: row[name] for name in Health.__dataclass_fields__})


def take_probe(tx: Tx, agency: str, pause: timedelta) -> bool:
    """Whether this process is the one that may probe *agency* now; the next probe is a *pause* away."""
    return bool(
        tx.run(
            "UPDATE agency_health SET probe_at = clock_timestamp() + %(pause)s "
            "WHERE agency = %(agency)s AND probe_at <= clock_timestamp()",
            {"agency": agency, "pause": pause},
        )
    )


def failed(tx: Tx, agency: str, limits: breaker.Limits) -> bool:
    """A call failed: open the breaker if that is one too many. True when it opened: an outage begins.

    Compared with now(), which stands still: by clock_timestamp() no index finds the last calls, and all that ever were are read.
    """
    row = tx.one(
        "SELECT count(*) AS calls, count(*) FILTER (WHERE outcome IN ('unavailable', 'uncertain')) AS failures "
        "FROM attempts WHERE agency = %(agency)s AND at > greatest(now() - %(window)s, "
        "  (SELECT closed_at FROM agency_health WHERE agency = %(agency)s))",
        {"agency": agency, "window": limits.window},
    )
    assert row is not None
    if not breaker.trips(limits, row["calls"], row["failures"]):
        return False
    opened = tx.run(
        "INSERT INTO agency_health (agency, opened_at, probe_at) "
        "VALUES (%(agency)s, clock_timestamp(), clock_timestamp() + %(pause)s) "
        "ON CONFLICT (agency) DO UPDATE SET opened_at = excluded.opened_at, probe_at = excluded.probe_at "
        "WHERE agency_health.opened_at IS NULL",
        {"agency": agency, "pause": limits.pause},
    )
    if opened:
        audit.write(tx, "gateway", "agency.breaker.open", agency)
    return bool(opened)


def succeeded(tx: Tx, agency: str) -> bool:
    """A call came through: close the breaker. True when it was open: an outage is over."""
    closed = tx.run(
        "UPDATE agency_health SET opened_at = NULL, probe_at = NULL, closed_at = clock_timestamp() "
        "WHERE agency = %(agency)s AND opened_at IS NOT NULL",
        {"agency": agency},
    )
    if closed:
        audit.write(tx, "gateway", "agency.breaker.close", agency)
    return bool(closed)


def pause(tx: Tx, agency: str, *, by: str, reason: str) -> None:
    """Send nothing more to *agency* until resume(). What is on the wire is finished."""
    tx.put(
        "INSERT INTO agency_health (agency, paused_at) VALUES (%(agency)s, clock_timestamp()) "
        "ON CONFLICT (agency) DO UPDATE SET paused_at = coalesce(agency_health.paused_at, excluded.paused_at)",
        {"agency": agency},
    )
    audit.write(tx, by, "agency.pause", agency, reason=reason)


def resume(tx: Tx, agency: str, *, by: str, reason: str) -> None:
    """Go on with *agency*: what waits is sent in its order. Nothing that ended is started again."""
    tx.put("UPDATE agency_health SET paused_at = NULL WHERE agency = %(agency)s", {"agency": agency})
    audit.write(tx, by, "agency.resume", agency, reason=reason)
