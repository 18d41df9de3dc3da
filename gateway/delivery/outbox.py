"""The clock's work: find what is due and ring the bell for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from gateway import logs
from gateway.policy.breaker import Limits
from gateway.policy.calls import stand
from gateway.policy.lifecycle import Move
from gateway.store import audit, checkpoints, deliveries, events, figures, health, pace, webhooks
from gateway.store.deliveries import Window
from gateway.store.session import Tx

from . import behind, changes, standing
from .room import PostRoom

log = logs.get()

Bell = Callable[[Sequence[tuple[str, UUID]]], None]
"""Rings for a bundle: deliveries of one agency, ``(id, token)``, to be carried out one after another."""

WEBHOOK = 2  # calls in flight to one webhook
WEBHOOKS = "every webhook"  # whose turn it is to claim for them; no agency has a name like this
BUNDLE = 8  # at most so many in one message


def tick(room: PostRoom, ring: Bell, most: int = 200) -> int:
    """One round of everything: tidy(), then claim(). Returns how many were rung for."""
    tidy(room)
    return claim(room, ring, most)


def tidy(room: PostRoom) -> None:
    """Doubt what was abandoned, stop what rests on a consent that ended, place events and queue them for hubs' webhooks,
    link the audit and now and then sign it, keep the totals."""
    _doubt_abandoned(room)
    changes.expire(room)
    with room.store.begin() as tx:
        events.place(tx)
        audit.link(tx)
        signed = checkpoints.sign(tx, room.notary, room.settings.audit_every) if room.notary else None
    if signed and room.settings.audit_file:
        with room.settings.audit_file.open("a") as file:
            file.write(json.dumps(signed.document()) + "\n")
    with room.store.begin() as tx:
        webhooks.queue_events(tx)
    with room.store.begin() as tx:
        figures.fold(tx)


def claim(room: PostRoom, ring: Bell, most: int = 200) -> int:
    """Claim what is due and ring for each. Returns how many.

    Claims are committed before the bell: what rings is true, and what the broker loses is
    rung for again when its lease ends.
    """
    with room.store.begin() as tx:
        windows = _windows(room, tx)
        claimed = deliveries.claim_due(tx, windows, most=most, lease=room.settings.lease)
    for bundle in _bundles(room, claimed):
        ring(bundle)
    return len(claimed)


def _bundles(room: PostRoom, claimed: Sequence[deliveries.Claimed]) -> list[list[tuple[str, UUID]]]:
    """One message for several, where a message costs more than it gives.

    That is when more is in flight than half of the threads, and the agency answers quickly: behind a slow call
    nothing shall wait that another thread could carry out.
    """
    in_flight = len(claimed) + sum({one.agency: one.held for one in claimed}.values())
    size = max(1, min(BUNDLE, 2 * in_flight // room.settings.threads))
    bundles: list[list[tuple[str, UUID]]] = []
    filling: dict[str, list[tuple[str, UUID]]] = {}
    for one in claimed:
        bundle = filling.get(one.agency)
        if bundle is None or len(bundle) >= size or not room.is_quick(one.agency):
            filling[one.agency] = bundle = []
            bundles.append(bundle)
        bundle.append((one.id, one.token))
    return bundles


def _windows(room: PostRoom, tx: Tx) -> dict[str, Window]:
    """What may be claimed for each agency that may be called, one call where its breaker wants to see; and for webhooks.

    Not for those that another process is claiming for: two at once would each fill the window.
    """
    turns, due = pace.put_turns(tx, [*room.agencies, WEBHOOKS]), webhooks.put_due(tx)
    standings = standing.everyones(room, tx)
    ours = {row["name"] for row in turns.fetchall()}
    windows = {}
    for name, stands in standings.items():
        agency, takes = room.agencies[name], stands.takes()
        if name not in ours or takes == frozenset():
            continue
        if stands.probing and not health.take_probe(tx, name, agency.breaker.pause):
            continue
        width = 1 if stands.probing else agency.settings.window
        windows[name] = Window(width, stands.minute.left if stands.minute else None, takes)
    return windows | _webhook_windows(room, tx, due.fetchall() if WEBHOOKS in ours else [])


def _webhook_windows(room: PostRoom, tx: Tx, due: Sequence[Mapping[str, Any]]) -> dict[str, Window]:
    """All webhooks together get no more than a quarter of the threads: hubs that answer slowly hold up no referral."""
    left = max(1, room.settings.threads // 4) - (due[0]["held"] if due else 0)
    windows = {}
    for row in due:
        stands = stand(row["now"], opened_at=row["opened_at"], probe_at=row["probe_at"])
        if left < 1 or stands.stops or (stands.probing and not health.take_probe(tx, row["id"], Limits().pause)):
            continue
        windows[row["id"]] = Window(1 if stands.probing else WEBHOOK, min(left, WEBHOOK))
        left -= WEBHOOK
    return windows


def _doubt_abandoned(room: PostRoom) -> None:
    """Each in a transaction of its own, so that its line is locked in everybody's order: the referral before what follows."""
    with room.store.single() as tx:
        found = deliveries.abandoned(tx)
    for seen in found:
        with room.store.begin() as tx:
            delivery, now = deliveries.lock(tx, seen.id), tx.now()
            if (delivery.token, delivery.state) != (seen.token, seen.state):
                continue  # another process was first, or its outcome came late
            if delivery.kind == "event":  # told again: the receiver tells a repeat by its id
                deliveries.put_move(tx, delivery, Move.RETRY, code="abandoned", due_at=now)
                continue
            due = room.ask_at(delivery.asks, now)
            doubted = deliveries.move(tx, delivery, Move.DOUBT, code="abandoned", due_at=due)
            if doubted:
                behind.release(tx, doubted)
            log.warning("abandoned", delivery=delivery.id, agency=delivery.agency)
