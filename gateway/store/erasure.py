"""Erasing: data keys are destroyed, and with them what they sealed; so is what could lead to her. Ids and counts stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from gateway import ids
from gateway.errors import Conflict

from . import audit, consents, keys, referrals
from .session import Tx


@dataclass(frozen=True)
class Scope:
    """What is to be erased, by id, locked."""

    referrals: tuple[str, ...]
    consents: tuple[str, ...]

    @property
    def records(self) -> tuple[str, ...]:
        return self.referrals + self.consents


# NO KEY: who holds a delivery may be about to queue what follows it, which asks that its referral stays.
HERS: LiteralString = (
    "SELECT id FROM {} WHERE (hub, subject_index) = "
    "  (SELECT hub, subject_index FROM consents WHERE id = %(id)s UNION ALL "
    "   SELECT hub, subject_index FROM referrals WHERE id = %(id)s) ORDER BY id FOR NO KEY UPDATE"
)


def scope(tx: Tx, identifier: str, *, everything: bool) -> Scope:
    """What goes with *identifier*, a referral or a consent, locked in the order of everybody.

    With the last of her referrals her consents go too; *everything*: all that its hub has of the same woman. Raises
    NotFound, and Conflict: it was erased before, or referrals still rest on it.
    """
    _require_kept(tx, identifier)
    agreed, made = (
        [row["id"] for row in tx.all(HERS.format(table), {"id": identifier})] for table in ("consents", "referrals")
    )
    if everything:
        return Scope(tuple(made), tuple(agreed))
    if identifier in made:
        return Scope((identifier,), tuple(agreed) if made == [identifier] else ())
    if identifier not in agreed:
        raise Conflict(f"{identifier} was erased just now")
    row = tx.one("SELECT count(*) AS n FROM referrals WHERE consent = %(id)s AND erased_at IS NULL", {"id": identifier})
    if row and row["n"]:
        raise Conflict(f"{row['n']} referrals rest on {identifier}: erase them first, or everything")
    return Scope((), (identifier,))


def _require_kept(tx: Tx, identifier: str) -> None:
    found = tx.one(
        "SELECT erased_at FROM referrals WHERE id = %(id)s UNION ALL SELECT erased_at FROM consents WHERE id = %(id)s",
        {"id": identifier},
    )
    if found is None:
        raise consents.unknown(identifier) if not ids.valid(identifier, "ref") else referrals.unknown(identifier)
    if found["erased_at"]:
        raise Conflict(f"{identifier} was erased on {found['erased_at']:%-d %B %Y}")


WIPE = """
WITH contacts AS (DELETE FROM former_contacts WHERE referral = ANY(%(referrals)s)),
contradicted AS (DELETE FROM contradictions USING deliveries WHERE deliveries.id = delivery AND referral = ANY(%(referrals)s)),
words AS (DELETE FROM messages WHERE referral = ANY(%(referrals)s)),
said AS (DELETE FROM consent_versions WHERE consent = ANY(%(consents)s)),
used AS (DELETE FROM idempotency WHERE referral = ANY(%(referrals)s)),
sent AS (
    UPDATE deliveries SET reference = NULL, reference_index = NULL, route = NULL, given = NULL, traceparent = NULL,
        due_at = NULL, token = NULL
    WHERE referral = ANY(%(referrals)s) AND event IS NULL RETURNING id
), carried AS (
    UPDATE attempts SET fields = NULL FROM sent WHERE delivery = sent.id AND fields IS NOT NULL
), agreed AS (
    UPDATE consents SET subject_index = NULL, document = '', look_at = NULL, erased_at = clock_timestamp()
    WHERE id = ANY(%(consents)s)
), told AS (
    INSERT INTO events (hub, type, referral) SELECT hub, 'referral.erased', id FROM referrals WHERE id = ANY(%(referrals)s)
)
UPDATE referrals SET subject_index = NULL, payload = '', erased_at = clock_timestamp() WHERE id = ANY(%(referrals)s)
"""


def wipe(tx: Tx, chosen: Scope, *, by: str, reason: str) -> None:
    """Erase it, with one row of the audit for each record, and an event for the hub for each referral."""
    keys.destroy(tx, chosen.records)
    tx.put(WIPE, {"referrals": list(chosen.referrals), "consents": list(chosen.consents)})
    _note(tx, by, "referral.erase", chosen.referrals, reason)
    _note(tx, by, "consent.erase", chosen.consents, reason)


def _note(tx: Tx, by: str, action: str, records: Sequence[str], reason: str) -> None:
    if records:
        audit.write(tx, by, action, *records, reason=reason)
