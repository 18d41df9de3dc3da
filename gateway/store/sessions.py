"""Who is logged in, from which browsers, and how often somebody guessed wrong. Secrets are kept as fingerprints."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from gateway.policy.roles import Person, Role
from gateway.policy.throttle import FORGOTTEN, Throttle
from gateway.vault import fingerprint

from .session import Tx

SEEN = timedelta(minutes=1)  # not every look at a page writes
KNOWN_FOR = timedelta(days=90)  # a browser that was not used for longer is a new one


@dataclass(frozen=True)
class Session:
    """*one_time*: she has to choose a password first. *confirmed*: whether her second factor is set up; nothing to set
    up (*local* is false) for those who log in at an OpenID provider."""

    person: Person
    one_time: bool
    confirmed: bool
    local: bool


def begin(tx: Tx, person: Person, lasting: timedelta) -> str:
    """A session's secret, for the cookie. It ends after *lasting*, whatever happens."""
    secret = secrets.token_urlsafe(32)
    tx.put("DELETE FROM sessions WHERE expires_at < now()")
    tx.put(
        "INSERT INTO sessions (fingerprint, person, expires_at) VALUES (%(fingerprint)s, %(person)s, now() + %(lasting)s)",
        {"fingerprint": fingerprint(secret), "person": person.name, "lasting": lasting},
    )
    return secret


def look(tx: Tx, secret: str, idle: timedelta) -> Session | None:
    """Whose session this is, unless it ended or nobody used it for as long as *idle*. It was used now."""
    row = tx.one(
        "WITH live AS (SELECT fingerprint, person, seen_at FROM sessions WHERE fingerprint = %(fingerprint)s "
        "  AND expires_at > clock_timestamp() AND seen_at > clock_timestamp() - %(idle)s), "
        "seen AS (UPDATE sessions SET seen_at = clock_timestamp() FROM live WHERE sessions.fingerprint = live.fingerprint "
        "  AND live.seen_at < clock_timestamp() - %(seen)s) "
        "SELECT name, role, hub, one_time_until IS NOT NULL AS one_time, totp_confirmed_at IS NOT NULL AS confirmed, "
        "  issuer IS NULL AS local FROM live JOIN people ON name = person WHERE disabled_at IS NULL",
        {"fingerprint": fingerprint(secret), "idle": idle, "seen": SEEN},
    )
    if row is None:
        return None
    person = Person(row["name"], Role(row["role"]), row["hub"])
    return Session(person, row["one_time"], row["confirmed"], row["local"])


def close(tx: Tx, secret: str) -> None:
    tx.put("DELETE FROM sessions WHERE fingerprint = %(fingerprint)s", {"fingerprint": fingerprint(secret)})


def close_all(tx: Tx, name: str, *, keeping: str = "") -> int:
    """End the sessions of *name*, but for the one with the secret *keeping*. Returns how many ended."""
    return tx.run(
        "DELETE FROM sessions WHERE person = %(name)s AND fingerprint <> %(keeping)s",
        {"name": name, "keeping": fingerprint(keeping)},
    )


def count(tx: Tx, name: str) -> int:
    row = tx.one(
        "SELECT count(*) AS n FROM sessions WHERE person = %(name)s AND expires_at > clock_timestamp()", {"name": name}
    )
    return int(row["n"]) if row else 0


def knows_browser(tx: Tx, name: str, secret: str) -> bool:
    """Whether *name* logged in before from the browser that has this *secret*."""
    return (
        tx.one(
            "SELECT 1 FROM browsers WHERE person = %(name)s AND fingerprint = %(fingerprint)s "
            "AND used_at > clock_timestamp() - %(lasting)s",
            {"name": name, "fingerprint": fingerprint(secret), "lasting": KNOWN_FOR},
        )
        is not None
    )


def remember_browser(tx: Tx, name: str, secret: str | None) -> str:
    """Returns the browser's secret, a new one if it has none."""
    secret = secret or secrets.token_urlsafe(32)
    tx.put(
        "INSERT INTO browsers (person, fingerprint) VALUES (%(name)s, %(fingerprint)s) "
        "ON CONFLICT (person, fingerprint) DO UPDATE SET used_at = clock_timestamp()",
        {"name": name, "fingerprint": fingerprint(secret)},
    )
    return secret


def forget_browsers(tx: Tx, name: str) -> None:
    tx.put("DELETE FROM browsers WHERE person = %(name)s", {"name": name})


def knock(tx: Tx, throttles: Mapping[str, Throttle]) -> timedelta | None:
    """Take an attempt: None, and it counts as a failure until forgive(). Or how long to wait, and it does not count.

    *throttles*: what is counted, each under its own rule. Counted before it is known to fail, so that many at once gain
    nothing.
    """
    keys = {tx.vault.blind("throttle", what): rule for what, rule in throttles.items()}
    wanted = sorted(keys)
    tx.put("DELETE FROM throttles WHERE last_at < clock_timestamp() - %(old)s", {"old": FORGOTTEN})
    tx.put(
        "INSERT INTO throttles (key) SELECT key FROM unnest(%(keys)b::bytea[]) AS new(key) ORDER BY key ON CONFLICT DO NOTHING",
        {"keys": wanted},
    )
    rows = tx.all(
        "SELECT key, failures, last_at, clock_timestamp() AS now FROM throttles WHERE key = ANY(%(keys)b::bytea[]) "
        "ORDER BY key FOR UPDATE",
        {"keys": wanted},
    )
    wait: timedelta = max(
        keys[bytes(row["key"])].ready_at(row["failures"], row["last_at"]) - row["now"] for row in rows
    )
    if wait > timedelta(0):
        return wait
    tx.put(
        "UPDATE throttles SET failures = failures + 1, last_at = clock_timestamp() WHERE key = ANY(%(keys)b::bytea[])",
        {"keys": wanted},
    )
    return None


def forgive(tx: Tx, cleared: str, counted: Iterable[str]) -> None:
    """The attempt was good: *cleared* starts anew, and this one no longer counts against those *counted* beside it."""
    tx.put("DELETE FROM throttles WHERE key = %(key)s", {"key": tx.vault.blind("throttle", cleared)})
    tx.put(
        "UPDATE throttles SET failures = greatest(failures - 1, 0) WHERE key = ANY(%(keys)b::bytea[])",
        {"keys": [tx.vault.blind("throttle", one) for one in counted]},
    )
