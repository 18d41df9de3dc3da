"""Hubs' webhooks: where they are, what signs them, how they fare, and the deliveries that events become for them."""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from gateway import ids
from gateway.errors import NotFound
from gateway.policy.lifecycle import State
from gateway.vault import Vault

from . import audit, events, keys
from .deliveries import Delivery
from .session import Cursor, Tx

TEST = "webhook.test"
ALWAYS = frozenset({"referral.break-glass"})  # told to every webhook, whatever types were chosen


@dataclass(frozen=True)
class Webhook:
    """An address of a hub's. *types*: of the events it is told; none: all. *position*: up to which they were queued.

    *failing_since*: the first failure since something was delivered. *disabled_code*: why it is switched off.
    """

    id: str
    hub: str
    url: str
    types: list[str]
    position: int
    created_at: datetime
    failing_since: datetime | None
    delivered_at: datetime | None
    disabled_at: datetime | None
    disabled_code: str | None
    old_until: datetime | None
    data_key: bytes  # wrapped
    secret: bytes
    old_secret: bytes | None

    def secrets(self, vault: Vault, now: datetime) -> list[str]:
        """What signs at *now*: the secret, and the one before it while both hold. Raises Sealed."""
        key = vault.key(self.data_key, self.id)
        found = [key.open(self.secret, _where(self.id)).decode()]
        if self.old_secret and self.old_until and now < self.old_until:
            found.append(key.open(self.old_secret, _old_where(self.id)).decode())
        return found


SEALED: LiteralString = "SELECT webhooks.*, wrapped AS data_key FROM webhooks JOIN data_keys ON record = id "


def _of_row(row: Mapping[str, Any]) -> Webhook:
    return Webhook(**{name: row[name] for name in Webhook.__dataclass_fields__})


def _where(identifier: str) -> str:
    return f"webhooks.secret:{identifier}"


def _old_where(identifier: str) -> str:
    return f"webhooks.old_secret:{identifier}"


def _new_secret() -> str:
    """As Standard Webhooks wants it: ``whsec_`` and the base64 of 24 to 64 random bytes."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def create(tx: Tx, *, hub: str, url: str, types: Sequence[str], by: str) -> tuple[Webhook, str]:
    """A new one, and its secret, which is told this once. It is told what happens after the last event that has its place."""
    identifier, secret = ids.new("whe"), _new_secret()
    key, wrapped = tx.vault.new_key(identifier)
    row = tx.one(
        "WITH keyed AS (INSERT INTO data_keys (record, of_hub, wrapped) VALUES (%(id)s, %(hub)s, %(key)s)) "
        "INSERT INTO webhooks (id, hub, url, types, position, secret) VALUES (%(id)s, %(hub)s, %(url)s, "
        "  %(types)s, (SELECT coalesce(max(position), 0) FROM events), %(secret)s) RETURNING *, %(key)s::bytea AS data_key",
        {
            "id": identifier, "hub": hub, "url": url, "types": list(types), "key": wrapped,
            "secret": key.seal(secret.encode(), _where(identifier)),
        },
    )  # fmt: skip
    assert row is not None
    audit.write(tx, by, "webhook.create", identifier)
    return _of_row(row), secret


def get(tx: Tx, identifier: str, *, hub: str) -> Webhook:
    """It, locked. Raises NotFound, also when it is another hub's."""
    found = lock(tx, identifier)
    if found is None or found.hub != hub:
        raise NotFound(
            f"there is no webhook {identifier}" if ids.valid(identifier, "whe") else "that is not a webhook's id"
        )
    return found


def lock(tx: Tx, identifier: str) -> Webhook | None:
    """It, locked, so that it is not switched off meanwhile; None when it was removed."""
    row = tx.one(SEALED + "WHERE id = %(id)s FOR UPDATE OF webhooks", {"id": identifier})
    return _of_row(row) if row else None


def all_of(tx: Tx, hub: str | None = None) -> list[Webhook]:
    """Those of *hub*, or everybody's."""
    rows = tx.all(SEALED + "WHERE %(hub)s::text IS NULL OR hub = %(hub)s ORDER BY hub, created_at, id", {"hub": hub})
    return [_of_row(row) for row in rows]


def put_due(tx: Tx) -> Cursor:
    """Asks for those that are on and have something due, in no order, and how each fares.

    ``{id, opened_at, probe_at, now, held}``; *held*: how many calls to webhooks are in flight, all together.
    """
    return tx.put(
        "SELECT id, opened_at, probe_at, clock_timestamp() AS now, (SELECT count(*) FROM webhooks AS one "
        "    JOIN deliveries ON agency = one.id WHERE token IS NOT NULL AND due_at > now()) AS held "
        "FROM webhooks LEFT JOIN agency_health ON agency_health.agency = webhooks.id "
        "WHERE disabled_at IS NULL AND EXISTS ("
        "    SELECT FROM deliveries WHERE deliveries.agency = webhooks.id AND due_at <= now() AND state <> 'sending') "
        "ORDER BY random()"
    )


def hold_awake(tx: Tx, identifiers: Iterable[str]) -> frozenset[str]:
    """Those of *identifiers* that are switched on, and stay so until the transaction ends."""
    wanted = sorted(set(identifiers))
    if not wanted:
        return frozenset()
    rows = tx.all(
        "SELECT id FROM webhooks WHERE id = ANY(%(ids)s) AND disabled_at IS NULL ORDER BY id FOR SHARE", {"ids": wanted}
    )
    return frozenset(row["id"] for row in rows)


def change(tx: Tx, webhook: Webhook, *, url: str, types: Sequence[str], by: str) -> None:
    """Another address, other types."""
    tx.put(
        "UPDATE webhooks SET url = %(url)s, types = %(types)s WHERE id = %(id)s",
        {"id": webhook.id, "url": url, "types": list(types)},
    )
    audit.write(tx, by, "webhook.change", webhook.id)


def rotate(tx: Tx, webhook: Webhook, overlap: timedelta, *, by: str) -> str:
    """A new secret, told this once. The one before signs along for *overlap*."""
    secret = _new_secret()
    key = tx.vault.key(webhook.data_key, webhook.id)
    tx.put(
        "UPDATE webhooks SET old_secret = %(old)s, old_until = clock_timestamp() + %(overlap)s, secret = %(secret)s "
        "WHERE id = %(id)s",
        {
            "id": webhook.id,
            "overlap": overlap,
            "secret": key.seal(secret.encode(), _where(webhook.id)),
            "old": key.seal(key.open(webhook.secret, _where(webhook.id)), _old_where(webhook.id)),
        },
    )
    audit.write(tx, by, "webhook.rotate", webhook.id)
    return secret


def switch_on(tx: Tx, webhook: Webhook, *, by: str) -> None:
    """It is told what happens after the last event that has its place, and nothing of what happened while it was off."""
    tx.put(
        "UPDATE webhooks SET disabled_at = NULL, disabled_code = NULL, failing_since = NULL, "
        "  position = (SELECT coalesce(max(position), 0) FROM events) WHERE id = %(id)s",
        {"id": webhook.id},
    )
    tx.put("DELETE FROM agency_health WHERE agency = %(id)s", {"id": webhook.id})
    audit.write(tx, by, "webhook.on", webhook.id)


def switch_off(tx: Tx, webhook: Webhook, code: str, *, by: str) -> None:
    """It is told nothing more."""
    tx.put(
        "UPDATE webhooks SET disabled_at = clock_timestamp(), disabled_code = %(code)s WHERE id = %(id)s",
        {"id": webhook.id, "code": code},
    )
    audit.write(tx, by, "webhook.off", webhook.id, code=code)


def remove(tx: Tx, webhook: Webhook, *, by: str) -> None:
    """Forget it and its secrets; its deliveries stay on record."""
    tx.put("DELETE FROM webhooks WHERE id = %(id)s", {"id": webhook.id})
    keys.destroy(tx, [webhook.id])
    audit.write(tx, by, "webhook.remove", webhook.id)


def succeeded(tx: Tx, identifier: str) -> None:
    tx.put(
        "UPDATE webhooks SET delivered_at = clock_timestamp(), failing_since = NULL WHERE id = %(id)s",
        {"id": identifier},
    )


def failed(tx: Tx, identifier: str) -> Webhook | None:
    """It, locked, with the time since when it fails; None when it was removed."""
    row = tx.one(
        "UPDATE webhooks SET failing_since = coalesce(failing_since, clock_timestamp()) FROM data_keys "
        "WHERE id = %(id)s AND record = id RETURNING webhooks.*, wrapped AS data_key",
        {"id": identifier},
    )
    return _of_row(row) if row else None


def queue_events(tx: Tx, most: int = 500) -> int:
    """Make a delivery of each event that has its position, for each webhook that wants it: once. Returns how many.

    A webhook's row is locked meanwhile, and its place is moved on in the same commit.
    """
    rows = tx.all(
        "SELECT id, hub, types, position, last FROM webhooks, (SELECT max(position) AS last FROM events) AS events "
        "WHERE disabled_at IS NULL AND position < last ORDER BY id FOR UPDATE OF webhooks SKIP LOCKED"
    )
    return sum(_queue_for(tx, row, most) for row in rows)


def _queue_for(tx: Tx, webhook: Mapping[str, Any], most: int) -> int:
    found = tx.all(
        "SELECT id, referral, type, position FROM events "
        "WHERE hub = %(hub)s AND position > %(position)s AND position <= %(last)s ORDER BY position LIMIT %(most)s",
        {**webhook, "most": most},
    )
    types = set(webhook["types"])
    wanted = [event for event in found if event["type"] != TEST and (not types or event["type"] in types | ALWAYS)]
    queue(tx, webhook["id"], webhook["hub"], wanted)
    tx.put(
        "UPDATE webhooks SET position = %(position)s WHERE id = %(id)s",
        {"id": webhook["id"], "position": found[-1]["position"] if len(found) == most else webhook["last"]},
    )
    return len(wanted)


def queue(tx: Tx, webhook: str, hub: str, chosen: Sequence[Mapping[str, Any]]) -> list[str]:
    """A delivery, due at once, for each of *chosen*, rows of events; one that has its delivery gets no other."""
    made = [ids.new("del") for _ in chosen]
    tx.put(
        "WITH queued AS ("
        "  INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, event, state, status, due_at) "
        "  SELECT id, referral, %(hub)s, %(webhook)s, 'events', 'event', event, %(waiting)s, 'received', now() "
        "  FROM unnest(%(ids)s::text[], %(referrals)s::text[], %(events)s::bigint[]) AS new(id, referral, event) "
        "  ON CONFLICT (agency, event) WHERE event IS NOT NULL DO NOTHING RETURNING id) "
        "INSERT INTO audit (actor, action, object) SELECT 'gateway', 'delivery.queue', id FROM queued",
        {
            "hub": hub, "webhook": webhook, "waiting": State.WAITING, "ids": made,
            "referrals": [event["referral"] for event in chosen], "events": [event["id"] for event in chosen],
        },
    )  # fmt: skip
    return made


def event_of(tx: Tx, delivery: Delivery) -> dict[str, Any]:
    """What *delivery* tells, as in the feed."""
    row = tx.one("SELECT * FROM events WHERE id = %(event)s", {"event": delivery.event})
    assert row is not None, "an event is not removed before its deliveries"
    return events.told(row)


def stoppable(tx: Tx, identifier: str) -> list[Delivery]:
    """Its deliveries that have not begun, locked."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE agency = %(id)s AND state IN ('waiting', 'queued') ORDER BY id FOR UPDATE",
        {"id": identifier},
    )
    return [Delivery.of_row(row) for row in rows]


def last_delivery(tx: Tx, identifier: str) -> Delivery | None:
    """The newest one."""
    row = tx.one(
        "SELECT * FROM deliveries WHERE agency = %(id)s AND event IS NOT NULL ORDER BY event DESC LIMIT 1",
        {"id": identifier},
    )
    return Delivery.of_row(row) if row else None
