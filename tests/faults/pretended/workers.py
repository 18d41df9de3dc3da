"""Delivery processes: they claim, ring, answer bells, and at any step may die or be overtaken by something else."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import gateway_sdk as sdk

from gateway.delivery import attempt, outbox, settle
from gateway.delivery.room import PostRoom
from gateway.delivery.stages import Parcel, Send
from gateway.errors import MaybeSent, NotSent
from gateway.plugins import Agency
from gateway.policy.lifecycle import State
from gateway.store import attempts, deliveries
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx
from gateway.wire import Target

from .clock import Clock
from .offices import Office

STEPS = ["looked", "begun", "taken in", "answered", "half settled"]
"""Before it begins; before the first byte; after the last one; before it settles; in the middle, before the commit."""

Bell = tuple[str, UUID]
ENDS = {State.DELIVERED, State.REFUSED, State.DEAD, State.WITHDRAWN}


def asks_a_person(row: Delivery) -> bool:
    return row.state is State.ASKING and row.due_at is None


def settled(row: Delivery) -> bool:
    """As far as the gateway can."""
    return row.state in ENDS or asks_a_person(row)


class Killed(BaseException):
    """The process died here."""


def dies() -> None:
    raise Killed


class Workers:
    """The delivery processes of one *room*, and the broker between them.

    *agreed* and *expired* say how the consent stands that a delivery rests on.
    """

    def __init__(
        self,
        room: PostRoom,
        offices: Mapping[str, Office],
        clock: Clock,
        agreed: Callable[[str], bool],
        expired: Callable[[str], bool],
    ) -> None:
        self.room, self.offices, self.clock, self.agreed, self.expired = room, offices, clock, agreed, expired
        self.bells: list[Bell] = []  # on the broker; some may be stale
        self.known: Counter[tuple[str, str]] = Counter()  # (message, outcome) of exchanges whose worker lived to tell
        self._weather = "fine"
        self._meanwhile: tuple[str, int, Callable[[], None]] | None = None
        self._untold: tuple[str, str] | None = None  # (message, outcome) of the exchange that is being settled
        self._allowed: dict[str, bool] = {}

    def tick(self) -> None:
        outbox.tick(self.room, self._ring)

    def two_tick_at_once(self) -> None:
        """A second process claims, until it has done so or must wait, while the first has not committed."""
        claim = deliveries.claim_due
        second: list[Future[int]] = []

        def uncommitted(*args: Any, **more: Any) -> Any:
            claimed = claim(*args, **more)
            if not second:
                second.append(pool.submit(outbox.claim, self.room, self._ring))
                with suppress(StillWaiting):
                    second[0].result(timeout=0.5)
            return claimed

        with ThreadPoolExecutor(1) as pool, patch.object(deliveries, "claim_due", uncommitted):
            self.tick()
            second[0].result()

    def _ring(self, bundle: Sequence[Bell]) -> None:
        self.bells += sorted(bundle)

    def answer(
        self,
        bell: Bell,
        weather: str = "fine",
        step: str = "",
        meanwhile: Callable[[], None] = dies,
        others: Sequence[Bell] = (),
        nth: int = 1,
    ) -> None:
        """One worker answers *bell*, and *others* that came with it; at *step*, when it is reached for the *nth* time,
        something happens *meanwhile*: it dies, say."""
        if step == "half settled":
            meanwhile = dies  # it holds locks: nothing else could go on
        before = self._weather, self._meanwhile, self._untold
        self._weather, self._meanwhile, self._untold = weather, (step, nth, meanwhile), None
        bundle = [bell, *others]
        try:
            answering = attempt.Round(self.room, bundle)
            for one in bundle:
                answering.run(*one)
            answering.end()
        except Killed:
            if self._untold:
                self.known[self._untold] -= 1
        self._weather, self._meanwhile, self._untold = before

    def _at(self, step: str) -> None:
        if self._meanwhile and self._meanwhile[0] == step:
            _, nth, happens = self._meanwhile
            self._meanwhile = (step, nth - 1, happens) if nth > 1 else None
            if nth == 1:
                happens()

    def patches(self) -> ExitStack:
        """The gateway's own steps, with ours between them."""
        look, begin, note, outcome = attempts.look, attempt.begin, attempts.note, settle.outcome
        put, settle_it, answer = settle.Outcome.put, settle.Outcome.settle, settle.answer

        def looking(*args: Any) -> Any:
            found = look(*args)
            self._at("looked")
            return found

        def beginning(*args: Any) -> Any:
            stage = begin(*args)
            if isinstance(stage, Send) and isinstance(stage.content, Parcel):
                self._allowed[stage.delivery.id] = self.agreed(stage.delivery.id)
            return stage

        def noting(*args: Any) -> Any:
            noted = note(*args)
            self._at("half settled")
            return noted

        def coming_to(room: PostRoom, sent: Delivery, agency: Agency, result: object, *more: Any) -> Any:
            self._tells(sent, result)
            return outcome(room, sent, agency, result, *more)  # type: ignore[arg-type]

        def putting(came_to: settle.Outcome, tx: Tx) -> Any:
            moving = put(came_to, tx)
            self._at("half settled")
            return moving

        def settling(came_to: settle.Outcome) -> None:
            settle_it(came_to)
            self._untold = None

        def answering(room: PostRoom, asked: Delivery, agency: Agency, result: object, *more: Any) -> None:
            self._tells(asked, result)
            answer(room, asked, agency, result, *more)  # type: ignore[arg-type]
            self._untold = None

        stack = ExitStack()
        replaced: list[tuple[Any, str, Any]] = [
            (attempts, "look", looking), (attempt, "begin", beginning), (attempts, "note", noting),
            (settle, "outcome", coming_to), (settle.Outcome, "put", putting), (settle.Outcome, "settle", settling),
            (settle, "answer", answering),
            (attempt.wire, "send", self._send),
            (attempt, "time", SimpleNamespace(monotonic=self._monotonic)),
        ]  # fmt: skip
        for place, name, ours in replaced:
            stack.enter_context(patch.object(place, name, ours))
        return stack

    def _monotonic(self) -> float:
        return self.clock.now.timestamp()

    def _tells(self, delivery: Delivery, result: object) -> None:
        """The exchange is over, and nothing is written down yet."""
        if isinstance(result, settle.Unmade):  # the wire never saw it
            self.known[delivery.id, "unmade"] += 1
        self._untold = delivery.id, type(result).__name__.lower()
        self._at("answered")

    def _check(self, path: str, of: str) -> None:
        """What must be so when the first byte leaves."""
        if path == "/referrals":
            assert self._allowed[of], "the sending began without her consent"
            assert not self.expired(of), "it leaves when her consent has expired"
        else:
            with self.room.store.begin() as tx:
                assert settled(deliveries.get(tx, of)), "a withdrawal overtakes its referral"

    def _send(self, request: sdk.RestRequest, target: Target, *, began: float, **more: Any) -> sdk.Reply:
        """The wire."""
        self._at("begun")
        message, adapter = request.json["message"], self.offices[target.name].agency.adapter
        try:
            if self._monotonic() > began + target.deadline:
                raise NotSent("no_time_left")
            if self._weather != "no connection" and request.method == "POST":
                self._check(request.path, request.json["of"])
            reply = self.offices[target.name].take(request, self._weather, self.clock.now)
            self._at("taken in")
            if self._weather == "reply lost":
                raise MaybeSent("connection_lost")
        except (NotSent, MaybeSent) as error:
            self.known[message, "unavailable" if isinstance(error, NotSent) else "uncertain"] += 1
            raise
        read = adapter.read_update if request.method == "GET" else adapter.classify
        self.known[message, type(read(reply)).__name__.lower()] += 1
        return reply
