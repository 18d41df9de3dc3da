"""Whatever happens in whatever order, on the real store: nothing is lost, nothing is sent twice blindly.

The rules are what can happen; what must hold after each is in promises.py. FAULTS_EXAMPLES makes the run longer.
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import ClassVar, TypeVar

import pytest
from gateway_sdk import Status
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.delivery import decisions
from gateway.policy.lifecycle import State
from gateway.store.deliveries import Delivery
from tests.faults.pretended import promises
from tests.faults.pretended.offices import NAMES, REFUGE, WEATHER
from tests.faults.pretended.workers import STEPS, Bell, asks_a_person, dies
from tests.faults.pretended.world import Agreed, World

T = TypeVar("T")
EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "60"))

places = st.integers(0, 1000)  # of a list, whose length is not known before
agencies = st.sampled_from(NAMES)
weather = st.sampled_from(WEATHER)
pauses = st.sampled_from([timedelta(seconds=1), timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=2)])
news = st.sampled_from([Status.ACCEPTED, Status.DECLINED, Status.IN_PROGRESS, Status.COMPLETED])


def one_of(choice: Sequence[T], place: int) -> T:
    return choice[place % len(choice)]


OVERTAKERS = ["another_with_the_same_bell", "others_when_its_lease_ended", "her_withdrawal", "a_pause"]


class AnyOrder(RuleBasedStateMachine):
    """The rules have no preconditions and do nothing when there is nothing to do: what hypothesis draws never
    depends on what the database says, so that a run can be repeated."""

    begin: ClassVar[Callable[[], World]]

    def __init__(self) -> None:
        super().__init__()
        self.world = self.begin()

    # A woman, her hub, her agencies

    @initialize(asked=st.sets(agencies, min_size=1))
    def a_woman_is_referred(self, asked: set[str]) -> None:
        self.world.submit(*sorted(asked))

    @rule(place=places, asked=st.sets(agencies, min_size=1), lasting=st.integers(1, 5), dying=st.booleans())
    def she_or_another_is_referred(self, place: int, asked: set[str], lasting: int, dying: bool) -> None:
        """The hub repeats itself when it got no answer, and otherwise for no reason."""
        if len(self.world.submitted) < 8:
            under = one_of([*self.agreed(), None, None], place) or self.world.agree(timedelta(hours=lasting))
            sent = self.world.submit(*sorted(asked), under=under, dying=dying)
        else:
            sent = one_of(self.world.submitted, place)
        if sent.receipt or self.world.in_force(sent.agreed):
            self.world.ask(sent)

    @rule(place=places)
    def she_withdraws(self, place: int) -> None:
        if agreed := one_of([*self.agreed(), None, None, None], place):
            self.world.withdraw(agreed)

    @rule(place=places, status=news, arrives=st.sampled_from(["now", "later", "an earlier one"]))
    def an_agency_works_on_a_case(self, place: int, status: Status, arrives: str) -> None:
        if cases := [
            (office, key)
            for name, office in self.world.offices.items()
            for key in office.open_cases()
            if name != REFUGE
        ]:
            office, key = one_of(cases, place)
            office.works_on(key, status, self.world.clock.now)
            if arrives != "later":
                self.world.callback(office, -1 if arrives == "now" else place % len(office.posted))

    # Delivery processes

    @rule(by=pauses, two=st.booleans(), lost=st.booleans())
    def time_passes_and_a_clock_ticks(self, by: timedelta, two: bool, lost: bool) -> None:
        if lost:
            self.world.workers.bells.clear()
        self.world.clock.passes(by)
        self.tick(two)

    def tick(self, two: bool = False) -> None:
        (self.world.workers.two_tick_at_once if two else self.world.workers.tick)()
        promises.trouble_stays_where_it_is(self.world)

    def bell(self, place: int, again: bool = False) -> Bell | None:
        """One from the broker, which may deliver it *again*; if there is none, the next that will be rung."""
        bells = self.world.workers.bells
        if not bells:
            self.world.clock.passes(timedelta(seconds=40))
            self.tick()
        if not bells:
            return None
        return bells[place % len(bells)] if again else bells.pop(place % len(bells))

    @rule(place=places, again=st.booleans(), weather=weather, together=st.booleans())
    def a_bell_is_answered(self, place: int, again: bool, weather: str, together: bool) -> None:
        if bell := self.bell(place, again):
            self.world.workers.answer(bell, weather, others=self.world.with_it(bell) if together else ())

    @rule(place=places, weather=weather, step=st.sampled_from(STEPS))
    def a_worker_dies(self, place: int, weather: str, step: str) -> None:
        if bell := self.bell(place):
            self.world.workers.answer(bell, weather, step, dies)

    @rule(place=places, weather=weather, step=st.sampled_from(STEPS[:-1]), by=st.sampled_from(OVERTAKERS))
    def a_worker_is_overtaken(self, place: int, weather: str, step: str, by: str) -> None:
        if bell := self.bell(place):
            self.world.workers.answer(bell, weather, step, lambda: getattr(self, by)(bell))

    @rule(place=places, weather=weather, step=st.sampled_from(STEPS), nth=st.integers(1, 3))
    def a_worker_dies_over_several(self, place: int, weather: str, step: str, nth: int) -> None:
        if bell := self.bell(place):
            self.world.workers.answer(bell, weather, step, dies, self.world.with_it(bell), nth)

    @rule(
        place=places, weather=weather, step=st.sampled_from(STEPS[:-1]), nth=st.integers(1, 3),
        by=st.sampled_from(OVERTAKERS),
    )  # fmt: skip
    def a_worker_with_several_is_overtaken(self, place: int, weather: str, step: str, nth: int, by: str) -> None:
        if bell := self.bell(place):
            others = self.world.with_it(bell)
            overtaken = one_of([bell, *others], place + nth)
            self.world.workers.answer(bell, weather, step, lambda: getattr(self, by)(overtaken), others, nth)

    def another_with_the_same_bell(self, bell: Bell) -> None:
        self.world.workers.answer(bell)

    def others_when_its_lease_ended(self, bell: Bell) -> None:
        for pause in (timedelta(minutes=2), timedelta(hours=2)):
            self.world.clock.passes(pause)
            self.tick()
            self.world.answer_all()

    def her_withdrawal(self, bell: Bell) -> None:
        agreed = self.world.rests[self.world.rows()[bell[0]].of or bell[0]]
        if not agreed.withdrawn:
            self.world.withdraw(agreed)

    def a_pause(self, bell: Bell) -> None:
        self.world.pause(self.world.rows()[bell[0]].agency)

    # People

    @rule(
        place=places, agency=agencies, verb=st.sampled_from(["decide", "decide", "send all again", "pause", "resume"])
    )
    def an_administrator_decides(self, place: int, agency: str, verb: str) -> None:
        if verb == "pause":
            self.world.pause(agency)
        elif verb == "resume":
            self.world.resume(agency)
        elif verb == "send all again":
            self.world.replay_all({one_of([State.DEAD, State.REFUSED, State.ASKING], place)})
        elif rows := self.decidable():
            row = one_of(rows, place)
            found_out = row.of or row.id in self.world.offices[row.agency].cases
            told = row.state is State.TASK or (found_out and place % 2)
            (self.world.confirm if told else self.world.replay)(row)

    @rule(place=places, verb=st.sampled_from(["open", "open", "give", "give", "declined", "withdrawn"]))
    def a_worker_of_the_hub_does_a_task(self, place: int, verb: str) -> None:
        if tasks := [row for row in self.world.rows().values() if row.state is State.TASK]:
            self.world.do_task(one_of(tasks, place), verb)

    # What there is to choose from

    def agreed(self) -> list[Agreed]:
        return [agreed for agreed in self.world.consents if self.world.in_force(agreed)]

    def decidable(self) -> list[Delivery]:
        rows = self.world.rows().values()
        return [row for row in rows if asks_a_person(row) or (decisions.open_to(row) and row.state is not State.ASKING)]

    # What must hold

    @invariant()
    def promises_are_kept(self) -> None:
        promises.check(self.world, promises.AFTER_EACH_STEP)

    def teardown(self) -> None:
        try:
            self.world.calm_down()
            promises.check(self.world, promises.AFTER_EACH_STEP + promises.IN_THE_END)
        finally:
            self.world.close()


@pytest.mark.timeout(300 + 10 * EXAMPLES)
def test_any_interleaving_keeps_the_promises(new_world: Callable[[], World]) -> None:
    class Here(AnyOrder):
        begin = staticmethod(new_world)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
