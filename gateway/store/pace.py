"""Whose turn it is to claim; and calls a minute, counted from the rows: what ended within one, and what is held now.

Whoever may add to a count holds the agency's turn from the counting to the commit of the claim. A call is
counted from its claim until a minute after its end, so no more than the limit can begin within any minute.
"""

from collections.abc import Collection, Mapping

from gateway.policy.calls import MINUTE, Minute

from .session import Cursor, Tx

LOCK = 7_203_004


def put_turns(tx: Tx, names: Collection[str]) -> Cursor:
    """Asks for the turns of *names*: ``{name}`` of those for which this transaction alone may claim until it ends.

    What is counted after it, calls held or calls a minute, nobody else adds to.
    """
    return tx.put(
        "SELECT name FROM unnest(%(names)s::text[]) AS one(name) WHERE pg_try_advisory_xact_lock(%(lock)s, hashtext(name))",
        {"names": sorted(names), "lock": LOCK},
    )


def minutes(tx: Tx, limits: Mapping[str, int]) -> dict[str, Minute]:
    """How far each agency of *limits*, ``{agency: calls a minute}``, was called within the last minute."""
    rows = tx.all(
        "SELECT name, most, held + ended AS calls, coalesce(first_ended, clock_timestamp()) + %(minute)s AS free_at "
        "FROM unnest(%(names)s::text[], %(limits)s::int[]) AS limited(name, most) "
        "CROSS JOIN LATERAL (SELECT count(*) AS held FROM deliveries "
        "  WHERE agency = name AND token IS NOT NULL AND due_at > now()) AS now_held "
        "CROSS JOIN LATERAL (SELECT count(*) AS ended, min(at) AS first_ended FROM attempts "
        "  WHERE agency = name AND at > now() - %(minute)s) AS lately",
        {"names": list(limits), "limits": list(limits.values()), "minute": MINUTE},
    )
    return {row["name"]: Minute(row["most"], row["calls"], row["free_at"]) for row in rows}
