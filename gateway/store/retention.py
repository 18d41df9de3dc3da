"""What is old enough to go: found and counted, and removed a batch at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from gateway_sdk import Status

from gateway.policy.lifecycle import State
from gateway.policy.retention import Part

from .session import Tx


@dataclass(frozen=True)
class Aged:
    """A kept referral, its deliveries, and for how long nothing has happened to it."""

    id: str
    parts: tuple[Part, ...]
    quiet_for: timedelta


REFERRALS: LiteralString = """
SELECT id, created_at, clock_timestamp() - greatest(created_at, last) AS quiet_for, parts
FROM referrals CROSS JOIN LATERAL (
    SELECT max(updated_at) AS last, coalesce(json_agg(json_build_array(state, status, doubted)), '[]') AS parts
    FROM deliveries WHERE referral = referrals.id AND event IS NULL) AS sent
WHERE erased_at IS NULL
"""


def referrals(
    tx: Tx, older_than: timedelta, after: tuple[datetime, str] | None, most: int
) -> list[tuple[datetime, Aged]]:
    """The next *most* referrals that were taken so long ago, each with when; *after* the (time, id) of the last one."""
    rows = tx.all(
        REFERRALS + "AND created_at < clock_timestamp() - %(age)s "
        "AND (%(at)s::timestamptz IS NULL OR (created_at, id) > (%(at)s, %(id)s)) ORDER BY created_at, id LIMIT %(most)s",
        {"age": older_than, "at": after and after[0], "id": after and after[1], "most": most},
    )
    return [(row["created_at"], _aged(row)) for row in rows]


def lock(tx: Tx, referral: str) -> Aged | None:
    """One of them as it stands now, locked, its deliveries too; None: it was erased, or somebody else is at it."""
    held = tx.one(
        "SELECT 1 FROM referrals WHERE id = %(id)s AND erased_at IS NULL FOR NO KEY UPDATE SKIP LOCKED",
        {"id": referral},
    )
    tx.put(  # whoever queues what follows a delivery holds it: what was queued until now is seen below
        "SELECT FROM deliveries WHERE referral = %(id)s AND kind = 'referral' ORDER BY id FOR UPDATE", {"id": referral}
    )
    row = tx.one(REFERRALS + "AND id = %(id)s", {"id": referral}) if held else None
    return _aged(row) if row else None


def _aged(row: Mapping[str, Any]) -> Aged:
    parts = [Part(State(state), Status(status), doubted) for state, status, doubted in row["parts"]]
    return Aged(row["id"], tuple(parts), row["quiet_for"])


# Over, and nothing rests on them. They are looked at no more (look_at) once they ended or she withdrew.
CONSENTS: LiteralString = """
FROM consents WHERE erased_at IS NULL AND look_at IS NULL AND NOT EXISTS (
    SELECT FROM referrals WHERE consent = consents.id AND erased_at IS NULL)
AND greatest(created_at, withdrawn_at, (SELECT max(recorded_at) FROM consent_versions WHERE consent = consents.id))
    < clock_timestamp() - %(age)s
"""


def consents(tx: Tx, age: timedelta, most: int) -> list[str]:
    """Ids of consents that have been over for so long, locked."""
    rows = tx.all(
        "SELECT id " + CONSENTS + "ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED", {"age": age, "most": most}
    )
    return [row["id"] for row in rows]


def count_consents(tx: Tx, age: timedelta) -> int:
    return _count(tx, "SELECT count(*) AS n " + CONSENTS, age)


# What is removed without more ado: {kind: (table, which)}.
PLAIN: Mapping[str, tuple[LiteralString, LiteralString]] = {
    "contacts": ("former_contacts", "until < clock_timestamp() - %(age)s"),
    "callbacks": ("callbacks", "at < clock_timestamp() - %(age)s"),
    "idempotency": ("idempotency", "created_at < clock_timestamp() - %(age)s"),
    "webhooks": (
        "deliveries",
        "event IS NOT NULL AND state IN ('delivered', 'refused', 'dead', 'withdrawn') AND updated_at < clock_timestamp() - %(age)s",
    ),
    "events": (
        "events",
        "at < clock_timestamp() - %(age)s AND position <= (SELECT events FROM counted) "
        "AND NOT EXISTS (SELECT FROM deliveries WHERE event = events.id)",
    ),
}


def count(tx: Tx, kind: str, age: timedelta) -> int:
    """How many of a PLAIN *kind* are so old."""
    table, which = PLAIN[kind]
    return _count(tx, "SELECT count(*) AS n FROM " + table + " WHERE " + which, age)  # noqa: S608  # of the constants above


# The exchanges of such a delivery go with it; those with agencies are counted there, and stay.
WEBHOOKS: LiteralString = (
    "WITH old AS (SELECT id FROM deliveries WHERE " + PLAIN["webhooks"][1] + " LIMIT %(most)s FOR UPDATE SKIP LOCKED), "  # noqa: S608  # as above
    "made AS (DELETE FROM attempts USING old WHERE delivery = old.id) DELETE FROM deliveries USING old WHERE deliveries.id = old.id"
)


def remove(tx: Tx, kind: str, age: timedelta, most: int) -> int:
    """Remove some of them. Returns how many."""
    table, which = PLAIN[kind]
    old: LiteralString = "FROM " + table + " WHERE " + which + " LIMIT %(most)s FOR UPDATE SKIP LOCKED"
    sql = WEBHOOKS if kind == "webhooks" else "DELETE FROM " + table + " WHERE ctid IN (SELECT ctid " + old + ")"  # noqa: S608
    return tx.run(sql, {"age": age, "most": most})


def _count(tx: Tx, sql: LiteralString, age: timedelta) -> int:
    row = tx.one(sql, {"age": age})
    number: int = row["n"] if row else 0
    return number
