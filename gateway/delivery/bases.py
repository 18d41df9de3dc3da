"""Sending without consent: rare, switched on for each hub, and only when a second worker of it agrees."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway import logs
from gateway.errors import Conflict, Forbidden, Invalid
from gateway.policy.changes import Kind
from gateway.policy.consent import Basis
from gateway.store import consents
from gateway.store.callers import Caller
from gateway.store.consents import Record

from .room import PostRoom

log = logs.get()

LONGEST = timedelta(days=7)


def record(room: PostRoom, document: Mapping[str, Any], caller: Caller) -> Record:
    """Keep why something may be sent without her consent. Raises Forbidden, Invalid."""
    _allowed(room, caller, document["basis"])
    with room.store.begin(hub=caller.hub) as tx:
        if datetime.fromisoformat(document["ends_at"]) > tx.now() + LONGEST:
            expected = f"a time within {LONGEST.days} days from now: then ask her, or record it again"
            errors = [{"pointer": "/ends_at", "expected": expected}]
            raise Invalid(f"At /ends_at: expected {expected}.", errors=errors)
        made = consents.get(tx, consents.save(tx, document, hub=caller.hub, key=caller.key), hub=caller.hub)
    log.warning("lawful basis recorded", hub=caller.hub, consent=made.id, kind=made.basis)
    return made


def approve(room: PostRoom, identifier: str, approval: Mapping[str, Any], caller: Caller) -> Record:
    """A second worker agrees: she calls with another API key than the one it was recorded with.

    Raises NotFound, Forbidden, Conflict.
    """
    with room.store.begin(hub=caller.hub) as tx:
        found = consents.lock(tx, identifier, hub=caller.hub)
        if found.basis is Basis.CONSENT:
            raise consents.unknown(identifier)
        _allowed(room, caller, found.basis)
        if found.approved_at is not None or found.withdrawn_at is not None:
            raise Conflict("It was approved before." if found.approved_at else "It was called off.")
        if caller.key == found.recorded_with:
            raise Forbidden("A second worker must approve it, with an API key of her own.")
        approved = consents.add_version(tx, found, Kind.APPROVED, {**found.document, **approval}, by=caller.actor)
    log.warning("lawful basis approved", hub=caller.hub, consent=identifier, kind=found.basis)
    return approved


def _allowed(room: PostRoom, caller: Caller, basis: str) -> None:
    hub = room.settings.hubs.get(caller.hub)
    if hub is None or basis not in hub.other_bases:
        raise Forbidden(
            f"This hub may not send on the basis of {basis}. Ask her for her consent; "
            "an administrator can allow the hub other bases in the gateway's settings (hubs)."
        )
