"""What an agency said that contradicts what is recorded: kept with its source, and open until something decides.

That is a later statement of the agency's that fits, or a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway_sdk import Reason, Status
from psycopg.rows import DictRow

from . import audit, events, referrals
from .deliveries import Delivery
from .session import Tx


class Source(StrEnum):
    """How it was said."""

    CALLBACK = "callback"
    POLL = "poll"
    BY_HAND = "by-hand"


@dataclass(frozen=True)
class Contradiction:
    """*status* and *reason*: what was said of *delivery*; or *reference*, still sealed: another than it gave before."""

    id: int
    delivery: str
    source: Source
    status: Status | None
    reason: Reason | None
    reference: bytes | None
    at: datetime


def keep(
    tx: Tx,
    delivery: Delivery,
    source: Source,
    *,
    by: str,
    status: Status | None = None,
    reason: Reason | None = None,
    reference: str | None = None,
) -> None:
    """Keep what was said, and tell the hub; once, while the same is open."""
    sealed = index = None
    if reference is not None and delivery.referral is not None:
        sealed = referrals.key(tx, delivery.referral).seal(reference.encode(), _where(delivery.id))
        index = tx.vault.blind("reference", f"{delivery.agency}:{reference}")
    row = tx.one(
        "INSERT INTO contradictions (delivery, source, status, reason, reference, reference_index) VALUES "
        "(%(delivery)s, %(source)s, %(status)s, %(reason)s, %(reference)s, %(index)s) ON CONFLICT DO NOTHING RETURNING id",
        {
            "delivery": delivery.id,
            "source": source,
            "status": status,
            "reason": reason,
            "reference": sealed,
            "index": index,
        },
    )
    if row is None:
        return
    audit.write(tx, by, "delivery.contradiction", delivery.id, source=source, status=status)
    events.write(
        tx, "delivery.contradiction", hub=delivery.hub, referral=delivery.referral, delivery=delivery.id, source=source,
        agency=delivery.agency, state=delivery.state, status=status or delivery.status, reason=reason,
        code="other_reference" if reference else None,
    )  # fmt: skip


def _where(delivery: str) -> str:
    return f"contradictions.reference:{delivery}"


def reference(tx: Tx, delivery: Delivery, found: Contradiction) -> str | None:
    """The other reference, in the clear. Raises Sealed."""
    if found.reference is None or delivery.referral is None:
        return None
    return referrals.key(tx, delivery.referral).open(found.reference, _where(delivery.id)).decode()


def settle_status(tx: Tx, delivery: Delivery) -> None:
    """The agency, or a person, said something that fits: what was said of its status against that is over."""
    tx.put(
        "UPDATE contradictions SET settled_at = clock_timestamp() "
        "WHERE delivery = %(id)s AND settled_at IS NULL AND status IS NOT NULL",
        {"id": delivery.id},
    )


def settle(tx: Tx, found: Contradiction) -> None:
    tx.put("UPDATE contradictions SET settled_at = clock_timestamp() WHERE id = %(id)s", {"id": found.id})


def open_of(tx: Tx, deliveries: Sequence[str]) -> list[Contradiction]:
    """Those of *deliveries* that nothing has decided, oldest first."""
    rows = tx.all(
        "SELECT id, delivery, source, status, reason, reference, at FROM contradictions "
        "WHERE settled_at IS NULL AND delivery = ANY(%(ids)s) ORDER BY id",
        {"ids": list(deliveries)},
    )
    return [_of_row(row) for row in rows]


def all_of(tx: Tx, delivery: Delivery) -> list[dict[str, Any]]:
    """``{source, status, reason, reference, at, settled_at}`` of *delivery*, decided ones too, in the clear. Raises Sealed."""
    rows = tx.all("SELECT * FROM contradictions WHERE delivery = %(id)s ORDER BY id", {"id": delivery.id})
    return [
        {name: row[name] for name in ("source", "status", "reason", "at", "settled_at")}
        | {"reference": reference(tx, delivery, _of_row(row))}
        for row in rows
    ]


def all_open(tx: Tx, limit: int = 200) -> list[tuple[Contradiction, str, Status]]:
    """Everybody's, oldest first, each with its agency and the status that stands."""
    rows = tx.all(
        "SELECT contradictions.id, delivery, source, contradictions.status, contradictions.reason, "
        "  contradictions.reference, at, agency, deliveries.status AS stands "
        "FROM contradictions JOIN deliveries ON deliveries.id = delivery WHERE settled_at IS NULL "
        "ORDER BY contradictions.id LIMIT %(limit)s",
        {"limit": limit},
    )
    return [(_of_row(row), row["agency"], Status(row["stands"])) for row in rows]


def _of_row(row: DictRow) -> Contradiction:
    status, reason = row["status"], row["reason"]
    return Contradiction(
        row["id"], row["delivery"], Source(row["source"]), Status(status) if status else None,
        Reason(reason) if reason else None, row["reference"], row["at"],
    )  # fmt: skip
