"""Several deliveries to one agency, carried out in a round: what came of one is settled with the beginning of the next."""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import gateway_sdk as sdk
import pytest
from gateway_sdk import Status

from gateway import intake
from gateway.delivery import attempt, changes, decisions, feedback, outbox, settle
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.store import consents, deliveries
from gateway.store.contradictions import Source
from gateway.store.session import Store, StoreUnavailable
from tests.support import HOUSING, Agencies, consent, referral

from .test_attempt import HUB, make_due, work

Bells = list[tuple[str, UUID]]


def submit(room: PostRoom, subject: str) -> str:
    """A referral to the council. Returns the consent's id."""
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent(subject=subject), hub=HUB.hub)
    draft = referral(agreed, HOUSING, subject=subject)
    intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), f"key {agreed}", HUB)
    return agreed


@pytest.fixture
def three(room: PostRoom, agencies: Agencies) -> tuple[list[str], Bells]:
    """The consents of three women's referrals to the council, and what was rung for."""
    agreed = [submit(room, f"GLA-{number}") for number in range(3)]
    rung: Bells = []
    outbox.tick(room, rung.extend)
    assert len(rung) == 3
    rests = {identifier: consent for consent, identifier in zip(agreed, in_order(room), strict=True)}
    return [rests[identifier] for identifier, _ in rung], rung


def in_order(room: PostRoom) -> list[str]:
    with room.store.begin() as tx:
        return [row["id"] for row in tx.all("SELECT id FROM deliveries ORDER BY created_at")]


def stand(room: PostRoom, bells: Bells) -> list[State]:
    with room.store.begin() as tx:
        return [deliveries.get(tx, identifier).state for identifier, _ in bells]


def the_rest_is_delivered(room: PostRoom, bells: Bells) -> None:
    """What was left as it was is rung for again when its lease ends."""
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")
    work(room)
    assert stand(room, bells) == [State.DELIVERED] * 3


def arrived(agencies: Agencies) -> list[str]:
    return [case.key for case in agencies[HOUSING].cases.values()]


def test_what_came_of_one_is_settled_before_the_next_leaves(
    room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bells = three
    send, seen = attempt.wire.send, []

    def watched(*args: Any, **more: Any) -> sdk.Reply:
        seen.append(stand(room, bells))
        return send(*args, **more)

    monkeypatch.setattr(attempt.wire, "send", watched)
    rounds = attempt.Round(room, bells)
    for bell in bells:
        rounds.run(*bell)
    sending, queued, delivered = State.SENDING, State.QUEUED, State.DELIVERED
    assert seen == [[sending, queued, queued], [delivered, sending, queued], [delivered, delivered, sending]]
    assert stand(room, bells) == [delivered, delivered, sending]  # nothing begins after the last
    rounds.end()
    assert stand(room, bells) == [delivered] * 3
    assert arrived(agencies) == [identifier for identifier, _ in bells]


def test_a_round_of_three_takes_five_transactions(
    room: PostRoom, three: tuple[list[str], Bells], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look, to begin, twice to settle and begin, to settle; one by one it would be nine."""
    _, bells = three
    opened = Store._connection
    counted = Mock(side_effect=lambda: opened(room.store))
    monkeypatch.setattr(Store, "_connection", lambda self: counted())
    rounds = attempt.Round(room, bells)
    for bell in bells:
        rounds.run(*bell)
    rounds.end()
    assert counted.call_count == 5


def withdrawn(room: PostRoom, agreed: str, identifier: str) -> None:
    changes.withdraw_consent(room, agreed, HUB)


def paused(room: PostRoom, agreed: str, identifier: str) -> None:
    decisions.pause(room, HOUSING, by="admin:a", reason="they move house")


@pytest.mark.parametrize("stopped", [withdrawn, paused])
def test_what_is_stopped_after_the_look_does_not_leave(
    room: PostRoom,
    agencies: Agencies,
    three: tuple[list[str], Bells],
    stopped: Callable[[PostRoom, str, str], None],
) -> None:
    agreed, bells = three
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])  # all three were looked at
    stopped(room, agreed[1], bells[1][0])
    rounds.run(*bells[1])
    rounds.end()
    assert arrived(agencies) == [bells[0][0]]
    first, second, _ = stand(room, bells)
    assert first is State.DELIVERED
    assert second is (State.WITHDRAWN if stopped is withdrawn else State.QUEUED)
    if stopped is paused:
        decisions.resume(room, HOUSING, by="admin:a", reason="they are back")
        the_rest_is_delivered(room, bells)


def test_what_is_withdrawn_on_the_wire_is_followed_by_a_withdrawal(
    room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells]
) -> None:
    agreed, bells = three
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])
    changes.withdraw_consent(room, agreed[0], HUB)  # it has arrived, and that is not written down yet
    rounds.run(*bells[1])
    rounds.end()
    assert stand(room, bells)[:2] == [State.DELIVERED, State.DELIVERED]
    work(room, rounds=2)
    case = agencies[HOUSING].find(HOUSING, key=bells[0][0])
    assert case and case.status is Status.WITHDRAWN


def test_an_agency_that_answers_before_its_receipt_is_written_down_is_not_unheard(
    room: PostRoom, three: tuple[list[str], Bells]
) -> None:
    _, bells = three
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])
    with room.store.begin() as tx:  # it calls back at once
        said, sent = sdk.Update(Status.ACCEPTED), deliveries.lock(tx, bells[0][0])
        assert feedback.apply(tx, sent, said, by=f"agency:{HOUSING}", source=Source.CALLBACK)
    rounds.run(*bells[1])
    rounds.end()
    assert stand(room, bells)[:2] == [State.DELIVERED, State.DELIVERED]
    with room.store.begin() as tx:
        assert deliveries.get(tx, bells[0][0]).status is Status.ACCEPTED
        assert deliveries.get(tx, bells[1][0]).status is Status.SENT


@pytest.mark.parametrize("error", [ValueError("a value that does not go in"), StoreUnavailable("gone")])
def test_what_cannot_be_settled_beside_the_next_is_settled_alone(
    room: PostRoom,
    agencies: Agencies,
    three: tuple[list[str], Bells],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    _, bells = three
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])
    put, failing = settle.Outcome.put, [error]

    def putting(outcome: settle.Outcome, tx: Any) -> Any:
        moving = put(outcome, tx)
        if failing:
            raise failing.pop()
        return moving

    monkeypatch.setattr(settle.Outcome, "put", putting)
    with pytest.raises(type(error)):
        rounds.run(*bells[1])
    assert stand(room, bells) == [State.DELIVERED, State.QUEUED, State.QUEUED]  # neither half of it was kept
    rounds.run(*bells[2])
    rounds.end()
    assert arrived(agencies) == [bells[0][0], bells[2][0]]
    the_rest_is_delivered(room, bells)


def test_after_a_failure_the_rest_is_looked_at_anew(
    room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells]
) -> None:
    _, bells = three
    agencies[HOUSING].fail_next("unavailable")
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])
    assert stand(room, bells) == [State.WAITING, State.QUEUED, State.QUEUED]  # settled at once
    assert rounds._looks == {}
    rounds.run(*bells[1])
    rounds.end()
    make_due(room)
    work(room)
    assert set(arrived(agencies)) >= {bells[0][0], bells[1][0]}


def test_a_look_is_not_used_for_long(
    room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bells = three
    monkeypatch.setattr(attempt, "FRESH", 0.0)
    look, looked = attempt.attempts.look, []

    def looking(store: Any, wanted: Any) -> Any:
        looked.append(len(wanted))
        return look(store, wanted)

    monkeypatch.setattr(attempt.attempts, "look", looking)
    rounds = attempt.Round(room, bells)
    for bell in bells:
        rounds.run(*bell)
    rounds.end()
    assert looked == [3, 2, 1]
    assert stand(room, bells) == [State.DELIVERED] * 3


def test_a_bell_that_is_stale_does_nothing(room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells]) -> None:
    _, bells = three
    rounds = attempt.Round(room, [bells[0], bells[0], bells[1]])
    for bell in rounds.bundle:
        rounds.run(*bell)
    rounds.end()
    assert stand(room, bells) == [State.DELIVERED, State.DELIVERED, State.QUEUED]
    assert [case.times for case in agencies[HOUSING].cases.values()] == [1, 1]


def test_a_consent_that_ends_after_the_look_has_ended(
    room: PostRoom, agencies: Agencies, three: tuple[list[str], Bells], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bells = three
    monkeypatch.setattr(attempt, "FRESH", 1e9)
    rounds = attempt.Round(room, bells)
    rounds.run(*bells[0])
    years = SimpleNamespace(monotonic=lambda: time.monotonic() + 10 * 365 * 24 * 3600)
    monkeypatch.setattr(attempt, "time", years)
    rounds.run(*bells[1])
    rounds.end()
    assert stand(room, bells)[:2] == [State.DELIVERED, State.WITHDRAWN]
    assert arrived(agencies) == [bells[0][0]]


def test_two_about_the_same_woman_are_not_locked_together(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who changes how she can be reached locks both, in another order perhaps: one of the two would be thrown out."""
    for subject in ("GLA-1", "GLA-1", "GLA-2"):
        submit(room, subject)
    bells: Bells = []
    outbox.tick(room, bells.extend)
    begin, beside = attempt.begin, []

    def beginning(room: PostRoom, look: Any, other: settle.Outcome | None) -> Any:
        beside.append(other and other.sent.id)
        return begin(room, look, other)

    monkeypatch.setattr(attempt, "begin", beginning)
    in_turn = [(identifier, dict(bells)[identifier]) for identifier in in_order(room)]
    rounds = attempt.Round(room, in_turn)
    for bell in in_turn:
        rounds.run(*bell)
    rounds.end()
    assert beside == [None, None, in_turn[1][0]]
    assert stand(room, bells) == [State.DELIVERED] * 3
