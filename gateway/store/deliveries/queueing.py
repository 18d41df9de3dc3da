"""New deliveries."""

from collections.abc import Mapping

from gateway_sdk import Status

from gateway import ids
from gateway.policy.lifecycle import State
from gateway.store import audit
from gateway.store.session import Tx


def queue(
    tx: Tx,
    referral: str,
    *,
    hub: str,
    to: Mapping[str, str],
    kind: str = "referral",
    of: str | None = None,
    held: bool = False,
) -> dict[str, str]:
    """One new delivery for each agency of *to*, ``{agency: purpose}``; due at once, or *held*. Returns ``{agency: id}``.

    One *of* another is counted there, and goes before what waits for that agency, unless it is a message.
    """
    made = {agency: ids.new("del") for agency in to}
    state = State.HELD if held else State.WAITING
    tx.put(
        "WITH followed AS (UPDATE deliveries SET followers = followers + 1 WHERE id = %(of)s) "
        "INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, of, state, status, due_at, created_at) "
        "SELECT id, %(referral)s, %(hub)s, agency, purpose, %(kind)s, %(of)s, %(state)s, %(status)s, "
        "       CASE WHEN %(held)s THEN NULL WHEN %(of)s::text IS NULL OR %(kind)s = 'message' THEN now() ELSE now() - interval '1 h' END, "
        "       clock_timestamp() "
        "FROM unnest(%(ids)s::text[], %(agencies)s::text[], %(purposes)s::text[]) AS new(id, agency, purpose)",
        {
            "referral": referral, "hub": hub, "kind": kind, "of": of, "state": state, "status": Status.RECEIVED, "held": held,
            "ids": list(made.values()), "agencies": list(to), "purposes": list(to.values()),
        },
    )  # fmt: skip
    audit.write(tx, f"hub:{hub}", "delivery.queue", *made.values(), kind=kind)
    return made
