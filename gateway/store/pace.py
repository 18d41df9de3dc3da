"""Calls a minute, counted from the rows: what ended within a minute, and what is held now.

Whoever may add to a count holds the agency's turn from the counting to the commit of the claim. A call is
counted from its claim until a minute after its end, so no more than the limit can begin within any minute.
"""

from collections.abc import Collection, Mapping

from gateway.policy.calls import MINUTE, Minute

from .session import Tx

LOCK = 7_203_004


def turns(tx: Tx, agencies: Collection[str]) -> frozenset[str]:
    """Those of *agencies* for which this transaction alone may claim until it ends; others are about to claim."""
    rows = tx.all(
        "SELECT name FROM unnest(%(names)s::text[]) AS limited(name) "
        "WHERE pg_try_advisory_xact_lock(%(lock)s, hashtext(name))",
        {"names": sorted(agencies), "lock": LOCK},
    )
    return frozenset(row["name"] for row in rows)


def minutes(tx: Tx, limits: Mapping[str, int]) -> dict[str, Minute]:
    """How far each agency of *limits*, ``{agency: calls a minute}``, was called within the last minute."""
    rows = tx.all(
        "SELECT name, most, held + ended AS calls, coalesce(first_ended, clock_timestamp()) + %(minute)s AS free_at "
        "FROM unnest(%(names)s::text[], %(limits)s::int[]) AS limited(name, most) "
        "CROSS JOIN LATERAL (SELECT count(*) AS held FROM deliveries "
        "  WHERE agency = name AND token IS NOT NULL AND due_at > clock_timestamp()) AS now_held "
        "CROSS JOIN LATERAL (SELECT count(*) AS ended, min(at) AS first_ended FROM attempts "
        "  WHERE agency = name AND at > clock_timestamp() - %(minute)s) AS lately",
        {"names": list(limits), "limits": list(limits.values()), "minute": MINUTE},
    )
    return {row["name"]: Minute(row["most"], row["calls"], row["free_at"]) for row in rows}
