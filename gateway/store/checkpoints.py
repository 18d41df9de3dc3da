"""Signed checkpoints of the audit."""

from datetime import timedelta

from gateway.notary import Checkpoint, Notary

from .session import Tx


def sign(tx: Tx, notary: Notary, every: timedelta) -> Checkpoint | None:
    """Sign how far the audit is linked, if it grew since the last checkpoint and that is older than *every*."""
    row = tx.one(
        "SELECT audit.position, audit.link, clock_timestamp() AS at FROM audit "
        "LEFT JOIN LATERAL (SELECT position, at FROM audit_checkpoints ORDER BY position DESC LIMIT 1) AS last ON true "
        "WHERE audit.position = (SELECT max(position) FROM audit) "
        "AND (last.position IS NULL OR audit.position > last.position AND last.at <= clock_timestamp() - %(every)s)",
        {"every": every},
    )
    if row is None:
        return None
    made = notary.sign(row["position"], row["link"], row["at"])
    kept = tx.run(
        "INSERT INTO audit_checkpoints (position, link, at, signature) "
        "VALUES (%(position)s, %(link)s, %(at)s, %(signature)s) ON CONFLICT DO NOTHING",
        vars(made),
    )
    return made if kept else None


def everyone(tx: Tx) -> list[Checkpoint]:
    """All of them, in their order."""
    rows = tx.all("SELECT position, link, at, signature FROM audit_checkpoints ORDER BY position")
    return [Checkpoint(**row) for row in rows]
