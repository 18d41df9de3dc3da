"""What is held on one woman: found by her hub's reference for her, and by nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from gateway.vault import DataKey

from . import consents, contradictions, deliveries, events, keys, messages, referrals
from .deliveries import Delivery
from .messages import Message
from .session import Tx


def find(tx: Tx, hub: str, subject: str) -> tuple[list[str], list[str]]:
    """The ids of *hub*'s consents and referrals about its *subject*, oldest first, but for those that were erased."""
    values = {"hub": hub, "index": tx.vault.blind("subject", f"{hub}:{subject}")}
    found: list[list[str]] = []
    tables: tuple[LiteralString, ...] = ("consents", "referrals")
    for table in tables:
        sql: LiteralString = "SELECT id FROM " + table + " WHERE (hub, subject_index) = (%(hub)s, %(index)s)"  # noqa: S608
        found.append([row["id"] for row in tx.all(sql + " AND erased_at IS NULL ORDER BY created_at, id", values)])
    return found[0], found[1]


def consent(tx: Tx, identifier: str, *, hub: str) -> dict[str, Any]:
    """A consent, or another basis, with every version of it, in the clear."""
    record = consents.get(tx, identifier, hub=hub)
    return {
        "id": record.id, "basis": record.basis, "created_at": record.created_at, "approved_at": record.approved_at,
        "withdrawn_at": record.withdrawn_at, "recorded_with": record.recorded_with,
        "versions": [vars(one) for one in consents.versions(tx, identifier)],
    }  # fmt: skip


def referral(tx: Tx, identifier: str, *, hub: str) -> dict[str, Any]:
    """A referral in the clear, how she could be reached before, who was sent what of it and when, and what her hub was told."""
    record, sealed = referrals.get(tx, identifier, hub=hub), referrals.sealed(tx, identifier)
    rows = tx.all(
        "SELECT * FROM deliveries WHERE referral = %(id)s AND event IS NULL ORDER BY created_at, id", {"id": identifier}
    )
    return {
        **vars(record), "data": sealed.open(tx.vault), "former_contacts": referrals.former_contacts(tx, sealed),
        "messages": [_message(one, sealed.key(tx.vault)) for one in messages.of_referral(tx, identifier)],
        "deliveries": [_delivery(tx, Delivery.of_row(row)) for row in rows],
        "timeline": [events.told(row) for row in events.of_referral(tx, hub, identifier)],
    }  # fmt: skip


def _message(stored: Message, key: DataKey) -> dict[str, Any]:
    said = stored.open(key)
    return {"id": stored.id, "sender": stored.sender, "delivery": stored.delivery, "at": stored.at, "text": said.text}


def _delivery(tx: Tx, sent: Delivery) -> dict[str, Any]:
    shown = (
        "id",
        "agency",
        "purpose",
        "kind",
        "of",
        "state",
        "status",
        "status_at",
        "reason",
        "code",
        "created_at",
        "seen_at",
    )
    return {
        **{name: getattr(sent, name) for name in shown},
        "reference": deliveries.reference(tx, sent), "route": deliveries.route(tx, sent),
        "given": deliveries.given(tx, sent), "exchanges": _exchanges(tx, sent),
        "contradictions": contradictions.all_of(tx, sent),
    }  # fmt: skip


def _exchanges(tx: Tx, sent: Delivery) -> list[dict[str, Any]]:
    """Each with the places of the referral that it carried, where it carried any."""
    assert sent.referral is not None, "what is about no referral is about nobody"
    key = keys.of(tx, sent.referral)
    rows = tx.all(
        "SELECT kind, outcome, code, at, number, fields FROM attempts WHERE delivery = %(id)s ORDER BY id",
        {"id": sent.id},
    )
    return [
        {name: row[name] for name in ("kind", "outcome", "code", "at")}
        | ({"fields": deliveries.open_fields(key, sent.id, row["number"], row["fields"])} if row["fields"] else {})
        for row in rows
    ]


def accesses(tx: Tx, records: Sequence[str]) -> list[dict[str, Any]]:
    """Who did what with *records* (ids of consents, referrals, deliveries), and when: from the audit."""
    rows = tx.all(
        "SELECT at, actor, action, object, detail FROM audit WHERE object = ANY(%(records)s) ORDER BY id",
        {"records": list(records)},
    )
    return [_access(row) for row in rows]


def _access(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "detail": json.loads(row["detail"]) if row["detail"] else {}}
