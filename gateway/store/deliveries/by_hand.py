"""Tasks: a person sees the sheet, or is reminded of it."""

from datetime import datetime

from gateway.store import audit
from gateway.store.session import Tx

from .moving import tell
from .rows import Delivery


def open_sheet(tx: Tx, delivery: Delivery) -> None:
    """Somebody sees the sheet of a task: from now on the agency may have it."""
    tx.put(
        "UPDATE deliveries SET seen_at = coalesce(seen_at, clock_timestamp()) WHERE id = %(id)s",
        {"id": delivery.id},
    )


def remind(tx: Tx, delivery: Delivery, *, again_at: datetime) -> None:
    """A task that *delivery* holds waits too long: say so to its hub, and look again at *again_at*."""
    row = tx.one(
        "UPDATE deliveries SET token = NULL, due_at = %(again)s, code = 'late' "
        "WHERE id = %(id)s AND token = %(token)s AND state = 'task' RETURNING *",
        {"id": delivery.id, "token": delivery.token, "again": again_at},
    )
    if row:
        audit.write(tx, "gateway", "delivery.remind", delivery.id)
        tell(tx, Delivery.of_row(row), "delivery.reminder")
