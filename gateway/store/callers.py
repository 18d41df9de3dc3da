"""Who may call: hubs by API key, administrators by password. Only fingerprints and hashes are kept."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from gateway import ids
from gateway.errors import Conflict, NotFound
from gateway.vault import fingerprint

from . import audit
from .session import Tx


@dataclass(frozen=True)
class Caller:
    """A hub that proved who it is. *key*: the id of the API key it used; each worker who approves has her own."""

    hub: str
    key: str = ""

    @property
    def actor(self) -> str:
        return f"hub:{self.hub}"


def add_hub(tx: Tx, name: str, *, by: str) -> str:
    """A hub, if it is new, and an API key for it. The key is returned once and kept as a fingerprint only."""
    tx.run("INSERT INTO hubs (name) VALUES (%(name)s) ON CONFLICT DO NOTHING", {"name": name})
    secret, identifier = f"gw_{secrets.token_urlsafe(32)}", ids.new("key")
    tx.run(
        "INSERT INTO api_keys (id, hub, fingerprint) VALUES (%(id)s, %(hub)s, %(fingerprint)s)",
        {"id": identifier, "hub": name, "fingerprint": fingerprint(secret)},
    )
    audit.write(tx, by, "key.add", identifier, hub=name)
    return secret


def revoke_key(tx: Tx, identifier: str, *, by: str) -> None:
    """Raises NotFound."""
    if not tx.run(
        "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL", {"id": identifier}
    ):
        raise NotFound(f"there is no key {identifier} in use; see gateway hubs")
    audit.write(tx, by, "key.revoke", identifier)


def list_hubs(tx: Tx) -> list[dict[str, object]]:
    return tx.all("SELECT hub, id AS key, created_at, revoked_at FROM api_keys ORDER BY hub, created_at")


def by_key(tx: Tx, secret: str) -> Caller | None:
    row = tx.one(
        "SELECT hub, id FROM api_keys WHERE fingerprint = %(fingerprint)s AND revoked_at IS NULL",
        {"fingerprint": fingerprint(secret)},
    )
    return Caller(row["hub"], row["id"]) if row else None


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
