"""What is due is taken, held for as long as a lease, and let go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store.session import Tx

from .rows import Delivery

CLAIM = """
WITH agency AS (
    SELECT * FROM unnest(%(agencies)s::text[], %(windows)s::int[], %(more)s::int[], %(only)s::text[])
        AS agency(name, width, more, urgencies)
), picked AS (
    SELECT due.id, busy.held, row_number() OVER (PARTITION BY agency.name ORDER BY due.due_at) AS turn
    FROM agency
    CROSS JOIN LATERAL (
        SELECT count(*) AS held FROM deliveries
        WHERE agency = agency.name AND token IS NOT NULL AND due_at > now()
    ) AS busy
    CROSS JOIN LATERAL (
        SELECT id, due_at FROM deliveries
        WHERE agency = agency.name AND due_at <= now() AND state <> 'sending' AND (agency.urgencies IS NULL OR EXISTS (
            SELECT FROM referrals WHERE id = deliveries.referral AND urgency = ANY(agency.urgencies::text[])))
        ORDER BY due_at LIMIT greatest(0, least(agency.width - busy.held, agency.more)) FOR UPDATE SKIP LOCKED
    ) AS due
    ORDER BY turn, due.due_at LIMIT %(most)s
), claimed AS (
    UPDATE deliveries SET
        state = CASE state WHEN %(waiting)s THEN %(queued)s ELSE state END,
        token = CASE state WHEN %(queued)s THEN token ELSE gen_random_uuid() END,
        due_at = now() + %(lease)s, waited = extract(epoch FROM now() - deliveries.due_at)
    FROM picked WHERE deliveries.id = picked.id
    RETURNING deliveries.id, deliveries.token, deliveries.agency, deliveries.state, picked.held, picked.turn
), audited AS (
    INSERT INTO audit (actor, action, object) SELECT 'gateway', 'delivery.claim', id FROM claimed WHERE state = %(queued)s
)
SELECT id, token, agency, held FROM claimed ORDER BY turn
"""


@dataclass(frozen=True)
class Claimed:
    """A delivery to be rung for. *held*: how many of its agency were in flight before."""

    id: str
    token: UUID
    agency: str
    held: int


@dataclass(frozen=True)
class Window:
    """What may be claimed for an agency: *width* in flight at once, no *more* than that now, *only* of these urgencies."""

    width: int
    more: int | None = None
    only: frozenset[str] | None = None


def claim_due(tx: Tx, windows: Mapping[str, Window], *, most: int, lease: timedelta) -> list[Claimed]:
    """Take what is due, in turn from each agency and no more than its window leaves free.

    *windows*: by agency; nothing is claimed for others. A waiting row becomes queued under a new token; a
    queued one whose lease is over keeps its token and is rung for again; an uncertain or delivered one is
    to be asked about. Rows that another process is claiming are passed over.
    """
    assert DELIVERY[State.WAITING, Move.CLAIM] is State.QUEUED
    rows = tx.all(
        CLAIM,
        {
            "agencies": list(windows), "windows": [window.width for window in windows.values()],
            "more": [window.more for window in windows.values()], "most": most, "lease": lease,
            "only": [window.only and f"{{{','.join(sorted(window.only))}}}" for window in windows.values()],
            "waiting": State.WAITING, "queued": State.QUEUED,
        },
    )  # fmt: skip
    return [Claimed(**row) for row in rows]


def abandoned(tx: Tx, most: int = 500) -> list[Delivery]:
    """Deliveries whose worker was sending when its lease ended: it may have died after the bytes left.

    They are held, as their token says: looked for among what is held, not among all that is due. Not locked.
    """
    rows = tx.all(
        "SELECT * FROM deliveries WHERE token IS NOT NULL AND state = 'sending' AND due_at <= now() ORDER BY due_at "
        "LIMIT %(most)s",
        {"most": most},
    )
    return [Delivery.of_row(row) for row in rows]


def take(tx: Tx, delivery: Delivery, *, hold_for: timedelta) -> Delivery | None:
    """Hold *delivery* under a new token while it is asked about; its state stays. None if it is held no longer."""
    asking = delivery.state is State.ASKING
    row = tx.one(
        "UPDATE deliveries SET token = %(new)s, due_at = clock_timestamp() + %(hold_for)s, "
        "  asks = asks + %(asked)s, polls = polls + %(polled)s WHERE id = %(id)s AND token = %(token)s RETURNING *",
        {
            "id": delivery.id, "token": delivery.token, "new": uuid4(), "hold_for": hold_for,
            "asked": int(asking), "polled": int(not asking),
        },
    )  # fmt: skip
    return Delivery.of_row(row) if row else None


def let_go(tx: Tx, delivery: Delivery, due_at: datetime | None) -> None:
    """Give up a hold without a change of state; look again at *due_at*, or never: an uncertain one waits for a person then."""
    tx.put(
        "UPDATE deliveries SET token = NULL, due_at = %(due_at)s, updated_at = CASE WHEN state = 'asking' AND "
        "  %(due_at)s::timestamptz IS NULL THEN clock_timestamp() ELSE updated_at END WHERE id = %(id)s AND token = %(token)s",
        {"id": delivery.id, "token": delivery.token, "due_at": due_at},
    )
