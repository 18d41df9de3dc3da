"""The pretended world: women, hubs, administrators and agencies around a real gateway on a real database.

The clock, the agencies and the deaths of workers are pretended (clock.py, offices.py, workers.py); the store, the
claims, the tokens, the moves and every other line of the gateway are its own.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest

from gateway import intake
from gateway.delivery import by_hand, changes, decisions, feedback, replay
from gateway.delivery.room import PostRoom
from gateway.errors import ConsentMissing
from gateway.policy.lifecycle import Move, State
from gateway.settings import Settings
from gateway.store import callers, consents, referrals
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery, moving
from gateway.store.selections import Selection
from gateway.store.session import Store
from tests.support import ALL_CATEGORIES, consent, referral

from .clock import Clock
from .offices import NAMES, TOKEN, Office
from .workers import Bell, Killed, Workers, dies, settled

HUB = Caller("glasgow-hub")
MONTH = timedelta(days=30)


@dataclass
class Agreed:
    """A consent, as she knows it."""

    id: str
    ends_at: datetime
    subject: str
    withdrawn: bool = False


@dataclass
class Submitted:
    """What a hub sent, so that it can send it again. *receipt*: None until it was answered."""

    draft: dict[str, Any]
    key: str
    agreed: Agreed
    receipt: referrals.Receipt | None = None


class World:
    """One life, on an empty database."""

    def __init__(self, store: Store, clock: Clock) -> None:
        clock.reset()
        self.store, self.clock = store, clock
        self._moves: set[tuple[State, Move]] = set()
        self.offices = {name: Office(name) for name in NAMES}
        self.room = PostRoom(
            store,
            {name: office.agency for name, office in self.offices.items()},
            Settings(retry=["5m", "30m"], ask=["30s", "2m"], poll=["10m"], poll_for="1d", jitter=0),  # type: ignore[list-item,arg-type]
        )
        self.workers = Workers(
            self.room, self.offices, clock,
            agreed=lambda key: self.in_force(self.rests[key]),
            expired=lambda key: self.clock.now >= self.rests[key].ends_at,
        )  # fmt: skip
        self.submitted: list[Submitted] = []
        self.consents: list[Agreed] = []
        self.rests: dict[str, Agreed] = {}  # delivery: the consent it rests on
        self.allowed: Counter[str] = Counter()  # delivery: how often it may arrive where nobody can tell
        with store.begin() as tx:
            callers.add_hub(tx, HUB.hub, by="test")
        self._patches = self._patched()

    def _patched(self) -> ExitStack:
        numbers, after = count(1), moving.after

        def noting(state: State, verb: Move) -> State:
            self._moves.add((state, verb))
            return after(state, verb)

        stack = self.workers.patches()
        stack.enter_context(patch.object(moving, "after", noting))
        # ids in the order of their making, so that a failing example can be played again
        stack.enter_context(patch("gateway.ids.new", lambda prefix: f"{prefix}_{next(numbers):017d}"))
        return stack

    def close(self) -> None:
        self._patches.close()

    # Women and their hub

    def agree(self, lasting: timedelta = MONTH) -> Agreed:
        ends_at = self.clock.now + lasting
        record = consent(
            {}, ends_at=ends_at.isoformat(), subject=f"GLA-{len(self.consents) // 2}"
        )  # some are hers, too
        record["permits"] = [{"recipients": NAMES, "purposes": ["housing"], "categories": ALL_CATEGORIES}]
        with self.store.begin() as tx:
            agreed = Agreed(consents.save(tx, record, hub=HUB.hub), ends_at, record["subject"])
        self.consents.append(agreed)
        return agreed

    def in_force(self, agreed: Agreed) -> bool:
        return not agreed.withdrawn and self.clock.now < agreed.ends_at

    def submit(self, *agencies: str, under: Agreed | None = None, dying: bool = False) -> Submitted:
        """A referral. *dying*: the web process dies when all is written and nothing is committed."""
        agreed = under or self.agree()
        draft = referral(agreed.id, subject=agreed.subject)
        draft["requests"] = [{"agency": agency, "purpose": "housing", "ask": "Help."} for agency in agencies]
        sent = Submitted(draft, f"key {len(self.submitted)}", agreed)
        self.submitted.append(sent)
        with ExitStack() as stack:
            if dying:
                save = referrals.save
                stack.enter_context(patch.object(referrals, "save", lambda *args: (save(*args), dies())))
                stack.enter_context(suppress(Killed))
            self.ask(sent)
        return sent

    def ask(self, sent: Submitted) -> None:
        """The hub sends *sent*: for the first time, or again, with the same key and for the same answer."""
        body = json.dumps(sent.draft).encode()
        receipt = intake.submit(self.store, self.room.agencies, sent.draft, body, sent.key, HUB)
        assert sent.receipt in (None, receipt)
        sent.receipt = receipt
        for identifier in receipt.deliveries.values():
            self.rests[identifier] = sent.agreed
            self.allowed[identifier] = max(1, self.allowed[identifier])

    def withdraw(self, agreed: Agreed) -> None:
        agreed.withdrawn = True
        changes.withdraw_consent(self.room, agreed.id, HUB)

    def do_task(self, task: Delivery, verb: str) -> None:
        """By hand: *verb* is to ``open`` the sheet, to ``give`` it to the agency, or that it was ``declined`` or ``withdrawn``."""
        if verb in ("declined", "withdrawn"):
            if verb == "declined" or task.kind == "referral":
                by_hand.answered(self.room, task.id, {"status": verb}, HUB)
            return
        with self._only_with_consent(task) as agreed:
            if verb == "open":
                by_hand.sheet(self.room, task.id, HUB)
            else:
                by_hand.given(self.room, task.id, {"at": self.clock.now.isoformat(), "to": "Duty officer"}, HUB)
        if agreed and verb == "give":
            office = self.offices[task.agency]
            office.give_back(task.of) if task.of else office.take_in(task.id)

    @contextmanager
    def _only_with_consent(self, delivery: Delivery) -> Iterator[bool]:
        """What may be done to a referral only while she agrees. Gives whether she does."""
        agreed = delivery.of is not None or self.in_force(self.rests[delivery.id])
        with nullcontext() if agreed else pytest.raises(ConsentMissing):
            yield agreed

    # Administrators

    def replay(self, delivery: Delivery) -> None:
        with self._only_with_consent(delivery) as agreed:
            decisions.replay(self.room, delivery.id, by="admin:a", reason="send it")
        if agreed:
            self._may_arrive_again(delivery)

    def replay_all(self, states: set[State]) -> None:
        for row in self.rows().values():
            if row.state in states and (row.of or self.in_force(self.rests[row.id])):
                self._may_arrive_again(row)
        replay.carry_out(self.room, Selection(frozenset(states)), by="admin:a", reason="they are back")

    def _may_arrive_again(self, delivery: Delivery) -> None:
        self.allowed[delivery.id] = self.offices[delivery.agency].arrived[delivery.id] + 1

    def confirm(self, delivery: Delivery) -> None:
        """Somebody found out that the agency has it; a withdrawal is told there and then."""
        if delivery.of:
            self.offices[delivery.agency].give_back(delivery.of)
        decisions.confirm(self.room, delivery.id, by="admin:a", reason="they have it")

    def pause(self, agency: str) -> None:
        decisions.pause(self.room, agency, by="admin:a", reason="they move house")

    def resume(self, agency: str) -> None:
        decisions.resume(self.room, agency, by="admin:a", reason="they are back")

    # Agencies

    def callback(self, office: Office, place: int) -> None:
        """What *office* posted arrives; perhaps not for the first time."""
        feedback.callback(self.room, office.agency.name, {"authorization": f"Bearer {TOKEN}"}, office.posted[place])

    # All of it

    def rows(self) -> dict[str, Delivery]:
        with self.store.begin() as tx:
            return {row["id"]: Delivery.of_row(row) for row in tx.all("SELECT * FROM deliveries ORDER BY id")}

    def changes(self) -> set[tuple[State, State]]:
        """Every change of a delivery's state so far, whoever made it: the database noted them."""
        with self.store.begin() as tx:
            rows = tx.all("SELECT DISTINCT was, became FROM changes")
        return {(State(row["was"]), State(row["became"])) for row in rows}

    def moves(self) -> set[tuple[State, Move]]:
        """Every move so far. A claim is part of a larger statement, and known by the change alone."""
        return self._moves | (
            {(State.WAITING, Move.CLAIM)} if (State.WAITING, State.QUEUED) in self.changes() else set()
        )

    def bell(self) -> Bell:
        """The next that is rung."""
        self.workers.tick()
        return self.workers.bells.pop()

    def with_it(self, bell: Bell) -> list[Bell]:
        """What else the broker has for the agency of *bell*, as if it had come in one message."""
        rows, bells = self.rows(), self.workers.bells
        found = [one for one in bells if rows[one[0]].agency == rows[bell[0]].agency]
        bells[:] = [one for one in bells if one not in found]
        return [one for one in dict.fromkeys(found) if one != bell]

    def answer_all(self, weather: str = "fine") -> None:
        while self.workers.bells:
            first = self.workers.bells.pop(0)
            self.workers.answer(first, weather, others=self.with_it(first))

    def calm_down(self) -> None:
        """From now on nothing goes wrong: agencies answer, workers live. It ends when all is settled, or after a day."""
        for agency in self.offices:
            self.resume(agency)
        for _ in range(24):
            self.clock.passes(timedelta(hours=1))
            for _ in range(2):
                self.workers.tick()
                self.answer_all()
            for row in self.rows().values():
                if row.state is State.TASK:
                    may = row.of or self.in_force(self.rests[row.id])
                    self.do_task(row, "give" if may else "withdrawn")
            if all(map(settled, self.rows().values())):
                break
