"""Referrals, sealed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from gateway_sdk import Status

from gateway import ids
from gateway.errors import KeyReused, NotFound
from gateway.policy.lifecycle import State
from gateway.vault import DataKey, Vault

from . import audit, keys
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


@dataclass(frozen=True)
class New:
    """A referral to be stored. *document* follows the referral schema; *deliveries*: ``{agency: (id, purpose)}``.

    *key* and *body*: the hub's Idempotency-Key, and the bytes it came with. *traceparent*: the trace it belongs to.
    *routes*: how the agencies were found for which it names a need only, ``{agency: route}``.
    """

    id: str
    hub: str
    document: Mapping[str, Any]
    deliveries: Mapping[str, tuple[str, str]]
    key: str
    body: bytes
    traceparent: str | None = None
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """What a hub gets for a referral that was taken. *deliveries*: ``{agency: delivery id}``; *routes* as in New."""

    id: str
    accepted_at: datetime
    deliveries: Mapping[str, str]
    routes: Mapping[str, Mapping[str, Any]]


# One statement for referrals, deliveries, audit and events: a round trip and a plan for each would cost more than they do.
SAVE = """
WITH new AS (
    SELECT * FROM unnest(%(ids)s::text[], %(hubs)s::text[], %(consents)s::text[], %(subjects)b::bytea[], %(areas)s::text[],
        %(urgencies)s::text[], %(data_keys)b::bytea[], %(payloads)b::bytea[], %(keys)s::text[], %(bodies)b::bytea[])
    AS new(id, hub, consent, subject, area, urgency, data_key, payload, key, body)
), first AS (
    INSERT INTO idempotency (hub, key, body_index, referral) SELECT hub, key, body, id FROM new ORDER BY hub, key
    ON CONFLICT DO NOTHING RETURNING referral
), taken AS (
    INSERT INTO referrals (id, hub, consent, subject_index, area, urgency, payload)
    SELECT id, hub, consent, subject, area, urgency, payload FROM new JOIN first ON first.referral = new.id
    RETURNING id, hub, created_at
), keyed AS (
    INSERT INTO data_keys (record, of_hub, wrapped) SELECT id, hub, data_key FROM new JOIN first ON first.referral = new.id
), queued AS (
    INSERT INTO deliveries (id, referral, hub, agency, purpose, route, traceparent, kind, state, status, due_at)
    SELECT asked.id, taken.id, hub, agency, purpose, route, traceparent, 'referral', %(waiting)s, %(received)s, now()
    FROM unnest(%(delivery_ids)s::text[], %(referrals)s::text[], %(agencies)s::text[], %(purposes)s::text[], %(routes)b::bytea[],
        %(traces)s::text[]) AS asked(id, referral, agency, purpose, route, traceparent) JOIN taken ON taken.id = asked.referral
    RETURNING id, hub
), told AS (
    INSERT INTO events (hub, type, referral) SELECT hub, 'referral.accepted', id FROM taken
), audited AS (
    INSERT INTO audit (actor, action, object)
    SELECT 'hub:' || hub, 'referral.submit', id FROM taken UNION ALL SELECT 'hub:' || hub, 'delivery.queue', id FROM queued
)
SELECT id, created_at FROM taken
"""


def save(tx: Tx, referrals: Sequence[New]) -> dict[str, Receipt]:
    """Seal and store *referrals*, each with its deliveries, due at once. Returns ``{id: receipt}``.

    One whose Idempotency-Key was used before is left out: see first_answer(). If another transaction
    is just using the key, this waits for it.
    """
    sealed = [tx.vault.new_key(new.id) for new in referrals]
    asked = [
        (identifier, purpose, new.id, agency, _sealed_route(key, identifier, new.routes.get(agency)), new.traceparent)
        for new, (key, _) in zip(referrals, sealed, strict=True)
        for agency, (identifier, purpose) in new.deliveries.items()
    ]
    rows = tx.all(
        SAVE,
        {
            "ids": [new.id for new in referrals],
            "hubs": [new.hub for new in referrals],
            "consents": [new.document["consent"] for new in referrals],
            "subjects": [tx.vault.blind("subject", f"{new.hub}:{new.document['subject']}") for new in referrals],
            "areas": [new.document["area"] for new in referrals],
            "urgencies": [new.document["urgency"] for new in referrals],
            "data_keys": [wrapped for _, wrapped in sealed],
            "payloads": [
                key.seal(json.dumps(new.document).encode(), _where(new.id))
                for new, (key, _) in zip(referrals, sealed, strict=True)
            ],
            "keys": [new.key for new in referrals],
            "bodies": [_body_index(tx, new.body) for new in referrals],
            "delivery_ids": [identifier for identifier, *_ in asked],
            "purposes": [purpose for _, purpose, *_ in asked],
            "referrals": [referral for _, _, referral, *_ in asked],
            "agencies": [agency for *_, agency, _, _ in asked],
            "routes": [route for *_, route, _ in asked],
            "traces": [traceparent for *_, traceparent in asked],
            "waiting": State.WAITING,
            "received": Status.RECEIVED,
        },
    )
    taken = {row["id"]: row["created_at"] for row in rows}
    return {
        new.id: Receipt(
            new.id,
            taken[new.id],
            {agency: identifier for agency, (identifier, _) in new.deliveries.items()},
            new.routes,
        )
        for new in referrals
        if new.id in taken
    }


def _route_where(delivery: str) -> str:
    return f"deliveries.route:{delivery}"


def _sealed_route(key: DataKey, delivery: str, route: Mapping[str, Any] | None) -> bytes | None:
    """It tells something of her: which services she was too young for, for example."""
    return key.seal(json.dumps(route).encode(), _route_where(delivery)) if route else None


def open_route(key: DataKey, delivery: str, sealed: bytes) -> dict[str, Any]:
    """How the agency of *delivery* was found. *key*: the referral's. Raises Sealed."""
    route: dict[str, Any] = json.loads(key.open(sealed, _route_where(delivery)))
    return route


def _body_index(tx: Tx, body: bytes) -> bytes:
    return tx.vault.blind("idempotency", body.hex())


def get(tx: Tx, identifier: str, *, hub: str) -> Record:
    """Raises NotFound, also when it is another hub's."""
    row = tx.one(
        "SELECT id, hub, consent, area, urgency, created_at, erased_at FROM referrals WHERE id = %(id)s AND hub = %(hub)s",
        {"id": identifier, "hub": hub},
    )
    if row is None:
        raise unknown(identifier)
    if erased_at := row.pop("erased_at"):
        raise NotFound(f"{identifier} was erased on {erased_at:%-d %B %Y}")
    return Record(**row)


def unknown(identifier: str) -> NotFound:
    return NotFound(
        f"there is no referral {identifier}" if ids.valid(identifier, "ref") else "that is not a referral's id"
    )


def urgencies(tx: Tx, identifiers: Iterable[str]) -> dict[str, str]:
    """``{id: urgency}``."""
    wanted = sorted(identifiers)
    rows = tx.all("SELECT id, urgency FROM referrals WHERE id = ANY(%(ids)s)", {"ids": wanted}) if wanted else []
    return {row["id"]: row["urgency"] for row in rows}


@dataclass(frozen=True)
class SealedReferral:
    """A stored referral that was not opened yet. *consent*: the id of the record it rests on."""

    id: str
    consent: str
    data_key: bytes | None  # wrapped
    payload: bytes

    def key(self, vault: Vault) -> DataKey:
        """The data key, for what is sealed beside the referral. Raises Sealed."""
        return vault.key(self.data_key, self.id)

    def open(self, vault: Vault) -> dict[str, Any]:
        """The whole referral, in the clear. Whoever opens it writes so in the audit. Raises Sealed."""
        whole: dict[str, Any] = json.loads(self.key(vault).open(self.payload, _where(self.id)))
        return whole


SEALED: LiteralString = (
    "SELECT id, consent, wrapped AS data_key, payload FROM referrals LEFT JOIN data_keys ON record = id "
)


def sealed(tx: Tx, identifier: str) -> SealedReferral:
    """The referral that a delivery belongs to."""
    row = tx.one(SEALED + "WHERE id = %(id)s", {"id": identifier})
    assert row is not None, "deliveries refer to stored referrals"
    return SealedReferral(**row)


def key(tx: Tx, identifier: str) -> DataKey:
    """The data key of a referral, for what is sealed beside it (an agency's reference)."""
    return keys.of(tx, identifier)


def first_answer(tx: Tx, hub: str, key: str, body: bytes) -> Receipt | None:
    """The receipt that *hub*'s Idempotency-Key brought the first time, or None: it is new.

    Raises KeyReused when the first came with another body.
    """
    rows = tx.all(
        "SELECT body_index, referrals.id AS referral, referrals.created_at, agency, deliveries.id, route, wrapped AS data_key "
        "FROM idempotency "
        "JOIN referrals ON referrals.id = idempotency.referral LEFT JOIN data_keys ON record = referrals.id "
        "JOIN deliveries ON deliveries.referral = referrals.id AND deliveries.kind = 'referral' "
        "WHERE idempotency.hub = %(hub)s AND key = %(key)s ORDER BY agency",
        {"hub": hub, "key": key},
    )
    if not rows:
        return None
    if rows[0]["body_index"] != _body_index(tx, body):
        raise KeyReused("this Idempotency-Key came before with another body: use a new key for a new referral")
    first = rows[0]
    key_of = tx.vault.key(first["data_key"], first["referral"])
    routes = {row["agency"]: open_route(key_of, row["id"], row["route"]) for row in rows if row["route"]}
    return Receipt(first["referral"], first["created_at"], {row["agency"]: row["id"] for row in rows}, routes)


def open_all(tx: Tx, identifiers: Iterable[str], *, because: str) -> dict[str, dict[str, Any]]:
    """``{id: the whole referral}``, in the clear; written in the audit. Raises Sealed."""
    wanted = sorted(set(identifiers))
    if wanted:
        audit.write(tx, "gateway", "referral.open", *wanted, because=because)
    rows = tx.all(SEALED + "WHERE id = ANY(%(ids)s)", {"ids": wanted})
    return {row["id"]: SealedReferral(**row).open(tx.vault) for row in rows}


def lock_hers(tx: Tx, identifier: str, *, hub: str) -> list[SealedReferral]:
    """This hub's referrals about the same woman as *identifier*, and itself, locked. Raises NotFound."""
    rows = tx.all(
        SEALED + "WHERE wrapped IS NOT NULL AND (hub, subject_index) = "  # noqa: S608  # of the constant above
        "  (SELECT hub, subject_index FROM referrals WHERE id = %(id)s AND hub = %(hub)s) ORDER BY id FOR NO KEY UPDATE OF referrals",
        {"id": identifier, "hub": hub},
    )
    if not rows:
        raise unknown(identifier)
    return [SealedReferral(**row) for row in rows]


def _former_where(identifier: str, until: datetime) -> str:
    return f"former_contacts.contact:{identifier}:{until.timestamp()}"


def former_contacts(tx: Tx, stored: SealedReferral) -> list[dict[str, Any]]:
    """``{until, contact}``: how she could be reached before, oldest first, in the clear. Raises Sealed."""
    key = stored.key(tx.vault)
    rows = tx.all(
        "SELECT until, contact FROM former_contacts WHERE referral = %(id)s ORDER BY until", {"id": stored.id}
    )
    return [
        {"until": row["until"], "contact": json.loads(key.open(row["contact"], _former_where(stored.id, row["until"])))}
        for row in rows
    ]


def change_contact(
    tx: Tx, stored: SealedReferral, whole: dict[str, Any], contact: Mapping[str, Any], *, by: str
) -> None:
    """Put *contact* in the place of what *whole*, the opened *stored*, says. What stood there is kept, sealed."""
    key, until = stored.key(tx.vault), tx.now()
    tx.put(
        "WITH kept AS (INSERT INTO former_contacts (referral, until, contact) VALUES (%(id)s, %(until)s, %(former)s)) "
        "UPDATE referrals SET payload = %(payload)s WHERE id = %(id)s",
        {
            "id": stored.id, "until": until,
            "former": key.seal(json.dumps(whole.get("contact")).encode(), _former_where(stored.id, until)),
            "payload": key.seal(json.dumps({**whole, "contact": contact}).encode(), _where(stored.id)),
        },
    )  # fmt: skip
    audit.write(tx, by, "referral.contact", stored.id)


def first_use(tx: Tx, hub: str, key: str, body: bytes, referral: str) -> bool:
    """Whether *hub*'s Idempotency-Key comes for the first time; remembers it. Raises KeyReused for another body."""
    values = {"hub": hub, "key": key, "body": _body_index(tx, body), "referral": referral}
    if tx.run(
        "INSERT INTO idempotency (hub, key, body_index, referral) VALUES (%(hub)s, %(key)s, %(body)s, %(referral)s) "
        "ON CONFLICT DO NOTHING",
        values,
    ):
        return True
    row = tx.one("SELECT body_index, referral FROM idempotency WHERE hub = %(hub)s AND key = %(key)s", values)
    if row is None or (row["body_index"], row["referral"]) != (values["body"], referral):
        raise KeyReused("this Idempotency-Key came before with another body: use a new key for a new change")
    return False
