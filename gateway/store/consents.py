"""Consent records, sealed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import ids
from gateway.errors import NotFound
from gateway.policy import consent
from gateway.vault import Vault

from . import audit
from .session import Tx


@dataclass(frozen=True)
class Record:
    """A stored consent: *document* follows the consent schema."""

    id: str
    hub: str
    document: Mapping[str, Any]
    created_at: datetime
    withdrawn_at: datetime | None
    read_at: datetime  # by the database's clock

    @property
    def consent(self) -> consent.Consent:
        return consent.parse(self.document, self.withdrawn_at)


def _where(identifier: str) -> str:
    return f"consents.document:{identifier}"


def save(tx: Tx, document: Mapping[str, Any], *, hub: str) -> str:
    """Returns the id of the new record."""
    identifier = ids.new("con")
    key, wrapped = tx.vault.new_key(identifier)
    tx.put(
        "INSERT INTO consents (id, hub, subject_index, data_key, document) "
        "VALUES (%(id)s, %(hub)s, %(subject)s, %(key)s, %(document)s)",
        {
            "id": identifier,
            "hub": hub,
            "subject": tx.vault.blind("subject", f"{hub}:{document['subject']}"),
            "key": wrapped,
            "document": key.seal(json.dumps(document).encode(), _where(identifier)),
        },
    )
    audit.write(tx, f"hub:{hub}", "consent.record", identifier)
    return identifier


def get(tx: Tx, identifier: str, *, hub: str) -> Record:
    """The record, if it is this hub's. Raises NotFound. Held against withdrawal until the transaction ends."""
    try:
        return get_all(tx, [(identifier, hub)])[identifier, hub]
    except KeyError:
        raise unknown(identifier) from None


def get_all(tx: Tx, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Record]:
    """Those of *wanted*, ``(id, hub)``, that there are. Held against withdrawal until the transaction ends."""
    pairs = set(wanted)
    rows = tx.all(
        "SELECT *, clock_timestamp() AS read_at FROM consents WHERE id = ANY(%(ids)s) ORDER BY id FOR SHARE",
        {"ids": [identifier for identifier, _ in pairs]},
    )
    return {(row["id"], row["hub"]): open_row(tx.vault, row) for row in rows if (row["id"], row["hub"]) in pairs}


def open_row(vault: Vault, row: Mapping[str, Any]) -> Record:
    """*row*: the columns of a Record, and ``data_key``. Raises Sealed."""
    document = json.loads(vault.key(row["data_key"], row["id"]).open(row["document"], _where(row["id"])))
    return Record(row["id"], row["hub"], document, row["created_at"], row["withdrawn_at"], row["read_at"])


def unknown(identifier: str) -> NotFound:
    return NotFound(
        f"there is no consent {identifier}" if ids.valid(identifier, "con") else "that is not a consent's id"
    )


def withdraw(tx: Tx, identifier: str, *, hub: str) -> bool:
    """Mark it withdrawn as of now. False if it was already. Raises NotFound."""
    changed = tx.run(
        "UPDATE consents SET withdrawn_at = clock_timestamp() "
        "WHERE id = %(id)s AND hub = %(hub)s AND withdrawn_at IS NULL",
        {"id": identifier, "hub": hub},
    )
    if changed:
        audit.write(tx, f"hub:{hub}", "consent.withdraw", identifier)
    else:
        get(tx, identifier, hub=hub)
    return bool(changed)
