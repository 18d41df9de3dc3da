"""Attempts, start to finish: begin under the token, make the request, send it, settle what came of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import gateway_sdk as sdk

from gateway import logs, telemetry, wire
from gateway.errors import MaybeSent, NotSent, Sealed
from gateway.store import attempts
from gateway.store.attempts import Look
from gateway.store.session import StoreUnavailable

from . import settle, sound, trace
from .beginning import begin
from .room import PostRoom
from .settle import Outcome
from .stages import Ask, Letter, Parcel, Send

log = logs.get()

AGAIN = 0.25  # seconds between two attempts to settle while the database is away
FRESH = 0.25  # seconds for which a look may be used: what it says of breaker and area is no older


class Round:
    """Attempts at a *bundle* of deliveries of one agency, ``[(id, token), …]``, one after another.

    They are looked at together, and what came of one is settled in the commit that begins the next: a round trip for
    each, instead of three. Not if both are about the same woman: who changes something about her locks several of her
    deliveries, in another order perhaps. What one came to is settled before anything else is sent, and at the end().
    """

    def __init__(self, room: PostRoom, bundle: Sequence[tuple[str, UUID]]) -> None:
        self.room, self.bundle = room, list(bundle)
        self._looked: float = 0.0  # of time.monotonic()
        self._looks: dict[tuple[str, UUID], Look | None] = {}
        self._unsettled: Outcome | None = None
        self._woman: bytes | None = None  # whom that is about
        self._until = 0.0

    def run(self, identifier: str, token: UUID) -> None:
        """Carry out what is due for a delivery of the bundle. Does nothing unless *token* still holds it.

        The deadline counts from before the lease does: a process that stood still after it took hold of the delivery, and
        goes on when another has long decided what became of it, finds the time over and sends nothing.
        """
        began = time.monotonic()
        look = self._look((identifier, token))
        try:
            stage = begin(self.room, look, self._beside(look)) if look else None
        except Exception:  # whatever it is: what came of the one before is known here and nowhere else
            self.end()
            raise
        self.end()
        if look is None or stage is None:
            return
        self._woman = look.woman
        with trace.attempt(stage.delivery, began) as span:
            self._carry_out(stage, began, span)

    def end(self) -> None:
        """Settle what the last one came to."""
        if self._unsettled:
            outcome, self._unsettled = self._unsettled, None
            _insist(outcome.settle, self._until)

    def _look(self, bell: tuple[str, UUID]) -> Look | None:
        if bell not in self._looks or time.monotonic() > self._looked + FRESH:
            self.end()
            rest, self._looked = self.bundle[self.bundle.index(bell) :], time.monotonic()
            self._looks = dict(zip(rest, attempts.look(self.room.store, rest), strict=True))
        look = self._looks.pop(bell)
        return look and replace(look, at=look.at + timedelta(seconds=time.monotonic() - self._looked))

    def _beside(self, look: Look) -> Outcome | None:
        return self._unsettled if look.woman != self._woman else None

    def _carry_out(self, stage: Send | Ask, began: float, span: telemetry.Span) -> None:
        started = time.monotonic()
        result = _exchange(self.room, stage, began)
        seconds = time.monotonic() - started
        self.room.took(stage.agency.name, seconds)
        trace.tell(span, stage.agency, result)
        self._until = began + self.room.settings.lease.total_seconds()
        if isinstance(stage, Send):
            assert not isinstance(result, sdk.Update | sdk.NotFound)
            parcel = stage.content if isinstance(stage.content, Parcel | Letter) else None
            carried = (parcel.referral, parcel.places) if parcel else (None, ())
            self._unsettled = settle.outcome(self.room, stage.delivery, stage.agency, result, seconds, *carried)
            if self._unsettled.simple:
                return  # it can wait for the next one to begin
            self.end()
        else:
            assert not isinstance(result, sdk.Delivered | sdk.Refused | settle.Unmade)
            settling = partial(settle.answer, self.room, stage.delivery, stage.agency, result, seconds)
            _insist(settling, self._until)
        self._looks.clear()  # the agency may be seen in another light


def _insist(settling: Callable[[], None], until: float) -> None:
    """Settle, again and again while the database is away: what came of the attempt is known here and nowhere else.

    To settle twice does no harm: the token is gone. *until*: of time.monotonic(); then it is in doubt.
    """
    while True:
        try:
            return settling()
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN)


def _exchange(room: PostRoom, stage: Send | Ask, began: float) -> sdk.Outcome | sdk.Answer | settle.Unmade:
    """Translate, send, read. The adapter's mistakes and the network's become outcomes."""
    try:
        request = sound.request(stage.request(room))
    except Sealed:
        log.error("record does not open", delivery=stage.delivery.id)
        return settle.Unmade("record_damaged")
    except Exception as error:  # an adapter is code we did not write
        log.error("adapter failed", adapter=stage.agency.settings.adapter, delivery=stage.delivery.id, exc_info=error)
        return settle.Unmade("adapter_error")
    if request is None:
        return settle.Unmade(settle.BY_HAND.get(stage.delivery.kind, "adapter_error"))
    with telemetry.span("wire.send", delivery=stage.delivery.id, agency=stage.agency.name) as span:
        result = _ask_them(room, stage, request, began, trace.headers(span, stage.agency))
        trace.tell(span, stage.agency, result)
        return result


def _ask_them(
    room: PostRoom, stage: Send | Ask, request: sdk.Request, began: float, headers: Mapping[str, str]
) -> sdk.Outcome | sdk.Answer:
    """Send *request* and read what comes back."""
    try:
        reply = wire.send(request, room.target(stage.agency), extra_headers=headers, began=began)
    except NotSent as error:
        return sdk.Unavailable(error.code)
    except MaybeSent as error:
        return sdk.Uncertain(error.code)
    try:
        return stage.read(reply)
    except Exception as error:
        log.warning(
            "reply unreadable", adapter=stage.agency.settings.adapter, delivery=stage.delivery.id, exc_info=error
        )
        return sdk.Uncertain("unreadable")
