"""OAuth clients: a hub's machines that prove who they are with a key or secret, and are given short-lived tokens.

Of a secret only its fingerprint is kept. A client goes on under its id while its credentials are renewed.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from gateway import ids
from gateway.errors import NotFound
from gateway.vault import fingerprint

from . import audit, callers
from .session import Tx


@dataclass(frozen=True)
class Client:
    """*bound*: its tokens hold only with the certificate (mutual TLS) that it had when it got them.

    *fingerprints*, *keys*: of its secrets, and its public keys (JWK), that hold now.
    """

    id: str
    hub: str
    scopes: frozenset[str]
    bound: bool
    fingerprints: Sequence[bytes]
    keys: Sequence[Mapping[str, Any]]


def add(
    tx: Tx, hub: str, scopes: Collection[str], public_key: Mapping[str, Any] | None, *, bound: bool, by: str
) -> tuple[str, str | None]:
    """A client of *hub*, and the hub if it is new. Returns its id and, without a *public_key*, its secret, this once."""
    callers.ensure_hub(tx, hub)
    identifier = ids.new("cli")
    tx.run(
        "INSERT INTO clients (id, hub, scopes, bound) VALUES (%(id)s, %(hub)s, %(scopes)s, %(bound)s)",
        {"id": identifier, "hub": hub, "scopes": sorted(scopes), "bound": bound},
    )
    secret = _credential(tx, identifier, public_key)
    audit.write(tx, by, "client.add", identifier, hub=hub, scopes=sorted(scopes))
    return identifier, secret


def rotate(tx: Tx, identifier: str, public_key: Mapping[str, Any] | None, overlap: timedelta, *, by: str) -> str | None:
    """A new key or secret; those before it hold for *overlap*. Returns the new secret, if it is one. Raises NotFound."""
    if not tx.one("SELECT 1 FROM clients WHERE id = %(id)s AND revoked_at IS NULL FOR UPDATE", {"id": identifier}):
        raise unknown(identifier)
    tx.run(
        "UPDATE client_credentials SET expires_at = least(expires_at, now() + %(overlap)s) WHERE client = %(id)s",
        {"id": identifier, "overlap": overlap},
    )
    secret = _credential(tx, identifier, public_key)
    audit.write(tx, by, "client.rotate", identifier)
    return secret


def _credential(tx: Tx, client: str, public_key: Mapping[str, Any] | None) -> str | None:
    secret = None if public_key else f"gws_{secrets.token_urlsafe(32)}"
    tx.run(
        "INSERT INTO client_credentials (id, client, fingerprint, public_key) "
        "VALUES (%(id)s, %(client)s, %(fingerprint)s, %(public_key)s)",
        {
            "id": ids.new("cre"), "client": client, "fingerprint": fingerprint(secret) if secret else None,
            "public_key": Jsonb(public_key) if public_key else None,
        },
    )  # fmt: skip
    return secret


def revoke(tx: Tx, identifier: str, *, by: str) -> None:
    """It gets no more tokens, and those it has stop within a second. Raises NotFound."""
    if not tx.run("UPDATE clients SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": identifier}):
        raise unknown(identifier)
    audit.write(tx, by, "client.revoke", identifier)


def unknown(identifier: str) -> NotFound:
    return NotFound(f"there is no client {identifier} in use; see gateway clients list")


def everyone(tx: Tx) -> list[dict[str, object]]:
    return tx.all(
        "SELECT hub, clients.id AS client, scopes, bound, clients.created_at, last_used_at, revoked_at, "
        "CASE WHEN revoked_at IS NULL THEN 'in use' ELSE 'revoked' END AS state, string_agg("
        "coalesce(public_key ->> 'crv', 'secret') || coalesce(' until ' || to_char(expires_at, 'YYYY-MM-DD HH24:MI'), ''), ', ' "
        "ORDER BY client_credentials.created_at) FILTER (WHERE coalesce(expires_at > now(), true)) AS credentials "
        "FROM clients JOIN client_credentials ON client = clients.id "
        "GROUP BY clients.id ORDER BY hub, clients.created_at"
    )


def find(tx: Tx, identifier: str, *, note: bool) -> tuple[datetime, Client | None]:
    """The database's time, and the client, if it may call. *note* that it did, once a minute. One statement."""
    row = tx.one(
        """
        WITH found AS (SELECT * FROM clients WHERE id = %(id)s AND revoked_at IS NULL),
        used AS (
            UPDATE clients SET last_used_at = now() FROM found
            WHERE %(note)s AND clients.id = found.id AND coalesce(found.last_used_at < now() - interval '1 minute', true)
        ),
        credentials AS (
            SELECT array_agg(fingerprint) FILTER (WHERE fingerprint IS NOT NULL) AS fingerprints,
                array_agg(public_key) FILTER (WHERE public_key IS NOT NULL) AS keys
            FROM client_credentials WHERE client = %(id)s AND coalesce(expires_at > now(), true)
        )
        SELECT clock_timestamp() AS now, found.*, credentials.* FROM credentials LEFT JOIN found ON true
        """,
        {"id": identifier, "note": note},
    )
    assert row is not None
    if row["id"] is None:
        return row["now"], None
    return row["now"], Client(
        row["id"], row["hub"], frozenset(row["scopes"]), row["bound"], row["fingerprints"] or [], row["keys"] or []
    )


def spend(tx: Tx, client: str, jti: bytes, until: float) -> bool:
    """Whether the assertion called *jti* is new; from now on it is not. *until*: seconds since 1970, when it has ended."""
    tx.put("DELETE FROM client_assertions WHERE expires_at < now()")
    return bool(
        tx.run(
            "INSERT INTO client_assertions VALUES (%(client)s, %(jti)s, to_timestamp(%(until)s)) ON CONFLICT DO NOTHING",
            {"client": client, "jti": jti, "until": until},
        )
    )
