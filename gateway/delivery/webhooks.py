"""Hubs' webhooks: what a hub decides about its own, and what their failures decide."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import gateway_sdk as sdk

from gateway import hub, logs, wire
from gateway.errors import Conflict, Invalid, Sealed
from gateway.policy.lifecycle import Move
from gateway.store import deliveries, events, webhooks
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx
from gateway.store.webhooks import Webhook

from .room import PostRoom

log = logs.get()

MOST = 10  # of one hub


def create(room: PostRoom, caller: Caller, url: str, types: Sequence[str]) -> tuple[Webhook, str]:
    """A webhook, and its secret, which is told this once. Raises Invalid, Conflict."""
    _require_outside(room, url)
    with room.store.begin() as tx:
        events.place(tx)
        tx.only([caller.hub])
        if len(webhooks.all_of(tx, caller.hub)) >= MOST:
            raise Conflict(f"a hub has {MOST} webhooks at most: remove one")
        return webhooks.create(tx, hub=caller.hub, url=url, types=types, by=caller.actor)


def change(
    room: PostRoom, caller: Caller, identifier: str, url: str | None, types: Sequence[str] | None, enabled: bool | None
) -> Webhook:
    """Change what is given. Switched on again, it is told what happens from then on. Raises NotFound, Invalid."""
    if url is not None:
        _require_outside(room, url)
    with room.store.begin() as tx:
        events.place(tx)
        tx.only([caller.hub])
        found = webhooks.get(tx, identifier, hub=caller.hub)
        if url is not None or types is not None:
            kept = found.types if types is None else types
            webhooks.change(tx, found, url=url or found.url, types=kept, by=caller.actor)
        if enabled is True and found.disabled_at:
            webhooks.switch_on(tx, found, by=caller.actor)
        if enabled is False and not found.disabled_at:
            webhooks.switch_off(tx, found, "webhook_off", by=caller.actor)
            _stop(tx, found)
        return webhooks.get(tx, identifier, hub=caller.hub)


def remove(room: PostRoom, caller: Caller, identifier: str) -> None:
    """Raises NotFound."""
    with room.store.begin(hub=caller.hub) as tx:
        found = webhooks.get(tx, identifier, hub=caller.hub)
        webhooks.remove(tx, found, by=caller.actor)
        _stop(tx, found)


def rotate(room: PostRoom, caller: Caller, identifier: str) -> tuple[Webhook, str]:
    """A new secret, told this once; the one before signs along for a while. Raises NotFound."""
    with room.store.begin(hub=caller.hub) as tx:
        secret = webhooks.rotate(
            tx, webhooks.get(tx, identifier, hub=caller.hub), room.settings.webhooks.overlap, by=caller.actor
        )
        return webhooks.get(tx, identifier, hub=caller.hub), secret


def test(room: PostRoom, caller: Caller, identifier: str) -> str:
    """Queue an event of type ``webhook.test`` for this webhook alone. Returns the delivery's id. Raises NotFound, Conflict."""
    with room.store.begin() as tx:
        found = webhooks.get(tx, identifier, hub=caller.hub)
        require_on(tx, identifier)
        event = events.write(tx, webhooks.TEST, hub=found.hub, webhook=found.id).fetchone()
        assert event is not None
        events.place(tx)
        tx.only([caller.hub])
        [queued] = webhooks.queue(tx, found.id, found.hub, [{**event, "referral": None}])
        return queued


def require_on(tx: Tx, identifier: str) -> None:
    """Raises Conflict when the webhook is switched off or was removed."""
    found = webhooks.lock(tx, identifier)
    if found is None or found.disabled_at:
        raise Conflict(f"the webhook {identifier} is switched off: its hub switches it on by PATCH /v1/webhooks")


def _require_outside(room: PostRoom, url: str) -> None:
    expected = wire.objection(url, allow_private=room.settings.webhooks.allow_private)
    if expected:
        raise Invalid(f"At /url: expected {expected}.", errors=[{"pointer": "/url", "expected": expected}])


def _stop(tx: Tx, webhook: Webhook) -> None:
    """What waits for a webhook that is switched off is not sent, also not when it is switched on again."""
    for delivery in webhooks.stoppable(tx, webhook.id):
        deliveries.put_move(tx, delivery, Move.WITHDRAW, code="webhook_off")


def notice(room: PostRoom, tx: Tx, delivery: Delivery) -> tuple[Webhook, hub.Notice | Sealed] | None:
    """Whom *delivery* tells what (or that its secrets do not open); None: the webhook is switched off, and this with it."""
    found, now = webhooks.lock(tx, delivery.agency), tx.now()
    if found is None or found.disabled_at:
        deliveries.put_move(tx, delivery, Move.WITHDRAW, code="webhook_off")
        return None
    try:
        secrets = found.secrets(room.store.vault, now)
    except Sealed as error:
        return found, error
    path = urlsplit(found.url).path or "/"
    return found, hub.Notice(delivery.id, path, webhooks.event_of(tx, delivery), secrets, now)


def told(room: PostRoom, tx: Tx, delivery: Delivery, result: sdk.Outcome) -> sdk.Outcome:
    """Note how the webhook of *delivery* fares; what *result* means for the delivery.

    A doubt is as good as a failure: the receiver tells a repeat by its id. A webhook that fails for days, or says
    that it is gone, is switched off; what fails afterwards ends.
    """
    if isinstance(result, sdk.Delivered):
        webhooks.succeeded(tx, delivery.agency)
        return result
    found = webhooks.failed(tx, delivery.agency)
    if found is None or found.disabled_at:
        return sdk.Refused(result.code)
    assert found.failing_since is not None
    if isinstance(result, sdk.Refused):
        _give_up(tx, found, "webhook_gone")
    elif tx.now() - found.failing_since >= room.settings.webhooks.disable_after:
        _give_up(tx, found, "webhook_failing")
        return sdk.Refused(result.code)
    return sdk.Unavailable(result.code) if isinstance(result, sdk.Uncertain) else result


def _give_up(tx: Tx, webhook: Webhook, code: str) -> None:
    """Switch it off and say so: in the hub's feed, in the log, in the audit."""
    webhooks.switch_off(tx, webhook, code, by="gateway")
    _stop(tx, webhook)
    events.write(tx, "webhook.disabled", hub=webhook.hub, webhook=webhook.id, code=code)
    log.error("webhook switched off", hub=webhook.hub, agency=webhook.id, code=code)
