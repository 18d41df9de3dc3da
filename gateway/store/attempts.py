"""Attempts: what one needs to see before the bytes leave, and what it notes afterwards, each in one round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.vault import Vault

from . import consents, deliveries, health
from .deliveries import Attempt, Delivery
from .health import Health
from .referrals import SealedReferral
from .session import Store, Tx


@dataclass(frozen=True)
class Look:
    """A held delivery, the referral it is about (if any) and which *woman*, by her blind index; whether its area is *off*,
    and how its agency does, *at* the database's time.

    Nothing is opened yet, and nothing is locked: each step that changes the delivery presents its token again,
    and the one that begins the sending makes sure that her consent was not changed meanwhile.
    """

    delivery: Delivery
    referral: SealedReferral
    woman: bytes | None
    urgency: str
    health: Health
    area_off: bool
    at: datetime
    _consent: Mapping[str, Any]

    @property
    def agreed(self) -> tuple[str, int]:
        """The id of the consent record, and the version that was looked at."""
        return self._consent["id"], self._consent["version"]

    def consent(self, vault: Vault) -> consents.Record:
        """The consent record. Raises Sealed."""
        return consents.open_row(vault, self._consent)


LOOK = """
SELECT deliveries.*, referrals.consent, referral_key.wrapped AS data_key, referrals.payload,
    consents.hub AS c_hub, consent_key.wrapped AS c_data_key, consents.document AS c_document,
    consents.version AS c_version, consents.basis AS c_basis, consents.recorded_with AS c_recorded_with,
    consents.created_at AS c_created_at, consents.approved_at AS c_approved_at, consents.withdrawn_at AS c_withdrawn_at,
    clock_timestamp() AS c_read_at,
    referrals.subject_index, referrals.urgency, opened_at, probe_at, closed_at, paused_at,
    EXISTS (SELECT FROM areas WHERE name = referrals.area AND phase = 'planned') AS area_off
FROM deliveries
    LEFT JOIN referrals ON referrals.id = deliveries.referral LEFT JOIN consents ON consents.id = referrals.consent
    LEFT JOIN data_keys AS referral_key ON referral_key.record = referrals.id
    LEFT JOIN data_keys AS consent_key ON consent_key.record = consents.id
    LEFT JOIN agency_health ON agency_health.agency = deliveries.agency
WHERE deliveries.id = %(id)s AND token = %(token)s
"""


def look(store: Store, bells: Sequence[tuple[str, UUID]]) -> list[Look | None]:
    """What there is to see for the holder of each ``(id, token)``, or None: another has the delivery, or had it."""
    with store.single() as tx:
        found = [tx.put(LOOK, {"id": identifier, "token": token}) for identifier, token in bells]
    # the rows came with the end of the transaction; asked for before, they would cost a round trip more
    return [_look(row) if row else None for row in (cursor.fetchone() for cursor in found)]


def _look(row: Mapping[str, Any]) -> Look:
    consent = {name[2:]: value for name, value in row.items() if name.startswith("c_")} | {"id": row["consent"]}
    referral = SealedReferral(row["referral"], row["consent"], row["data_key"], row["payload"])
    doing = health.of_row(row)
    woman, urgency = row["subject_index"], row["urgency"]
    return Look(Delivery.of_row(row), referral, woman, urgency, doing, row["area_off"], row["c_read_at"], consent)


@dataclass(frozen=True)
class Settling:
    """A locked delivery whose attempt came to something. *down*: its agency's breaker is open.

    *held*: what waits until it is settled, locked as well. *now*: by the database's clock.
    """

    delivery: Delivery
    held: list[Delivery]
    down: bool
    now: datetime


def note(tx: Tx, sent: Delivery, attempt: Attempt) -> Settling:
    """Keep what an attempt came to, and lock the delivery, after the referral that it follows."""
    tx.put(
        "INSERT INTO attempts (delivery, agency, kind, outcome, code, seconds, waited, number, fields) "
        "VALUES (%(id)s, %(agency)s, %(kind)s, %(outcome)s, %(code)s, %(seconds)s, %(waited)s, %(number)s, %(fields)s)",
        {"id": sent.id, "agency": sent.agency, "waited": sent.waited, **vars(attempt)},
    )
    if sent.of:
        tx.put("SELECT id FROM deliveries WHERE id = %(of)s FOR UPDATE", {"of": sent.of})
    locked = tx.put(
        "SELECT deliveries.*, clock_timestamp() AS now, "
        "  EXISTS (SELECT FROM agency_health WHERE agency = deliveries.agency AND opened_at IS NOT NULL) AS down "
        "FROM deliveries WHERE id = %(id)s FOR UPDATE",
        {"id": sent.id},
    )
    held = deliveries.waiting_for(tx, sent.of or sent.id)  # after the lock: whoever makes one holds it meanwhile
    row = locked.fetchone()
    assert row is not None, "deliveries are not deleted while they are sent"
    return Settling(Delivery.of_row(row), held, row["down"], row["now"])
