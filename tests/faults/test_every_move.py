"""Every move of the lifecycle table, made by the gateway itself, each with the shortest story that leads to it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import pytest

from gateway.policy.lifecycle import DELIVERY, Move, State
from gateway.store.deliveries import Delivery
from tests.faults.pretended import promises
from tests.faults.pretended.world import World

H, W, Q, S, A, T = State.HELD, State.WAITING, State.QUEUED, State.SENDING, State.ASKING, State.TASK


def only(world: World, kind: str = "referral") -> Delivery:
    [row] = [row for row in world.rows().values() if row.kind == kind]
    return row


def sent(world: World, agency: str, weather: str = "fine", step: str = "") -> None:
    """Submitted to *agency*, and answered by one worker."""
    world.submit(agency)
    world.workers.answer(world.bell(), weather, step)


def later(world: World, weather: str = "fine", **pause: float) -> None:
    """Time passes, and what is due then is done."""
    world.clock.passes(timedelta(**pause or {"hours": 1}))
    world.workers.tick()
    world.answer_all(weather)


def withdraw(world: World) -> None:
    world.withdraw(world.consents[0])


def nobody_can_say(world: World) -> None:
    """The reply of an agency that cannot be asked is lost."""
    sent(world, "plain", "reply lost")
    later(world)


def dead(world: World) -> None:
    sent(world, "plain", "no connection")
    later(world, "closed")
    later(world, "closed")
    assert only(world).state is State.DEAD


def held(world: World, weather: str) -> None:
    """A withdrawal waits for the asked agency's answer about a send of which the reply did not come."""
    sent(world, "asked", weather)
    withdraw(world)
    assert only(world, "withdrawal").state is State.HELD


def paused_after_the_claim(world: World) -> None:
    world.submit("plain")
    bell = world.bell()
    world.pause("plain")
    world.workers.answer(bell)


def refused_late(world: World) -> None:
    """The agency refused, and before the worker could settle it its lease ended."""

    def the_lease_ends() -> None:
        world.clock.passes(timedelta(minutes=2))
        world.workers.tick()

    world.submit("plain")
    world.workers.answer(world.bell(), "refuses", "answered", the_lease_ends)


def task(world: World, *verbs: str) -> None:
    sent(world, "refuge")
    for verb in verbs:
        world.do_task(only(world), verb)


def told_by_hand(world: World) -> None:
    """Its interface has no way to take a referral back."""
    sent(world, "mute")
    withdraw(world)
    later(world)


def confirmed_dead(world: World) -> None:
    """It was said to be closed, and had taken in what was sent before, as a person found out."""
    dead(world)
    world.offices["plain"].take_in(only(world).id)
    world.confirm(only(world))


def confirmed_refused(world: World) -> None:
    sent(world, "plain", "refuses")
    world.offices["plain"].take_in(only(world).id)
    world.confirm(only(world))


STORIES: Mapping[tuple[State, Move], Callable[[World], object]] = {
    (H, Move.RELEASE): lambda world: (held(world, "reply lost"), later(world)),
    (H, Move.WITHDRAW): lambda world: (held(world, "request lost"), later(world), later(world)),
    (W, Move.CLAIM): lambda world: (world.submit("plain"), world.bell()),
    (W, Move.WITHDRAW): lambda world: (world.submit("plain"), withdraw(world)),
    (Q, Move.DEFER): paused_after_the_claim,
    (Q, Move.BEGIN): lambda world: sent(world, "plain"),
    (Q, Move.WITHDRAW): lambda world: (world.submit("plain"), world.bell(), withdraw(world)),
    (Q, Move.HAND): task,
    (T, Move.DELIVER): lambda world: task(world, "open", "give"),
    (T, Move.CONFIRM): lambda world: (told_by_hand(world), world.confirm(only(world, "withdrawal"))),
    (T, Move.REFUSE): lambda world: task(world, "declined"),
    (T, Move.WITHDRAW): lambda world: (task(world), withdraw(world)),
    (S, Move.DELIVER): lambda world: sent(world, "plain"),
    (S, Move.REFUSE): lambda world: sent(world, "plain", "refuses"),
    (S, Move.RETRY): lambda world: sent(world, "plain", "closed"),
    (S, Move.EXHAUST): dead,
    (S, Move.HAND): told_by_hand,
    (S, Move.DOUBT): lambda world: sent(world, "plain", "reply lost"),
    (A, Move.REPEAT): lambda world: (sent(world, "keyed", "reply lost"), later(world)),
    (A, Move.DELIVER): lambda world: (sent(world, "asked", "reply lost"), later(world)),
    (A, Move.REFUSE): refused_late,
    (A, Move.RETRY): lambda world: (sent(world, "asked", "request lost"), later(world)),
    (A, Move.CONFIRM): lambda world: (nobody_can_say(world), world.confirm(only(world))),
    (A, Move.REPLAY): lambda world: (nobody_can_say(world), world.replay(only(world))),
    (A, Move.WITHDRAW): lambda world: (nobody_can_say(world), withdraw(world), later(world)),
    (State.DEAD, Move.REPLAY): lambda world: (dead(world), world.replay(only(world))),
    (State.DEAD, Move.CONFIRM): confirmed_dead,
    (State.DEAD, Move.WITHDRAW): lambda world: (dead(world), withdraw(world)),
    (State.REFUSED, Move.CONFIRM): confirmed_refused,
    (State.REFUSED, Move.REPLAY): lambda world: (sent(world, "plain", "refuses"), world.replay(only(world))),
}  # fmt: skip


@pytest.fixture
def world(new_world: Callable[[], World]) -> Iterator[World]:
    """In the end it is calm, and every promise was kept."""
    world = new_world()
    try:
        yield world
        world.calm_down()
        promises.check(world, promises.AFTER_EACH_STEP + promises.IN_THE_END)
    finally:
        world.close()


@pytest.mark.parametrize("pair", STORIES, ids="-".join)
def test_a_story_leads_to_it(world: World, pair: tuple[State, Move]) -> None:
    STORIES[pair](world)
    assert pair in world.moves()
    promises.check(world, promises.AFTER_EACH_STEP)


def test_there_is_a_story_for_every_move() -> None:
    assert set(STORIES) == set(DELIVERY)


def test_what_was_sent_again_is_taken_back_though_it_did_not_leave_again(world: World) -> None:
    nobody_can_say(world)
    world.replay(only(world))
    withdraw(world)
    later(world)
    assert only(world).state is State.WITHDRAWN
    assert not world.offices["plain"].cases


def test_an_agency_that_is_closed_when_it_is_asked_is_asked_again_and_not_sent_to(world: World) -> None:
    sent(world, "asked", "reply lost")
    later(world, "closed")
    assert only(world).state is State.ASKING
    later(world)
    assert (only(world).state, only(world).attempts) == (State.DELIVERED, 1)
