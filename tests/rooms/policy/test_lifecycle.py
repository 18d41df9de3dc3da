"""Both state machines, as tables."""

import pytest
from gateway_sdk import Status
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.sampled_from(State), st.sampled_from(Move))
def test_a_move_is_in_the_table_or_illegal(state: State, move: Move) -> None:
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


@given(st.sampled_from(Status), st.sampled_from(Status), st.sampled_from(Party))
def test_status_rules(current: Status, new: Status, by: Party) -> None:
    allowed = status_may_become(current, new, by)
    if current in FINAL or new is current or new not in MAY_SET[by]:
        assert not allowed
    elif new is Status.SENT:
        assert allowed == (current is Status.RECEIVED)
    else:
        assert allowed
