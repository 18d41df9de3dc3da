"""Reading deliveries: pages, histories, totals. Nothing here locks or changes anything."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway_sdk import Status

from gateway.policy.lifecycle import FINAL, State

from .deliveries import Delivery
from .session import Tx


def of_referral(tx: Tx, referral: str, *, hub: str) -> list[Delivery]:
    rows = tx.all(
        "SELECT * FROM deliveries WHERE referral = %(referral)s AND hub = %(hub)s AND event IS NULL ORDER BY created_at, agency",
        {"referral": referral, "hub": hub},
    )
    return [Delivery.of_row(row) for row in rows]


def search(
    tx: Tx,
    *,
    hub: str | None = None,
    agency: str | None = None,
    states: Sequence[State] = (),
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """Newest first. What a webhook is told is among its hub's only when it is named as *agency*.

    *before*: the (created_at, id) of the last one seen, for the next page.
    """
    rows = tx.all(
        "SELECT * FROM deliveries WHERE (%(hub)s::text IS NULL OR hub = %(hub)s) "
        "AND (%(agency)s::text IS NULL OR agency = %(agency)s) "
        "AND (event IS NULL OR %(hub)s::text IS NULL OR agency = %(agency)s) "
        "AND (%(states)s::text[] = '{}' OR state = ANY(%(states)s)) "
        "AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s)) "
        "ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {
            "hub": hub, "agency": agency, "states": [str(state) for state in states],
            "at": before[0] if before else None, "id": before[1] if before else None, "limit": limit,
        },
    )  # fmt: skip
    return [Delivery.of_row(row) for row in rows]


def attempts(tx: Tx, delivery: str) -> list[dict[str, Any]]:
    return tx.all(
        "SELECT kind, outcome, code, seconds, at FROM attempts WHERE delivery = %(id)s ORDER BY id", {"id": delivery}
    )


def totals(tx: Tx) -> list[dict[str, Any]]:
    """``{agency, state, count, oldest}`` for every agency and state that has any; *oldest*: when the oldest was queued."""
    return tx.all(
        "SELECT agency, state, count(*) AS count, min(created_at) AS oldest FROM deliveries GROUP BY agency, state ORDER BY agency, state"
    )


def late_tasks(tx: Tx) -> int:
    """How many tasks wait for a person longer than they should."""
    row = tx.one("SELECT count(*) AS n FROM deliveries WHERE state = 'task' AND code = 'late'")
    assert row is not None
    number: int = row["n"]
    return number


WAITS = (
    "state IN ('held', 'waiting', 'queued', 'sending', 'asking', 'task') AND event IS NULL "
    "AND (state <> 'task' OR code = 'late')"
)
# The oldest of each agency, one step in the index for each: to count all that waits would take the longer the more it is.
OLDEST = f"""
WITH RECURSIVE each AS (
    (SELECT agency, created_at FROM deliveries WHERE {WAITS} ORDER BY agency, created_at LIMIT 1)
    UNION ALL
    SELECT next.* FROM each CROSS JOIN LATERAL (
        SELECT agency, created_at FROM deliveries WHERE {WAITS} AND agency > each.agency ORDER BY agency, created_at LIMIT 1
    ) AS next
)
SELECT clock_timestamp() - min(created_at) AS age FROM each
"""  # noqa: S608  # of the constant above


def oldest_undelivered(tx: Tx) -> timedelta | None:
    """The age of the oldest delivery to an agency that is not settled, held and uncertain ones too; a person's task only
    once it is late."""
    row = tx.one(OLDEST)
    age: timedelta | None = row["age"] if row else None
    return age


def lawful_bases(tx: Tx, hub: str | None) -> list[dict[str, Any]]:
    """Records of another lawful basis than consent, newest first, with what rests on each: ``{..., referrals, deliveries}``."""
    return tx.all(
        "SELECT id, hub, basis, created_at, approved_at, withdrawn_at, "
        "  ARRAY(SELECT referrals.id FROM referrals WHERE consent = consents.id ORDER BY referrals.created_at) AS referrals, "
        "  coalesce((SELECT jsonb_object_agg(state, n) FROM ("
        "    SELECT state, count(*) AS n FROM deliveries JOIN referrals ON referrals.id = deliveries.referral "
        "    WHERE referrals.consent = consents.id AND kind = 'referral' GROUP BY state) AS counted), '{}') AS deliveries "
        "FROM consents WHERE basis <> 'consent' AND (%(hub)s::text IS NULL OR hub = %(hub)s) ORDER BY created_at DESC, id",
        {"hub": hub},
    )


def to_tell(tx: Tx, hub: str, limit: int = 200) -> list[Delivery]:
    """*hub*'s tasks, oldest first."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE hub = %(hub)s AND state = 'task' ORDER BY created_at, id LIMIT %(limit)s",
        {"hub": hub, "limit": limit},
    )
    return [Delivery.of_row(row) for row in rows]


def unanswered(tx: Tx, hub: str, agencies: Collection[str], limit: int = 200) -> list[Delivery]:
    """*hub*'s referrals that *agencies* were given and have not declined or brought to an end, oldest first."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE hub = %(hub)s AND state = 'delivered' AND kind = 'referral' "
        "AND agency = ANY(%(agencies)s) AND NOT status = ANY(%(ended)s) ORDER BY created_at, id LIMIT %(limit)s",
        {"hub": hub, "agencies": list(agencies), "ended": [*FINAL, Status.DECLINED], "limit": limit},
    )
    return [Delivery.of_row(row) for row in rows]


def tasks(tx: Tx, hub: str | None = None, limit: int = 200) -> list[Delivery]:
    """What waits for a person, oldest first: agencies that must be told by hand, and what nobody could resolve."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE kind <> 'event' AND (%(hub)s::text IS NULL OR hub = %(hub)s) AND ("
        "  state IN ('dead', 'task') OR (state = 'refused' AND of IS NOT NULL) "
        "  OR (state = 'asking' AND due_at IS NULL AND token IS NULL)) "
        "ORDER BY created_at, id LIMIT %(limit)s",
        {"hub": hub, "limit": limit},
    )
    return [Delivery.of_row(row) for row in rows]
