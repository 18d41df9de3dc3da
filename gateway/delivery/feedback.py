"""An agency said something: move the referral's public status, and let the hub know."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import gateway_sdk as sdk

from gateway import logs, wire
from gateway.errors import Malformed, NotFound, Unauthenticated
from gateway.plugins import Agency
from gateway.policy.lifecycle import FINAL, Move, Party, State, status_may_become
from gateway.store import audit, contradictions, deliveries, messages
from gateway.store.contradictions import Source
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import behind, sound
from .room import PostRoom

log = logs.get()

OUR_CLOCK = frozenset({sdk.Status.RECEIVED, sdk.Status.SENT, sdk.Status.CANCELLATION_REQUESTED})
SKEW = timedelta(minutes=5)  # how far ahead of ours an agency's clock is believed


def callback(room: PostRoom, name: str, headers: Mapping[str, str], body: bytes) -> None:
    """Take what agency *name* posted. Raises NotFound, Unauthenticated, Malformed.

    Believed only when it proves who it is, counted once, and only about that agency's own deliveries.
    *headers*: names in lower case.
    """
    agency = room.agencies.get(name)
    if agency is None or agency.adapter.callback_auth is None:
        raise NotFound("no agency posts updates here")
    with room.store.begin() as tx:
        now = tx.now()
    if not wire.verify_callback(agency.adapter.callback_auth, agency.credentials, headers, body, now):
        raise Unauthenticated("the signature or token of this callback is missing, wrong or out of date")
    said = _read(agency, sdk.Reply(200, headers, body))
    with room.store.begin() as tx:
        identifier = (
            headers.get("webhook-id") if isinstance(said, sdk.Message) else said.id or headers.get("webhook-id")
        )
        if identifier and not deliveries.first_seen(tx, name, identifier):
            return
        delivery = deliveries.find(tx, name, key=said.delivery_key, reference=said.reference)
        if delivery is None:
            raise NotFound("this agency holds no such referral")
        if isinstance(said, sdk.Message):
            hear(tx, it_has_it(tx, delivery, by=f"agency:{name}"), [said])
        else:
            apply(tx, delivery, said, by=f"agency:{name}", source=Source.CALLBACK)


def _read(agency: Agency, reply: sdk.Reply) -> sdk.Update | sdk.Message:
    try:
        return sound.callback(agency.adapter.read_update(reply))
    except Exception as error:  # an adapter is code we did not write
        log.warning("callback unreadable", agency=agency.name, exc_info=error)
        raise Malformed("this callback does not follow the contract") from None


def it_has_it(tx: Tx, delivery: Delivery, *, by: str) -> Delivery:
    """An agency that speaks of a referral has it: an uncertain send is thereby resolved."""
    if delivery.state is State.ASKING:
        delivery = deliveries.move(tx, delivery, Move.DELIVER, by=by) or delivery
        behind.release(tx, delivery)
    return delivery


def hear(tx: Tx, delivery: Delivery, said: Iterable[sdk.Message]) -> None:
    """Keep what an agency said about *delivery* in words, each once."""
    for message in said:
        if deliveries.first_seen(tx, delivery.agency, f"message {message.id}"):
            messages.keep(tx, delivery, message)


def apply(
    tx: Tx, delivery: Delivery, update: sdk.Update, *, by: str, source: Source, party: Party = Party.AGENCY
) -> bool:
    """Move the public status of a locked *delivery* as *update* says, which *party* brought.

    What comes late changes nothing and is kept in the audit; what may not follow changes nothing and is kept as a
    contradiction, which the hub is shown: False.
    """
    delivery = it_has_it(tx, delivery, by=by)
    hear(tx, delivery, update.messages)
    if update.reference:
        _refer(tx, delivery, update.reference, by=by, source=source)
    now = tx.now()
    at = min(update.at, now + SKEW) if update.at else now
    ours = delivery.status in OUR_CLOCK
    slack = SKEW if ours else timedelta(0)  # an agency's times are compared with each other as they are
    late = update.at is not None and delivery.status_at is not None and update.at < delivery.status_at - slack
    if late and update.status is not delivery.status:
        audit.write(tx, by, "delivery.status.kept", delivery.id, status=update.status)
        return False
    if update.status is not delivery.status and not status_may_become(delivery.status, update.status, party):
        contradictions.keep(tx, delivery, source, by=by, status=update.status, reason=update.reason)
        return False
    if not late:
        contradictions.settle_status(tx, delivery)
    if update.status is delivery.status:
        return True
    deliveries.set_status(tx, delivery, update.status, reason=update.reason, at=at, by=by)
    if update.status in FINAL:
        deliveries.stop_polling(tx, delivery.id)
    return True


def _refer(tx: Tx, delivery: Delivery, reference: str, *, by: str, source: Source) -> None:
    """Keep the agency's own reference; another one than it gave before is a contradiction."""
    if delivery.reference_index is None:
        deliveries.keep_reference(tx, delivery, reference)
    elif tx.vault.blind("reference", f"{delivery.agency}:{reference}") != delivery.reference_index:
        contradictions.keep(tx, delivery, source, by=by, reference=reference)


def taken_back(tx: Tx, original: Delivery) -> None:
    """The agency took the withdrawal of *original*."""
    if original.state is State.ASKING:
        deliveries.move(tx, original, Move.WITHDRAW, code="taken_back", status=sdk.Status.WITHDRAWN)
    elif original.status not in FINAL:
        by = f"agency:{original.agency}"
        deliveries.set_status(tx, original, sdk.Status.WITHDRAWN, reason=None, at=tx.now(), by=by)
        deliveries.stop_polling(tx, original.id)
