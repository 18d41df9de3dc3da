"""Whatever happens in whatever order, on the real store: nothing is lost, nothing is sent twice blindly.

The clock and the agencies are pretended; the database, the claims, the tokens and the moves are real.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import UUID

import gateway_sdk as sdk
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway import intake
from gateway.delivery import attempt, changes, decisions, outbox, replay
from gateway.delivery.room import PostRoom
from gateway.errors import ConsentMissing, MaybeSent, NotSent
from gateway.plugins import Agency
from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.settings import AgencySettings, Settings
from gateway.store import audit, callers, consents, deliveries
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from gateway.store.selections import Selection
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.support import ALL_CATEGORIES, consent, referral

HUB = Caller("glasgow-hub")
ENDS = {State.DELIVERED, State.REFUSED, State.DEAD, State.WITHDRAWN}
WEATHER = ["fine", "closed", "refuses", "no connection", "request lost", "reply lost"]
_numbers = count(1)
seen_moves: Counter[tuple[str, str]] = Counter()


class Killed(BaseException):
    """The process died here."""


class Plain(sdk.Adapter):
    """Neither keeps keys nor can be asked."""

    purpose = "housing"
    needs = sdk.needs("/person/name", "/request/ask")

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/referrals", json={"key": referral.delivery_key})

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        match reply.status:
            case 200:
                return sdk.Delivered()
            case 503:
                return sdk.Unavailable("HTTP 503")
            case _:
                return sdk.Refused("HTTP 422")

    def withdraw(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/withdrawals", json={"key": sent.delivery_key})


class Keyed(Plain):
    """Keeps one referral for one key."""

    idempotent = True


class Asked(Plain):
    """Says what it has."""

    def ask(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("GET", "/referrals", json={"key": sent.delivery_key})

    def read_update(self, reply: sdk.Reply) -> sdk.Answer:
        if reply.status != 200:
            return sdk.Unavailable("HTTP 503")
        return sdk.Update(sdk.Status.SENT) if reply.json["has"] else sdk.NotFound()


class Machine(RuleBasedStateMachine):
    database: ClassVar[str]
    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        number = next(_numbers)
        kinds = {"plain": Plain, "keyed": Keyed, "asked": Asked}
        chosen = AgencySettings(adapter="none", base_url="https://a.example", areas=["glasgow"], window=3)
        self.agencies = {f"{name}-{number}": Agency(f"{name}-{number}", kind(), chosen) for name, kind in kinds.items()}
        quick = Settings(retry=["1h", "1h"], ask=["1h", "1h"], jitter=0, lease="1h")  # type: ignore[list-item,arg-type]
        self.room = PostRoom(self.store, self.agencies, quick)
        self.weather = "fine"
        self.die: str | None = None
        self.arrived: Counter[str] = Counter()  # how often an agency took a referral in
        self.allowed: Counter[str] = Counter()  # how often it may have been, at an agency without keys or answers
        self.kept: set[str] = set()
        self.paused: set[str] = set()
        self.bells: list[tuple[str, UUID]] = []
        self.consents: dict[str, str] = {}  # delivery: consent
        self.withdrawn: dict[str, int] = {}  # delivery: arrivals when consent was withdrawn and nothing was on the wire
        self._patches = [
            patch.object(attempt.wire, "send", self.agency),
            # in the order of their making, so that a failing example can be played again
            patch("gateway.ids.new", lambda prefix: f"{prefix}_{next(_numbers):017d}"),
        ]
        for one in self._patches:
            one.start()

    # The agency, and death on the wire

    def agency(self, request: sdk.RestRequest, target: Any, **_: Any) -> sdk.Reply:
        key = request.json["key"]
        assert target.name not in self.paused
        if self.die == "before":
            raise Killed
        if self.weather == "no connection":
            raise NotSent("connect_failed")
        if self.weather == "request lost":
            raise MaybeSent("timeout")
        if self.weather in ("closed", "refuses"):
            return sdk.Reply(503 if self.weather == "closed" or request.method == "GET" else 422)
        reply = sdk.Reply(200, {}, json.dumps({"has": key in self.kept}).encode())
        if request.path == "/withdrawals":
            self.kept.discard(key)
        elif request.method == "POST":
            if not (target.name.startswith("keyed") and key in self.kept):
                self.arrived[key] += 1
            self.kept.add(key)
        if self.die == "after":
            raise Killed
        if self.weather == "reply lost":
            raise MaybeSent("connection_lost")
        return reply

    # What can happen

    @rule(kind=st.sampled_from(["plain", "keyed", "asked"]))
    def submit(self, kind: str) -> None:
        agency = next(name for name in self.agencies if name.startswith(kind))
        record = consent({})
        record["permits"] = [{"recipients": [agency], "purposes": ["housing"], "categories": ALL_CATEGORIES}]
        with self.store.begin() as tx:
            agreed = consents.save(tx, record, hub=HUB.hub)
        draft = referral(agreed)
        draft["requests"] = [{"agency": agency, "purpose": "housing", "ask": "Help."}]
        taken = intake.submit(self.store, self.agencies, draft, json.dumps(draft).encode(), agreed, HUB)
        self.consents[taken.deliveries[agency]] = agreed
        self.allowed[taken.deliveries[agency]] = 1

    @rule()
    def tick(self) -> None:
        rung: list[tuple[str, UUID]] = []
        outbox.tick(self.room, rung.extend)
        self.bells += sorted(rung)

    @precondition(lambda self: self.bells)
    @rule(
        data=st.data(),
        weather=st.sampled_from(WEATHER),
        die=st.sampled_from([None, None, None, "before", "after", "settling"]),
        again=st.booleans(),
    )
    def a_bell_is_answered(self, data: st.DataObject, weather: str, die: str | None, again: bool) -> None:
        """By a worker that may die at any step; the message may be delivered again."""
        place = data.draw(st.integers(0, len(self.bells) - 1))
        bell = self.bells[place] if again else self.bells.pop(place)
        self.weather = weather
        self.run(bell, die)

    def run(self, bell: tuple[str, UUID], die: str | None) -> None:
        def dying(*args: Any) -> None:
            raise Killed

        self.die = die
        try:
            if die == "settling":
                with patch.object(attempt.settle, "outcome", dying), patch.object(attempt.settle, "answer", dying):
                    attempt.run(self.room, *bell)
            else:
                attempt.run(self.room, *bell)
        except Killed:
            pass
        self.die = None

    @precondition(lambda self: self.bells)
    @rule()
    def the_broker_loses_everything(self) -> None:
        self.bells.clear()

    @rule()
    def time_passes(self) -> None:
        with self.store.begin() as tx:
            tx.run(
                "UPDATE deliveries SET due_at = now() - interval '1 s' WHERE agency = ANY(%(names)s) AND due_at IS NOT NULL",
                {"names": list(self.agencies)},
            )
            tx.run("UPDATE agency_health SET probe_at = now() - interval '1 s' WHERE probe_at IS NOT NULL")

    @precondition(lambda self: set(self.consents) - set(self.withdrawn))
    @rule(data=st.data())
    def she_withdraws(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(set(self.consents) - set(self.withdrawn))))
        self.withdrawn[chosen] = self.arrived[chosen]
        changes.withdraw_consent(self.room, self.consents[chosen], HUB)

    @precondition(lambda self: self.decidable())
    @rule(data=st.data(), verb=st.sampled_from(["replay", "confirm"]))
    def a_person_decides(self, data: st.DataObject, verb: str) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.decidable())))
        if verb == "confirm" and chosen.state is State.ASKING:
            decisions.confirm(self.room, chosen.id, by="admin:a", reason="they said so")
        elif chosen.id in self.withdrawn:
            with pytest.raises(ConsentMissing):
                decisions.replay(self.room, chosen.id, by="admin:a", reason="send it")
        else:
            self.allowed[chosen.id] += 1
            decisions.replay(self.room, chosen.id, by="admin:a", reason="send it")

    @rule(states=st.sampled_from([{State.DEAD}, {State.DEAD, State.REFUSED}, {State.ASKING}]))
    def a_person_sends_all_of_them_again(self, states: set[State]) -> None:
        for chosen in self.decidable():
            if chosen.state in states and chosen.id not in self.withdrawn:
                self.allowed[chosen.id] += 1
        replay.carry_out(self.room, Selection(frozenset(states)), by="admin:a", reason="they are back")

    @rule(kind=st.sampled_from(["plain", "keyed", "asked"]), stop=st.booleans())
    def a_person_pauses_or_resumes(self, kind: str, stop: bool) -> None:
        agency = next(name for name in self.agencies if name.startswith(kind))
        (decisions.pause if stop else decisions.resume)(self.room, agency, by="admin:a", reason="x")
        (self.paused.add if stop else self.paused.discard)(agency)

    # What must hold

    def rows(self) -> list[Delivery]:
        with self.store.begin() as tx:
            found = tx.all("SELECT * FROM deliveries WHERE agency = ANY(%(names)s)", {"names": list(self.agencies)})
        return [Delivery.of_row(row) for row in found]

    def decidable(self) -> list[Any]:
        waiting = [
            d
            for d in self.rows()
            if d.state in (State.DEAD, State.REFUSED) or (d.state is State.ASKING and d.due_at is None)
        ]
        return [Choice(d.id, d.state) for d in waiting if d.kind == "referral"]

    @invariant()
    def nothing_is_lost(self) -> None:
        rows = {row.id: row for row in self.rows()}
        assert set(self.consents) <= set(rows)
        for row in rows.values():
            waits_for_a_person = row.state is State.ASKING and row.due_at is None
            waits_behind = row.state is State.HELD and row.of in rows
            assert row.state in ENDS or row.due_at is not None or waits_for_a_person or waits_behind, row

    @invariant()
    def nothing_is_sent_twice_blindly(self) -> None:
        for key, times in self.arrived.items():
            assert times <= self.allowed[key], f"arrived {times} times, allowed {self.allowed[key]}"

    @invariant()
    def nothing_leaves_after_a_withdrawal(self) -> None:
        for key, before in self.withdrawn.items():
            assert self.arrived[key] == before, "it arrived after she withdrew"

    def teardown(self) -> None:
        try:
            self.weather = "fine"
            for agency in sorted(self.paused):
                decisions.resume(self.room, agency, by="admin:a", reason="x")
            self.paused.clear()
            for _ in range(12):
                self.time_passes()
                self.tick()
                while self.bells:
                    self.run(self.bells.pop(), None)
            for row in self.rows():
                settled = row.state in ENDS or (row.state is State.ASKING and row.due_at is None)
                assert settled or (row.state is State.HELD and self.original(row).state is State.ASKING), row
                if row.state is State.DELIVERED and row.kind == "referral" and row.id not in self.withdrawn:
                    assert self.arrived[row.id] >= 1 or self.allowed[row.id] > 0
            with self.store.begin() as tx:
                assert audit.verify(tx).broken is None
        finally:
            for one in self._patches:
                one.stop()

    def original(self, row: Delivery) -> Delivery:
        with self.store.begin() as tx:
            return deliveries.get(tx, row.of or "")


class Choice:
    """A delivery a person may decide about; told by its kind of trouble alone, so that examples are readable."""

    def __init__(self, identifier: str, state: State) -> None:
        self.id, self.state = identifier, state

    def __lt__(self, other: "Choice") -> bool:
        return self.id < other.id


@pytest.fixture
def machine(new_database: Callable[[], str]) -> Iterator[type[Machine]]:
    store = Store(new_database(), Vault(generate()), 3).open()
    with store.begin() as tx:
        callers.add_hub(tx, HUB.hub, by="test")
    original = deliveries.after

    def noting(state: State, verb: Move) -> State:
        seen_moves[state, verb] += 1
        return original(state, verb)

    with patch.object(deliveries, "after", noting):
        yield type("Bound", (Machine,), {"store": store})
    store.close()


def test_any_interleaving_keeps_the_promises(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
    assert not [move for move in seen_moves if move not in DELIVERY]
    assert len(seen_moves) > 12
