"""What a hub is told: ids, states and codes, in an order without gaps.

A row's position is given by whoever reads or ticks next, under a lock, and only to committed rows.
A reader that keeps the last position it saw therefore misses nothing: a serial number alone would
let a late commit slip in behind it.
"""

from collections.abc import Mapping
from typing import Any

from .session import Cursor, Tx

LOCK = 7_203_003
FIELDS = ("referral", "delivery", "agency", "state", "status", "reason", "code", "webhook", "message", "source")


def place(tx: Tx) -> int:
    """Give positions to the rows that have none, oldest first. Returns how many."""
    if tx.one("SELECT 1 FROM events WHERE position IS NULL LIMIT 1") is None:
        return 0
    tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
    return tx.run(
        # materialized: a plan that joins each event to all that are new would take a number for every pair
        "WITH new AS MATERIALIZED ("
        "  SELECT id, nextval('event_positions') AS position"
        "  FROM (SELECT id FROM events WHERE position IS NULL ORDER BY id) AS in_order) "
        "UPDATE events SET position = new.position FROM new WHERE events.id = new.id"
    )


def after(tx: Tx, hub: str, position: int, limit: int) -> list[dict[str, Any]]:
    """The next *limit* events of *hub* after *position*, in order."""
    return tx.all(
        "SELECT * FROM events WHERE hub = %(hub)s AND position > %(position)s ORDER BY position LIMIT %(limit)s",
        {"hub": hub, "position": position, "limit": limit},
    )


def of_referral(tx: Tx, hub: str, referral: str) -> list[dict[str, Any]]:
    """The timeline of one referral."""
    return tx.all(
        "SELECT * FROM events WHERE referral = %(referral)s AND hub = %(hub)s ORDER BY at, id",
        {"hub": hub, "referral": referral},
    )


def of_consent(tx: Tx, kind: str, consent: str) -> None:
    """One event for each referral that rests on *consent*."""
    tx.put(
        "INSERT INTO events (hub, type, referral) SELECT hub, %(type)s, id FROM referrals WHERE consent = %(consent)s",
        {"type": kind, "consent": consent},
    )


def write(tx: Tx, kind: str, *, hub: str, **fields: Any) -> Cursor:
    """One event; its row's id is there to be fetched. *fields*: those of FIELDS that it has."""
    return tx.put(
        "INSERT INTO events (hub, type, referral, delivery, agency, state, status, reason, code, webhook, message, source) VALUES "
        "(%(hub)s, %(type)s, %(referral)s, %(delivery)s, %(agency)s, %(state)s, %(status)s, %(reason)s, %(code)s, "
        "%(webhook)s, %(message)s, %(source)s) RETURNING id",
        {"hub": hub, "type": kind, **{name: fields.get(name) for name in FIELDS}},
    )


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """*row* as a hub is told, following the event schema. The id is its position, once it has one."""
    known = {name: row[name] for name in FIELDS if row[name] is not None}
    return {"id": str(row["position"] or "new"), "type": row["type"], "at": row["at"], **known}
