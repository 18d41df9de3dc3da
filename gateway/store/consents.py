"""Consent records, sealed, in versions that are added and never edited.

``consents`` holds the present version, so that sending needs one look; ``consent_versions`` holds them all.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from gateway import ids
from gateway.errors import NotFound
from gateway.policy import consent
from gateway.policy.changes import Kind, next_end
from gateway.policy.consent import Basis
from gateway.vault import Vault

from . import audit, keys
from .session import Tx

PREFIXES = {Basis.CONSENT: "con", Basis.VITAL_INTERESTS: "bas", Basis.SAFEGUARDING: "bas"}


@dataclass(frozen=True)
class Record:
    """A stored consent: *document*, the present *version*, follows the consent schema.

    The same for another lawful *basis*, whose documents follow that schema. *recorded_with*: the id of the API key.
    """

    id: str
    hub: str
    document: Mapping[str, Any]
    version: int
    basis: Basis
    recorded_with: str
    created_at: datetime
    approved_at: datetime | None
    withdrawn_at: datetime | None
    read_at: datetime  # by the database's clock

    @property
    def consent(self) -> consent.Consent:
        return consent.parse(self.document, self.withdrawn_at, approved=self.approved_at is not None)


@dataclass(frozen=True)
class Version:
    """One version: *kind* says why it was recorded. What nobody said (it ended) has no ``given`` in its *document*."""

    version: int
    kind: Kind
    recorded_at: datetime
    document: Mapping[str, Any]


def _where(identifier: str, version: int) -> str:
    return f"consents.document:{identifier}" + (f":{version}" if version > 1 else "")


def save(tx: Tx, document: Mapping[str, Any], *, hub: str, key: str = "") -> str:
    """Returns the id of the new record. *key*: the id of the API key it was recorded with."""
    basis = Basis(document.get("basis", Basis.CONSENT))
    identifier = ids.new(PREFIXES[basis])
    data_key, wrapped = tx.vault.new_key(identifier)
    sealed = data_key.seal(json.dumps(document).encode(), _where(identifier, 1))
    tx.put(
        "WITH keyed AS (INSERT INTO data_keys (record, of_hub, wrapped) VALUES (%(id)s, %(hub)s, %(key)s)) "
        "INSERT INTO consents (id, hub, subject_index, document, basis, recorded_with, look_at) "
        "VALUES (%(id)s, %(hub)s, %(subject)s, %(document)s, %(basis)s, %(with)s, %(look_at)s)",
        {
            "id": identifier, "hub": hub, "subject": tx.vault.blind("subject", f"{hub}:{document['subject']}"),
            "key": wrapped, "document": sealed, "basis": basis, "with": key,
            "look_at": next_end(consent.parse(document), tx.now()),
        },
    )  # fmt: skip
    tx.put(  # a statement of its own: by the row above the database sees whose it is
        "INSERT INTO consent_versions (consent, version, kind, document) VALUES (%(id)s, 1, %(kind)s, %(document)s)",
        {"id": identifier, "kind": Kind.GRANTED, "document": sealed},
    )
    action = "consent.record" if basis is Basis.CONSENT else "lawful-basis.record"
    audit.write(tx, f"hub:{hub}", action, identifier, **({} if basis is Basis.CONSENT else {"basis": basis}))
    return identifier


SEALED: LiteralString = (
    "SELECT consents.*, wrapped AS data_key, clock_timestamp() AS read_at FROM consents JOIN data_keys ON record = id "
)


def get(tx: Tx, identifier: str, *, hub: str) -> Record:
    """The record, if it is this hub's. Raises NotFound. Held against change until the transaction ends."""
    try:
        return get_all(tx, [(identifier, hub)])[identifier, hub]
    except KeyError:
        raise unknown(identifier) from None


def get_all(tx: Tx, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Record]:
    """Those of *wanted*, ``(id, hub)``, that there are. Held against change until the transaction ends."""
    pairs = set(wanted)
    rows = tx.all(
        SEALED + "WHERE id = ANY(%(ids)s) ORDER BY id FOR SHARE OF consents",
        {"ids": [identifier for identifier, _ in pairs]},
    )
    return {(row["id"], row["hub"]): open_row(tx.vault, row) for row in rows if (row["id"], row["hub"]) in pairs}


def lock(tx: Tx, identifier: str, *, hub: str) -> Record:
    """The record, to change it. Raises NotFound."""
    row = tx.one(
        SEALED + "WHERE id = %(id)s AND hub = %(hub)s FOR UPDATE OF consents",
        {"id": identifier, "hub": hub},
    )
    if row is None:
        raise unknown(identifier)
    return open_row(tx.vault, row)


def due(tx: Tx, most: int = 100) -> list[Record]:
    """Those of which something ended since the clock looked last, locked."""
    rows = tx.all(
        SEALED
        + "WHERE look_at <= clock_timestamp() ORDER BY look_at LIMIT %(most)s FOR UPDATE OF consents SKIP LOCKED",
        {"most": most},
    )
    return [open_row(tx.vault, row) for row in rows]


def open_row(vault: Vault, row: Mapping[str, Any]) -> Record:
    """*row*: the columns of a Record, and ``data_key``. Raises Sealed."""
    document = json.loads(
        vault.key(row["data_key"], row["id"]).open(row["document"], _where(row["id"], row["version"]))
    )
    known = {name: row[name] for name in Record.__dataclass_fields__}
    return Record(**{**known, "document": document, "basis": Basis(row["basis"])})


def unknown(identifier: str) -> NotFound:
    known = any(ids.valid(identifier, prefix) for prefix in set(PREFIXES.values()))
    return NotFound(f"there is no consent {identifier}" if known else "that is not a consent's id")


def add_version(tx: Tx, record: Record, kind: Kind, document: Mapping[str, Any], *, by: str) -> Record:
    """A new version of a locked *record*. Returns the record as it stands now."""
    number = record.version + 1
    sealed = keys.of(tx, record.id).seal(json.dumps(document).encode(), _where(record.id, number))
    alive = kind not in (Kind.WITHDRAWN, Kind.EXPIRED)
    row = tx.one(
        "WITH added AS (INSERT INTO consent_versions (consent, version, kind, document) "
        "  VALUES (%(id)s, %(version)s, %(kind)s, %(document)s)) "
        "UPDATE consents SET version = %(version)s, document = %(document)s, look_at = %(look_at)s, "
        "  withdrawn_at = CASE WHEN %(kind)s = 'withdrawn' THEN clock_timestamp() ELSE withdrawn_at END, "
        "  approved_at = CASE WHEN %(kind)s = 'approved' THEN clock_timestamp() ELSE approved_at END "
        "FROM data_keys WHERE id = %(id)s AND record = id RETURNING consents.*, wrapped AS data_key, clock_timestamp() AS read_at",
        {
            "id": record.id, "version": number, "kind": kind, "document": sealed,
            "look_at": next_end(consent.parse(document), record.read_at) if alive else None,
        },
    )  # fmt: skip
    assert row is not None, "it is locked"
    basis = {} if record.basis is Basis.CONSENT else {"basis": record.basis}
    audit.write(tx, by, f"{'lawful-basis' if basis else 'consent'}.{kind}", record.id, version=number, **basis)
    return open_row(tx.vault, row)


def look_again(tx: Tx, record: Record) -> None:
    """A permit of a locked *record* ended: let the clock look when the next one does."""
    tx.put(
        "UPDATE consents SET look_at = %(at)s WHERE id = %(id)s",
        {"id": record.id, "at": next_end(record.consent, record.read_at)},
    )


def versions(tx: Tx, identifier: str) -> list[Version]:
    """Every version, oldest first."""
    key = keys.of(tx, identifier)
    rows = tx.all(
        "SELECT version, kind, recorded_at, document FROM consent_versions WHERE consent = %(id)s ORDER BY version",
        {"id": identifier},
    )
    return [
        Version(
            row["version"], Kind(row["kind"]), row["recorded_at"],
            json.loads(key.open(row["document"], _where(identifier, row["version"]))),
        )
        for row in rows
    ]  # fmt: skip
