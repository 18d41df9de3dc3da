"""Referrals, sealed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import ids
from gateway.errors import KeyReused, NotFound
from gateway.vault import DataKey

from . import audit, events
from .session import Tx


@dataclass(frozen=True)
class Record:
    """A stored referral, as far as it can be told without opening it."""

    id: str
    hub: str
    consent: str
    area: str
    urgency: str
    created_at: datetime


def _where(identifier: str) -> str:
    return f"referrals.payload:{identifier}"


def save(tx: Tx, identifier: str, referral: Mapping[str, Any], *, hub: str) -> None:
    """Seal and store *referral*, which follows the referral schema, under its new id."""
    key, wrapped = tx.vault.new_key(identifier)
    tx.put(
        "INSERT INTO referrals (id, hub, consent, subject_index, area, urgency, data_key, payload) VALUES "
        "(%(id)s, %(hub)s, %(consent)s, %(subject)s, %(area)s, %(urgency)s, %(key)s, %(payload)s)",
        {
            "id": identifier,
            "hub": hub,
            "consent": referral["consent"],
            "subject": tx.vault.blind("subject", f"{hub}:{referral['subject']}"),
            "area": referral["area"],
            "urgency": referral["urgency"],
            "key": wrapped,
            "payload": key.seal(json.dumps(referral).encode(), _where(identifier)),
        },
    )
    audit.write(tx, f"hub:{hub}", "referral.submit", identifier)
    events.write(tx, "referral.accepted", hub=hub, referral=identifier)


def get(tx: Tx, identifier: str, *, hub: str) -> Record:
    """Raises NotFound, also when it is another hub's."""
    row = tx.one(
        "SELECT id, hub, consent, area, urgency, created_at FROM referrals WHERE id = %(id)s AND hub = %(hub)s",
        {"id": identifier, "hub": hub},
    )
    if row is None:
        raise NotFound(
            f"there is no referral {identifier}" if ids.valid(identifier, "ref") else "that is not a referral's id"
        )
    return Record(**row)


@dataclass(frozen=True)
class SealedReferral:
    """A stored referral that was not opened yet. *consent*: the id of the record it rests on."""

    id: str
    consent: str
    data_key: bytes
    payload: bytes

    def open(self, tx: Tx, *, by: str, because: str) -> dict[str, Any]:
        """The whole referral, in the clear; the opening is audited with its reason."""
        whole: dict[str, Any] = json.loads(tx.vault.key(self.data_key, self.id).open(self.payload, _where(self.id)))
        audit.write(tx, by, "referral.open", self.id, because=because)
        return whole


def sealed(tx: Tx, identifier: str) -> SealedReferral:
    row = tx.one("SELECT id, consent, data_key, payload FROM referrals WHERE id = %(id)s", {"id": identifier})
    assert row is not None, "deliveries refer to stored referrals"
    return SealedReferral(**row)


def key(tx: Tx, identifier: str) -> DataKey:
    """The data key of a referral, for what is sealed beside it (an agency's reference)."""
    row = tx.one("SELECT data_key FROM referrals WHERE id = %(id)s", {"id": identifier})
    assert row is not None, "deliveries refer to stored referrals"
    return tx.vault.key(row["data_key"], identifier)


def first_answer(tx: Tx, referral: str, *, hub: str, key: str, body: bytes) -> str | None:
    """The referral this Idempotency-Key made before; None if it is new, and then it is *referral*'s from now on.

    A second request with the same key waits here until the first has committed.
    Raises KeyReused when the first came with another body.
    """
    index = tx.vault.blind("idempotency", body.hex())
    if tx.run(
        "INSERT INTO idempotency (hub, key, body_index, referral) VALUES (%(hub)s, %(key)s, %(body)s, %(referral)s) "
        "ON CONFLICT DO NOTHING",
        {"hub": hub, "key": key, "body": index, "referral": referral},
    ):
        return None
    row = tx.one(
        "SELECT body_index, referral FROM idempotency WHERE hub = %(hub)s AND key = %(key)s", {"hub": hub, "key": key}
    )
    assert row is not None, "the conflicting row is committed"
    if row["body_index"] != index:
        raise KeyReused("this Idempotency-Key came before with another body: use a new key for a new referral")
    first: str = row["referral"]
    return first


@dataclass(frozen=True)
class Receipt:
    """What a hub gets for a referral that was taken. *deliveries*: ``{agency: delivery id}``."""

    id: str
    accepted_at: datetime
    deliveries: Mapping[str, str]


def receipt(tx: Tx, identifier: str) -> Receipt:
    """The receipt of a stored referral; the same whenever it is asked for."""
    rows = tx.all(
        "SELECT referrals.created_at, deliveries.agency, deliveries.id FROM referrals "
        "JOIN deliveries ON deliveries.referral = referrals.id AND deliveries.kind = 'referral' "
        "WHERE referrals.id = %(id)s ORDER BY deliveries.agency",
        {"id": identifier},
    )
    return Receipt(identifier, rows[0]["created_at"], {row["agency"]: row["id"] for row in rows})
