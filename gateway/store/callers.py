"""Who may call: hubs by API key, administrators by password. Only fingerprints and hashes are kept."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from gateway import ids
from gateway.errors import Conflict, NotFound
from gateway.policy.scopes import Scope
from gateway.vault import fingerprint

from . import audit
from .session import Tx


@dataclass(frozen=True)
class Caller:
    """A hub that proved who it is.

    *key*: the id of the API key or client it used; each worker who approves has her own, and a key that replaced
    another counts as that one. *certificate*: the thumbprint without which its token does not hold.
    """

    hub: str
    key: str = ""
    scopes: frozenset[str] = frozenset()
    certificate: str = ""

    @property
    def actor(self) -> str:
        return f"hub:{self.hub}"


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


def add_admin(tx: Tx, name: str, password_hash: str, *, by: str, replace: bool = False) -> None:
    """Raises Conflict if there is one of this name and it is not to be replaced."""
    known = tx.one("SELECT 1 FROM admins WHERE name = %(name)s", {"name": name})
    if known and not replace:
        raise Conflict(f"there is an administrator {name}; use --replace to give a new password")
    tx.run(
        "INSERT INTO admins (name, password_hash) VALUES (%(name)s, %(hash)s) "
        "ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash",
        {"name": name, "hash": password_hash},
    )
    tx.run("DELETE FROM sessions WHERE admin = %(name)s", {"name": name})
    audit.write(tx, by, "admin.add", name)


def admins(tx: Tx) -> list[str]:
    return [row["name"] for row in tx.all("SELECT name FROM admins ORDER BY name")]


def password_hash(tx: Tx, name: str) -> str | None:
    row = tx.one("SELECT password_hash FROM admins WHERE name = %(name)s", {"name": name})
    return row["password_hash"] if row else None


def open_session(tx: Tx, admin: str, lasting: timedelta) -> str:
    """A session's secret, for the cookie."""
    secret = secrets.token_urlsafe(32)
    tx.run("DELETE FROM sessions WHERE expires_at < now()")
    tx.run(
        "INSERT INTO sessions (fingerprint, admin, expires_at) VALUES (%(fingerprint)s, %(admin)s, now() + %(lasting)s)",
        {"fingerprint": fingerprint(secret), "admin": admin, "lasting": lasting},
    )
    audit.write(tx, f"admin:{admin}", "admin.login", admin)
    return secret


def session_admin(tx: Tx, secret: str) -> str | None:
    row = tx.one(
        "SELECT admin FROM sessions WHERE fingerprint = %(fingerprint)s AND expires_at > now()",
        {"fingerprint": fingerprint(secret)},
    )
    return row["admin"] if row else None


def close_session(tx: Tx, secret: str) -> None:
    tx.run("DELETE FROM sessions WHERE fingerprint = %(fingerprint)s", {"fingerprint": fingerprint(secret)})
