"""The places where a process is killed: before, after and in the middle of every step of a referral's walk.

A victim (``python -m tests.faults.victim "PLACE" NTH serve|worker``) is the ordinary gateway with one function
wrapped: at the nth time it sends SIGKILL to itself there, so that no handler, no ``finally`` and no buffer helps.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pkgutil import resolve_name
from typing import Any

SERVE, WORKER = "serve", "worker"


@dataclass(frozen=True)
class Place:
    """*target*: ``module:function`` or ``module:Class.method``.

    *manner*: ``before`` it, ``after`` it, ``found``: after it, when it returned something, or ``midway``: after half
    of the bytes it was given. *needs*: a place at which another has to die first, so that there is something to find.
    """

    name: str
    role: str
    target: str
    manner: str
    needs: str | None = None

    @property
    def step(self) -> str:
        return self.name.partition(":")[0]


PLACES = [
    Place("intake: read, before it is taken", SERVE, "gateway.intake:take", "before"),
    Place("intake: stored, before the commit", SERVE, "gateway.store.referrals:save", "found"),
    Place("intake: committed, before the answer", SERVE, "gateway.intake:take", "after"),
    Place("consent: recorded, before the commit", SERVE, "gateway.store.consents:save", "after"),
    Place("consent: withdrawn, before anything is stopped", SERVE, "gateway.store.consents:add_version", "after"),
    Place("consent: a delivery stopped, before the commit", SERVE, "gateway.delivery.behind:take_back", "after"),
    Place("consent: withdrawal committed, before the answer", SERVE, "gateway.delivery.changes:withdraw_consent", "after"),
    Place("claim: before the commit", WORKER, "gateway.store.deliveries:claim_due", "found"),
    Place("claim: committed, before the bell", WORKER, "gateway.delivery.outbox:_bundles", "found"),
    Place("claim: before the message is published", WORKER, "celery.app.task:Task.apply_async", "before"),
    Place("claim: message handed over", WORKER, "celery.app.task:Task.apply_async", "after"),
    Place("begin: message taken", WORKER, "gateway.delivery.attempt:Round.run", "before"),
    Place("begin: looked, before it is held", WORKER, "gateway.store.attempts:look", "found"),
    Place("begin: stated, before the commit", WORKER, "gateway.store.deliveries:put_move", "after"),
    Place("begin: committed as sending", WORKER, "gateway.delivery.beginning:_send", "found"),
    Place("send: opened and translated", WORKER, "gateway.wire:send", "before"),
    Place("send: connected, before the first byte", WORKER, "gateway.wire.transport:_Socket.sendall", "before"),
    Place("send: half of it written", WORKER, "gateway.wire.transport:_Socket.sendall", "midway"),
    Place("send: written, before the reply", WORKER, "gateway.wire.transport:_Reader.readinto", "before"),
    Place("send: reply in the socket's buffer", WORKER, "gateway.wire.transport:_Reader.readinto", "after"),
    Place("send: reply read, before it is settled", WORKER, "gateway.delivery.attempt:_exchange", "after"),
    Place("settle: about to, with the next one's beginning", WORKER, "gateway.delivery.attempt:Round._beside", "found",
          needs="begin: message taken"),
    Place("settle: before the one statement", WORKER, "gateway.delivery.settle:Outcome.put", "before"),
    Place("settle: stated, before the commit", WORKER, "gateway.delivery.settle:Outcome.put", "after"),
    Place("settle: attempt noted, before the move", WORKER, "gateway.store.attempts:note", "after"),
    Place("settle: failure moved, before the commit", WORKER, "gateway.delivery.settle:_failed", "after"),
    Place("settle: delivery moved, before the commit", WORKER, "gateway.delivery.settle:delivered", "after"),
    Place("settle: committed", WORKER, "gateway.delivery.settle:Outcome.settle", "after"),
    Place("settle: before the message is acknowledged", WORKER, "celery.worker.request:Request.acknowledge", "before"),
    Place("settle: message acknowledged", WORKER, "celery.worker.request:Request.acknowledge", "after"),
    Place("ask: before it is held", WORKER, "gateway.delivery.beginning:_ask", "before"),
    Place("ask: held, before the commit", WORKER, "gateway.store.deliveries:take", "found"),
    Place("ask: committed, before the question", WORKER, "gateway.delivery.beginning:_ask", "found"),
    Place("ask: answered, before it is settled", WORKER, "gateway.delivery.settle:answer", "before"),
    Place("ask: applied, before the commit", WORKER, "gateway.delivery.feedback:apply", "after"),
    Place("ask: settled", WORKER, "gateway.delivery.settle:answer", "after"),
    Place("take back: before it is held", WORKER, "gateway.delivery.beginning:_take_back", "before"),
    Place("take back: committed as sending", WORKER, "gateway.delivery.beginning:_take_back", "found"),
    Place("take back: applied, before the commit", WORKER, "gateway.delivery.feedback:taken_back", "after"),
    Place("callback: read, before it is taken", SERVE, "gateway.delivery.feedback:callback", "before"),
    Place("callback: remembered, before it is applied", SERVE, "gateway.store.deliveries:first_seen", "found"),
    Place("callback: applied, before the commit", SERVE, "gateway.delivery.feedback:apply", "after"),
    Place("callback: committed, before the answer", SERVE, "gateway.delivery.feedback:callback", "after"),
    Place("tidy: abandoned found, before they are doubted", WORKER, "gateway.store.deliveries:abandoned", "found",
          needs="send: written, before the reply"),
    Place("tidy: events placed, before the commit", WORKER, "gateway.store.events:place", "found"),
    Place("tidy: audit linked, before the commit", WORKER, "gateway.store.audit:link", "found"),
]  # fmt: skip

BY_NAME = {place.name: place for place in PLACES}


def arm(place: Place, nth: int, sign: signal.Signals) -> None:
    """In a victim: send *sign* to this process when it comes to *place* for the *nth* time."""
    owner, _, name = place.target.replace(":", ".").rpartition(".")
    holder = resolve_name(owner)
    original = getattr(holder, name)
    calls = count(1)

    def at_last() -> None:
        if next(calls) == nth:
            os.kill(os.getpid(), sign)

    setattr(holder, name, _wrapped(original, place.manner, at_last))


def _wrapped(original: Callable[..., Any], manner: str, at_last: Callable[[], None]) -> Callable[..., Any]:
    def before(*args: Any, **more: Any) -> Any:
        at_last()
        return original(*args, **more)

    def after(*args: Any, **more: Any) -> Any:
        result = original(*args, **more)
        if manner == "after" or result:
            at_last()
        return result

    def midway(owner: Any, data: Any) -> Any:
        original(owner, data[: len(data) // 2])
        at_last()
        return original(owner, data[len(data) // 2 :])

    return {"before": before, "after": after, "found": after, "midway": midway}[manner]
