"""Attempts: what one needs to see before the bytes leave, and what it notes afterwards, each in one round trip."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from . import consents, deliveries
from .deliveries import Delivery
from .referrals import SealedReferral
from .session import Tx


@dataclass(frozen=True)
class Look:
    """A held delivery, the referral it is about, and whether its agency is *paused*. Nothing is opened yet.

    The consent is held against withdrawal until the transaction ends.
    """

    delivery: Delivery
    referral: SealedReferral
    paused: bool
    _consent: Mapping[str, Any]

    def consent(self, tx: Tx) -> consents.Record:
        """The consent record as it is now. Raises Sealed."""
        return consents.open_row(tx, self._consent)


def look(tx: Tx, identifier: str, token: UUID) -> Look | None:
    """What there is to see for the holder of *token*, or None: another has the delivery, or had it.

    The delivery itself is not locked: each step that changes it presents the token again. Consent is locked
    before delivery, as a withdrawal does.
    """
    row = tx.one(
        "SELECT deliveries.*, referrals.consent, referrals.data_key, referrals.payload, "
        "  consents.hub AS c_hub, consents.data_key AS c_data_key, consents.document AS c_document, "
        "  consents.created_at AS c_created_at, consents.withdrawn_at AS c_withdrawn_at, clock_timestamp() AS c_read_at, "
        "  EXISTS (SELECT FROM agency_health WHERE agency = deliveries.agency AND paused_at IS NOT NULL) AS paused "
        "FROM deliveries JOIN referrals ON referrals.id = deliveries.referral JOIN consents ON consents.id = referrals.consent "
        "WHERE deliveries.id = %(id)s AND token = %(token)s FOR SHARE OF consents",
        {"id": identifier, "token": token},
    )
    if row is None:
        return None
    consent = {name[2:]: value for name, value in row.items() if name.startswith("c_")} | {"id": row["consent"]}
    referral = SealedReferral(row["referral"], row["consent"], row["data_key"], row["payload"])
    return Look(Delivery.of_row(row), referral, row["paused"], consent)


@dataclass(frozen=True)
class Settling:
    """A locked delivery whose attempt came to something. *down*: its agency's breaker is open.

    *held*: what waits until it is settled, locked as well. *now*: by the database's clock.
    """

    delivery: Delivery
    held: list[Delivery]
    down: bool
    now: datetime


def note(tx: Tx, sent: Delivery, *, kind: str, outcome: str, code: str | None, seconds: float) -> Settling:
    """Keep what one exchange with the agency came to, and lock the delivery. *kind*: ``send``, ``ask`` or ``poll``."""
    tx.put(
        "INSERT INTO attempts (delivery, agency, kind, outcome, code, seconds) "
        "VALUES (%(id)s, %(agency)s, %(kind)s, %(outcome)s, %(code)s, %(seconds)s)",
        {"id": sent.id, "agency": sent.agency, "kind": kind, "outcome": outcome, "code": code, "seconds": seconds},
    )
    locked = tx.put(
        "SELECT deliveries.*, clock_timestamp() AS now, "
        "  EXISTS (SELECT FROM agency_health WHERE agency = deliveries.agency AND opened_at IS NOT NULL) AS down "
        "FROM deliveries WHERE id = %(id)s FOR UPDATE",
        {"id": sent.id},
    )
    held = deliveries.waiting_for(tx, sent.id)  # after the lock: whoever makes one holds it meanwhile
    row = locked.fetchone()
    assert row is not None, "deliveries are not deleted while they are sent"
    return Settling(Delivery.of_row(row), held, row["down"], row["now"])
