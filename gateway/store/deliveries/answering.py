"""What an agency said of a referral that it has, by a callback or when it was asked."""

from collections.abc import Collection
from datetime import datetime

from gateway_sdk import Reason, Status

from gateway.store import audit
from gateway.store.session import Tx

from .moving import tell
from .rows import Delivery


def find(tx: Tx, agency: str, *, key: str | None, reference: str | None) -> Delivery | None:
    """One of *agency*'s own referrals by our key or its reference, locked."""
    index = tx.vault.blind("reference", f"{agency}:{reference}") if reference else None
    row = tx.one(
        "SELECT * FROM deliveries WHERE agency = %(agency)s AND kind = 'referral' "
        "AND (id = %(key)s OR reference_index = %(index)s) "
        "AND EXISTS (SELECT FROM referrals WHERE id = deliveries.referral AND erased_at IS NULL) "
        "ORDER BY id = %(key)s DESC LIMIT 1 FOR UPDATE",
        {"agency": agency, "key": key, "index": index},
    )
    return Delivery.of_row(row) if row else None


def declined(tx: Tx, women: Collection[tuple[str, str]]) -> dict[tuple[str, str], frozenset[str]]:
    """``{(hub, subject): agencies}`` whose last word about her, whom her hub calls so, is that they decline."""
    if not women:
        return {}
    by_index = {(hub, tx.vault.blind("subject", f"{hub}:{subject}")): (hub, subject) for hub, subject in women}
    rows = tx.all(
        "SELECT hub, subject_index, array_agg(agency) AS agencies FROM ("
        "  SELECT DISTINCT ON (referrals.hub, subject_index, agency) referrals.hub, subject_index, agency, status "
        "  FROM referrals JOIN deliveries ON referral = referrals.id AND kind = 'referral' "
        "  WHERE (referrals.hub, subject_index) IN (SELECT * FROM unnest(%(hubs)s::text[], %(indexes)s::bytea[])) "
        "  ORDER BY referrals.hub, subject_index, agency, deliveries.created_at DESC) AS last "
        "WHERE status = 'declined' GROUP BY hub, subject_index",
        {"hubs": [hub for hub, _ in by_index], "indexes": [index for _, index in by_index]},
    )
    return {by_index[row["hub"], bytes(row["subject_index"])]: frozenset(row["agencies"]) for row in rows}


def first_seen(tx: Tx, agency: str, callback: str) -> bool:
    """Whether this is the first time that *agency*'s callback of this id arrives; remembers it."""
    return bool(
        tx.run(
            "INSERT INTO callbacks (agency, id) VALUES (%(agency)s, %(id)s) ON CONFLICT DO NOTHING",
            {"agency": agency, "id": callback},
        )
    )


def set_status(tx: Tx, delivery: Delivery, status: Status, *, reason: Reason | None, at: datetime, by: str) -> Delivery:
    """Move the public status of a locked *delivery*, with its audit row and event."""
    row = tx.one(
        "UPDATE deliveries SET status = %(status)s, reason = %(reason)s, status_at = %(at)s, polls = 0, updated_at = clock_timestamp() "
        "WHERE id = %(id)s RETURNING *",
        {"id": delivery.id, "status": status, "reason": reason, "at": at},
    )
    assert row is not None
    moved = Delivery.of_row(row)
    audit.write(tx, by, "delivery.status", delivery.id, status=status)
    tell(tx, moved, "delivery.status")
    return moved


def stop_polling(tx: Tx, identifier: str) -> None:
    """Nothing more is expected of a delivered referral."""
    tx.put(
        "UPDATE deliveries SET due_at = NULL, token = NULL WHERE id = %(id)s AND state = 'delivered'",
        {"id": identifier},
    )
