"""Both state machines, as tables."""

from itertools import product

import pytest
from gateway_sdk import Status

from gateway.policy.lifecycle import (
    DELIVERY,
    FINAL,
    MAY_SET,
    UNDELIVERED,
    Illegal,
    Move,
    Party,
    State,
    after,
    status_may_become,
)

ENDS = {State.DELIVERED, State.WITHDRAWN}


def reachable(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for (state, _), to in DELIVERY.items():
            if state is here and to not in seen:
                seen.add(to)
                todo.append(to)
    return seen


def test_a_move_is_in_the_table_or_illegal() -> None:
    for state, move in product(State, Move):
        if (state, move) in DELIVERY:
            assert after(state, move) is DELIVERY[state, move]
        else:
            with pytest.raises(Illegal):
                after(state, move)


@pytest.mark.parametrize("state", State)
def test_every_state_can_reach_an_end(state: State) -> None:
    assert reachable(state) & ENDS


def test_every_state_is_reached_from_the_counter() -> None:
    assert reachable(State.WAITING) | reachable(State.HELD) == set(State)


def test_nothing_is_sent_but_through_sending() -> None:
    into = {move for (_, move), to in DELIVERY.items() if to is State.SENDING}
    assert into == {Move.BEGIN, Move.REPEAT}


def test_sending_never_returns_to_queued() -> None:
    assert State.QUEUED not in {to for (state, _), to in DELIVERY.items() if state in (State.SENDING, State.ASKING)}


def test_delivered_and_withdrawn_stay() -> None:
    assert not [key for key in DELIVERY if key[0] in ENDS]


def test_the_end_states_are_not_counted_as_undelivered() -> None:
    assert {State.DELIVERED, State.REFUSED, State.DEAD, State.WITHDRAWN} == set(State) - UNDELIVERED


TRIPLES = list(product(Status, Status, Party))


def test_nobody_says_what_is_not_theirs_to_say() -> None:
    may = {
        party: {new for current, new, by in TRIPLES if by is party and status_may_become(current, new, by)}
        for party in Party
    }
    told = {Status.ACCEPTED, Status.DECLINED, Status.APPOINTMENT_OFFERED, Status.NO_SHOW, Status.IN_PROGRESS,
            Status.ON_HOLD, Status.LOST_CONTACT, Status.COMPLETED}  # fmt: skip
    assert may == {
        Party.GATEWAY: {Status.RECEIVED, Status.SENT, Status.DECLINED, Status.WITHDRAWN},
        Party.HUB: {Status.CANCELLATION_REQUESTED, Status.LOST_CONTACT, Status.COMPLETED},
        Party.AGENCY: told | {Status.SENT, Status.WITHDRAWN},
        Party.HUB_FOR_AGENCY: told,
    }


def test_what_is_final_stays_and_nothing_returns_to_sent() -> None:
    moves = {(current, new) for current, new, by in TRIPLES if status_may_become(current, new, by)}
    assert not [(current, new) for current, new in moves if current in FINAL or new is current]
    assert {current for current, new in moves if new is Status.SENT} == {Status.RECEIVED}


def test_whatever_else_a_party_may_say_it_may_say_at_any_time() -> None:
    for current, new, by in TRIPLES:
        barred = current in FINAL or new is current or new is Status.SENT
        assert barred or status_may_become(current, new, by) == (new in MAY_SET[by])
