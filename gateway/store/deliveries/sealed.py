"""What a delivery's row keeps sealed: the agency's own reference, how it was found, what was sent, to whom it was given by hand."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.store import referrals
from gateway.store.session import Tx
from gateway.vault import DataKey

from .rows import Delivery


def _reference_where(delivery: str) -> str:
    return f"deliveries.reference:{delivery}"


def reference_columns(tx: Tx, delivery: Delivery, reference: str | None, key: DataKey | None = None) -> dict[str, Any]:
    """The agency's own reference, sealed beside the referral, and the blind index by which it is found again."""
    if not reference or delivery.referral is None:
        return {"agency": delivery.agency, "sealed": None, "index": None}
    return {
        "agency": delivery.agency,
        "sealed": (key or referrals.key(tx, delivery.referral)).seal(reference.encode(), _reference_where(delivery.id)),
        "index": tx.vault.blind("reference", f"{delivery.agency}:{reference}"),
    }


def keep_reference(tx: Tx, delivery: Delivery, reference: str) -> None:
    """Keep the agency's own reference, unless another of its deliveries has the same."""
    tx.put(
        "UPDATE deliveries SET reference = %(sealed)s, reference_index = %(index)s WHERE id = %(id)s "
        "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE agency = %(agency)s AND reference_index = %(index)s)",
        {"id": delivery.id, **reference_columns(tx, delivery, reference)},
    )


def reference(tx: Tx, delivery: Delivery) -> str | None:
    """The agency's own reference, in the clear."""
    if delivery.reference is None or delivery.referral is None:
        return None
    return referrals.key(tx, delivery.referral).open(delivery.reference, _reference_where(delivery.id)).decode()


def route(tx: Tx, delivery: Delivery) -> dict[str, Any] | None:
    """How its agency was found, following the route schema; None where the hub named the agency."""
    if delivery.route is None or delivery.referral is None:
        return None
    return referrals.open_route(referrals.key(tx, delivery.referral), delivery.id, delivery.route)


def _fields_where(delivery: str, number: int) -> str:
    return f"attempts.fields:{delivery}:{number}"


def seal_fields(key: DataKey, sent: Delivery, places: Sequence[str]) -> bytes:
    """The *places* of the referral that a sending carried, under its *key*: what was given, without the values."""
    return key.seal(json.dumps(places).encode(), _fields_where(sent.id, sent.attempts))


def open_fields(key: DataKey, delivery: str, number: int, sealed: bytes) -> list[str]:
    """What seal_fields() sealed, of the sending of this *number*. Raises Sealed."""
    found: list[str] = json.loads(key.open(sealed, _fields_where(delivery, number)))
    return found


def _given_where(delivery: str) -> str:
    return f"deliveries.given:{delivery}"


def keep_given(tx: Tx, delivery: Delivery, at: datetime, to: str, places: Sequence[str] = ()) -> None:
    """Keep when a person gave it to the agency, to whom, and which *places* of the referral."""
    assert delivery.referral is not None, "events are not given by hand"
    sealed = referrals.key(tx, delivery.referral).seal(
        json.dumps({"at": at.isoformat(), "to": to, "fields": [*places]}).encode(), _given_where(delivery.id)
    )
    tx.put("UPDATE deliveries SET given = %(given)s WHERE id = %(id)s", {"id": delivery.id, "given": sealed})


def given(tx: Tx, delivery: Delivery) -> dict[str, Any] | None:
    """``{at, to, fields}``: when a person gave it to the agency, to whom, and what of it; None if nobody did."""
    if delivery.given is None or delivery.referral is None:
        return None
    found: dict[str, Any] = json.loads(
        referrals.key(tx, delivery.referral).open(delivery.given, _given_where(delivery.id))
    )
    return found
