"""Which hubs may call, by API key. Only fingerprints are kept."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from gateway import ids
from gateway.errors import NotFound
from gateway.policy.scopes import Scope
from gateway.vault import fingerprint

from . import audit
from .session import Tx


@dataclass(frozen=True)
class Caller:
    """A hub that proved who it is.

    *key*: the id of the API key or client it used; each worker who approves has her own, and a key that replaced
    another counts as that one. *certificate*: the thumbprint without which its token does not hold. *person*: which of
    its people it is, as the audit names her, where she works at the console.
    """

    hub: str
    key: str = ""
    scopes: frozenset[str] = frozenset()
    certificate: str = ""
    person: str = ""

    @property
    def actor(self) -> str:
        return self.person or f"hub:{self.hub}"


def add_hub(
    tx: Tx, name: str, *, by: str, scopes: Collection[str] = tuple(Scope), lasting: timedelta | None = None
) -> str:
    """A hub, if it is new, and an API key for it. The key is returned once and kept as a fingerprint only."""
    ensure_hub(tx, name)
    identifier = ids.new("key")
    secret = _insert_key(tx, identifier, identifier, name, scopes, lasting)
    audit.write(tx, by, "key.add", identifier, hub=name, scopes=sorted(scopes))
    return secret


def ensure_hub(tx: Tx, name: str) -> None:
    tx.run("INSERT INTO hubs (name) VALUES (%(name)s) ON CONFLICT DO NOTHING", {"name": name})


def _insert_key(
    tx: Tx, identifier: str, line: str, hub: str, scopes: Collection[str], lasting: timedelta | None
) -> str:
    secret = f"gw_{secrets.token_urlsafe(32)}"
    tx.run(
        "INSERT INTO api_keys (id, line, hub, fingerprint, scopes, lasting, expires_at) "
        "VALUES (%(id)s, %(line)s, %(hub)s, %(fingerprint)s, %(scopes)s, %(lasting)s, now() + %(lasting)s)",
        {
            "id": identifier, "line": line, "hub": hub, "fingerprint": fingerprint(secret), "scopes": sorted(scopes),
            "lasting": lasting,
        },
    )  # fmt: skip
    return secret


def rotate_key(tx: Tx, identifier: str, overlap: timedelta, *, by: str) -> str:
    """A key in place of another, for the same scopes and as long a time; the other one holds for *overlap* yet.

    It is of the same line: whoever recorded something with the old key cannot approve it with the new one.
    Raises NotFound.
    """
    old = tx.one(
        "SELECT * FROM api_keys WHERE id = %(id)s AND revoked_at IS NULL AND coalesce(expires_at > now(), true) FOR UPDATE",
        {"id": identifier},
    )
    if old is None:
        raise _unknown(identifier)
    tx.run(
        "UPDATE api_keys SET expires_at = least(expires_at, now() + %(overlap)s) WHERE id = %(id)s",
        {"id": identifier, "overlap": overlap},
    )
    new = ids.new("key")
    secret = _insert_key(tx, new, old["line"], old["hub"], old["scopes"], old["lasting"])
    audit.write(tx, by, "key.rotate", identifier, new=new)
    return secret


def revoke_key(tx: Tx, identifier: str, *, by: str) -> None:
    """Raises NotFound."""
    if not tx.run(
        "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": identifier}
    ):
        raise _unknown(identifier)
    audit.write(tx, by, "key.revoke", identifier)


def _unknown(identifier: str) -> NotFound:
    return NotFound(f"there is no key {identifier} in use; see gateway hubs list")


def list_hubs(tx: Tx) -> list[dict[str, object]]:
    return tx.all(
        "SELECT hub, id AS key, scopes, created_at, expires_at, last_used_at, revoked_at, CASE "
        "WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'ended' ELSE 'in use' END AS state "
        "FROM api_keys ORDER BY hub, created_at"
    )


def by_key(tx: Tx, secret: str) -> Caller | None:
    """Whose API key it is, if it may be used. That it was is noted once a minute. One statement."""
    row = tx.one(
        """
        WITH found AS (
            SELECT * FROM api_keys
            WHERE fingerprint = %(fingerprint)s AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
        ),
        used AS (
            UPDATE api_keys SET last_used_at = now() FROM found
            WHERE api_keys.id = found.id AND coalesce(found.last_used_at < now() - interval '1 minute', true)
        )
        SELECT hub, line, scopes FROM found
        """,
        {"fingerprint": fingerprint(secret)},
    )
    return Caller(row["hub"], row["line"], frozenset(row["scopes"])) if row else None
