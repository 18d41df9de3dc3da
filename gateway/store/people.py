"""Accounts of the people at the console: their roles, passwords and second factors."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import Conflict, NotFound
from gateway.policy.roles import Person, Role

from . import audit, keys, sessions
from .session import Tx

ONE_TIME = timedelta(days=1)
"""How long a password that somebody else gave lets her in, to choose her own."""


@dataclass(frozen=True)
class Account:
    """*password_hash*: none of those who log in at an OpenID provider. *one_time_until*: the password is another's.

    *confirmed*: whether her second factor is set up. *read_at*: by the database's clock.
    """

    person: Person
    password_hash: str | None
    one_time_until: datetime | None
    confirmed: bool
    disabled_at: datetime | None
    read_at: datetime
    totp: bytes | None

    @property
    def lets_in(self) -> bool:
        return self.disabled_at is None and (self.one_time_until is None or self.one_time_until > self.read_at)


def _record(name: str) -> str:
    """What her data key is of."""
    return f"person:{name}"


def _where(name: str) -> str:
    return f"people.totp:{name}"


def totp_secret(tx: Tx, account: Account) -> str:
    """The secret that her authenticator shares with us, or will, in base 32. Raises Sealed."""
    name = account.person.name
    return keys.of(tx, _record(name)).open(account.totp or b"", _where(name)).decode()


def person_of(row: dict[str, Any]) -> Person:
    return Person(row["name"], Role(row["role"]), row["hub"])


def find(tx: Tx, name: str) -> Account | None:
    row = tx.one("SELECT *, clock_timestamp() AS read_at FROM people WHERE name = %(name)s", {"name": name})
    if row is None:
        return None
    known = {field: row[field] for field in Account.__dataclass_fields__ if field in row}
    return Account(person=person_of(row), confirmed=row["totp_confirmed_at"] is not None, **known)


def get(tx: Tx, name: str) -> Account:
    """Raises NotFound."""
    found = find(tx, name)
    if found is None:
        raise NotFound(f"there is nobody called {name}; see gateway people list")
    return found


def listing(tx: Tx) -> list[dict[str, Any]]:
    """``{name, role, hub, login, second_factor, created_at, disabled_at}`` of everybody."""
    return tx.all(
        "SELECT name, role, hub, CASE WHEN issuer IS NULL THEN 'password' ELSE 'provider' END AS login, "
        "  totp_confirmed_at IS NOT NULL AS second_factor, one_time_until IS NOT NULL AS one_time, created_at, disabled_at "
        "FROM people ORDER BY hub NULLS FIRST, name"
    )


def add(tx: Tx, person: Person, password_hash: str, *, by: str, one_time: bool = True) -> None:
    """A new account, with a password that she has to change at her first login if it is *one_time*.

    Raises Conflict, NotFound.
    """
    if find(tx, person.name):
        raise Conflict(f"there is somebody called {person.name} already")
    _hub_is_there(tx, person)
    tx.put(
        "INSERT INTO people (name, role, hub) VALUES (%(name)s, %(role)s, %(hub)s)",
        {"name": person.name, "role": person.role, "hub": person.hub},
    )
    _give(tx, person, password_hash, one_time)
    audit.write(tx, by, "person.add", person.name, role=person.role, hub=person.hub)


def _hub_is_there(tx: Tx, person: Person) -> None:
    if person.hub and not tx.one("SELECT 1 FROM hubs WHERE name = %(hub)s", {"hub": person.hub}):
        raise NotFound(f"there is no hub {person.hub}; see gateway hubs list")


def reset(tx: Tx, person: Person, password_hash: str, *, by: str) -> None:
    """A one-time password, with which she sets up everything anew; every session and known browser of hers ends.

    Raises Conflict if she logs in at a provider.
    """
    if tx.one("SELECT 1 FROM people WHERE name = %(name)s AND issuer IS NOT NULL", {"name": person.name}):
        raise Conflict(f"{person.name} logs in at the OpenID provider: what she logs in with is reset there")
    _give(tx, person, password_hash, one_time=True)
    sessions.close_all(tx, person.name)
    sessions.forget_browsers(tx, person.name)
    audit.write(tx, by, "person.reset", person.name)


def _give(tx: Tx, person: Person, password_hash: str, one_time: bool) -> None:
    tx.put(
        "UPDATE people SET password_hash = %(hash)s, totp = NULL, totp_confirmed_at = NULL, "
        "  totp_step = NULL, one_time_until = CASE WHEN %(one_time)s THEN clock_timestamp() + %(lasting)s END "
        "WHERE name = %(name)s",
        {"name": person.name, "hash": password_hash, "one_time": one_time, "lasting": ONE_TIME},
    )
    keys.destroy(tx, [_record(person.name)])


def offer_totp(tx: Tx, person: Person, secret: str) -> None:
    """Keep the *secret* of a second factor that she is about to set up, in base 32, sealed."""
    key, wrapped = tx.vault.new_key(_record(person.name))
    tx.put(
        "WITH offered AS (UPDATE people SET totp = %(totp)s WHERE name = %(name)s AND totp_confirmed_at IS NULL RETURNING name) "
        "INSERT INTO data_keys (record, wrapped) SELECT %(record)s, %(key)s FROM offered "
        "ON CONFLICT (record) DO UPDATE SET wrapped = excluded.wrapped",
        {
            "name": person.name, "record": _record(person.name), "key": wrapped,
            "totp": key.seal(secret.encode(), _where(person.name)),
        },
    )  # fmt: skip


def set_password(tx: Tx, person: Person, password_hash: str, *, keeping: str) -> None:
    """She chose a new password: her sessions end, but for the one with the secret *keeping*."""
    tx.put(
        "UPDATE people SET password_hash = %(hash)s, one_time_until = NULL WHERE name = %(name)s",
        {"name": person.name, "hash": password_hash},
    )
    sessions.close_all(tx, person.name, keeping=keeping)
    audit.write(tx, person.actor, "person.password", person.name)


def take_step(tx: Tx, person: Person, step: int) -> bool:
    """Whether no code of this time *step*, or a later one, was taken before: each is good once (RFC 6238, 5.2)."""
    return bool(
        tx.run(
            "UPDATE people SET totp_step = %(step)s, totp_confirmed_at = coalesce(totp_confirmed_at, clock_timestamp()) "
            "WHERE name = %(name)s AND coalesce(totp_step, 0) < %(step)s",
            {"name": person.name, "step": step},
        )
    )


def disable(tx: Tx, person: Person, *, by: str) -> None:
    """She is logged out and cannot log in."""
    tx.put("UPDATE people SET disabled_at = clock_timestamp() WHERE name = %(name)s", {"name": person.name})
    sessions.close_all(tx, person.name)
    audit.write(tx, by, "person.disable", person.name)


def enable(tx: Tx, person: Person, *, by: str) -> None:
    tx.put("UPDATE people SET disabled_at = NULL WHERE name = %(name)s", {"name": person.name})
    audit.write(tx, by, "person.enable", person.name)


def from_provider(tx: Tx, issuer: str, subject: str, person: Person) -> Account:
    """The account of an identity at an OpenID provider, made at the first login; its role is what the provider says now.

    Raises Conflict when the name is somebody else's, and NotFound for a hub that is not there.
    """
    _hub_is_there(tx, person)
    known = tx.one(
        "SELECT name, role, hub FROM people WHERE issuer = %(issuer)s AND subject = %(subject)s FOR UPDATE",
        {"issuer": issuer, "subject": subject},
    )
    person = Person(known["name"], person.role, person.hub) if known else person
    values = {"name": person.name, "role": person.role, "hub": person.hub, "issuer": issuer, "subject": subject}
    if known is None:
        if not tx.run(
            "INSERT INTO people (name, role, hub, issuer, subject) VALUES (%(name)s, %(role)s, %(hub)s, %(issuer)s, %(subject)s) "
            "ON CONFLICT DO NOTHING",
            values,
        ):
            raise Conflict("Your name at the provider is another person's here. Ask whoever runs the gateway.")
        audit.write(tx, "gateway", "person.add", person.name, role=person.role, hub=person.hub)
    elif person_of(known) != person:
        tx.put("UPDATE people SET role = %(role)s, hub = %(hub)s WHERE name = %(name)s", values)
        sessions.close_all(tx, person.name)
        audit.write(tx, "gateway", "person.role", person.name, role=person.role, hub=person.hub)
    return get(tx, person.name)


def first_password(tx: Tx) -> bool:
    """Whether somebody may still log in with a password that a first start of the gateway gave."""
    return bool(
        tx.one(
            """
            SELECT 1 FROM people CROSS JOIN LATERAL (
                SELECT actor FROM audit WHERE object = people.name
                AND action IN ('person.add', 'person.reset', 'person.password') ORDER BY id DESC LIMIT 1
            ) AS given
            WHERE given.actor = 'gateway' AND password_hash IS NOT NULL AND disabled_at IS NULL
            AND coalesce(one_time_until > clock_timestamp(), true) LIMIT 1
            """
        )
    )


def anybody(tx: Tx) -> bool:
    return tx.one("SELECT 1 FROM people LIMIT 1") is not None
