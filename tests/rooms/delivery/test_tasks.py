"""What an agency's interface has no way for: a task for a person, with a sheet, done by its hub or by an administrator."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_sdk import Status

from gateway.delivery import by_hand, decisions
from gateway.delivery import messages as words
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, ConsentMissing, NotFound
from gateway.policy.lifecycle import State
from gateway.store import audit, listings
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from tests.rooms.delivery.test_attempt import HUB, make_due, of, submit, work
from tests.rooms.delivery.test_consent_changes import (
    NEW_NUMBER,
    less,
    line,
    new_contact,
    soon_ended,
    told,
)
from tests.support import HOUSING, Agencies

WORDS = "Xanthippe may be told on Monday."
GIVEN = {"to": "Duty officer"}


def say(room: PostRoom, identifier: str, text: str = WORDS) -> None:
    document = {"agency": HOUSING, "text": text}
    words.send(room, identifier, document, text, json.dumps(document).encode(), HUB)


DEEDS: dict[str, Callable[[PostRoom, str, str], None]] = {
    "withdrawal": lambda room, agreed, identifier: less(room, agreed),
    "update": lambda room, agreed, identifier: new_contact(room, identifier),
    "message": lambda room, agreed, identifier: say(room, identifier),
}
METHODS = {"withdrawal": "withdraw", "update": "update", "message": "message"}


def without(room: PostRoom, monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Housing's interface has no way for these."""
    for kind in kinds:
        monkeypatch.setattr(room.agencies[HOUSING].adapter, METHODS[kind], lambda *args: None)


@pytest.fixture(params=list(DEEDS))
def task(room: PostRoom, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Delivery:
    without(room, monkeypatch, request.param)
    agreed, identifier = submit(room, HOUSING)
    work(room)
    DEEDS[request.param](room, agreed, identifier)
    work(room)
    return now(room, of(room, identifier)[HOUSING])


def now(room: PostRoom, original: Delivery) -> Delivery:
    """What follows *original*, one only."""
    [found] = line(room, original)
    return found


def stands(room: PostRoom, task: Delivery) -> tuple[State, Status]:
    """The task's state, and the status of the referral that it is about."""
    with room.store.begin() as tx:
        rows = tx.all("SELECT id, state, status FROM deliveries")
    by_id = {row["id"]: row for row in rows}
    return State(by_id[task.id]["state"]), Status(by_id[task.of or ""]["status"])


def tasks(room: PostRoom) -> list[tuple[str, str | None]]:
    with room.store.begin() as tx:
        return [(one.kind, one.code) for one in listings.tasks(tx, hub=HUB.hub)]


def give(room: PostRoom, task: Delivery, **more: Any) -> Delivery:
    return by_hand.given(room, task.id, {"at": datetime.now(UTC).isoformat(), **GIVEN, **more}, HUB)


def answer(room: PostRoom, task: Delivery, status: str) -> Delivery:
    return by_hand.answered(room, task.id, {"status": status, "reason": "other"}, HUB)[0]


AFTER = {"withdrawal": Status.WITHDRAWN, "update": Status.SENT, "message": Status.SENT}


def test_it_waits_for_a_person_and_her_hub_is_told(room: PostRoom, task: Delivery, agencies: Agencies) -> None:
    assert (task.state, task.code) == (State.TASK, f"{METHODS[task.kind]}_by_hand")
    assert tasks(room) == [(task.kind, task.code)]
    sent = [message for message in agencies[HOUSING].received if message["path"] != "/oauth/token"]
    assert len(sent) == 1, "the referral and nothing else"
    with room.store.begin() as tx:
        said = tx.all("SELECT state, code FROM events WHERE delivery = %(id)s", {"id": task.id})
    assert said == [{"state": "task", "code": task.code}]


def test_its_sheet_holds_what_is_needed_and_no_more(room: PostRoom, task: Delivery) -> None:
    sheet = by_hand.sheet(room, task.id, HUB)
    assert sheet.reference
    if task.kind == "update":
        assert sheet.data["contact"]["phone"]["number"] == NEW_NUMBER
    else:
        assert sheet.data == {}
    assert sheet.message == (WORDS if task.kind == "message" else None)
    with room.store.begin() as tx:
        rows = tx.all(
            "SELECT action FROM audit WHERE actor = %(hub)s AND detail LIKE '%%sheet of%%'", {"hub": HUB.actor}
        )
    opening = {"update": ["referral.open"], "message": ["message.open"], "withdrawal": []}
    assert [row["action"] for row in rows] == opening[task.kind]
    with pytest.raises(NotFound):
        by_hand.sheet(room, task.id, Caller("dundee-hub"))


def test_its_hub_says_that_it_was_told(room: PostRoom, task: Delivery) -> None:
    assert give(room, task).state is State.DELIVERED
    assert stands(room, task) == (State.DELIVERED, AFTER[task.kind])
    assert tasks(room) == []
    with room.store.begin() as tx:
        assert audit.verify(tx).broken is None


def test_its_hub_says_that_the_agency_will_not(room: PostRoom, task: Delivery) -> None:
    before = stands(room, task)[1]
    assert answer(room, task, "declined").code == "declined_by_hand"
    assert stands(room, task) == (State.REFUSED, before)
    assert tasks(room) == [(task.kind, "declined_by_hand")]  # somebody has to know of it


@pytest.mark.parametrize("verb", ["confirm", "refuse"])
def test_an_administrator_closes_it_with_a_reason(room: PostRoom, task: Delivery, verb: str) -> None:
    before = stands(room, task)[1]
    decide = {"confirm": decisions.confirm, "refuse": decisions.refuse}[verb]
    assert decide(room, task.id, by="admin:a", reason="told them by phone", dry_run=True).state is State.TASK
    decide(room, task.id, by="admin:a", reason="told them by phone")
    told_it = (State.DELIVERED, AFTER[task.kind])
    assert stands(room, task) == (told_it if verb == "confirm" else (State.REFUSED, before))
    with room.store.begin() as tx:
        rows = tx.all("SELECT detail FROM audit WHERE actor = 'admin:a' AND action = %(a)s", {"a": f"delivery.{verb}"})
    assert json.loads(rows[0]["detail"])["reason"] == "told them by phone"
    with pytest.raises(Conflict, match=f"nothing to {verb}" if verb == "confirm" else "nothing to refuse"):
        decide(room, task.id, by="admin:a", reason="again")


def test_only_what_has_to_be_told_must_be_told(room: PostRoom, task: Delivery) -> None:
    if task.kind == "message":
        assert answer(room, task, "withdrawn").code == "not_given"
        return
    with pytest.raises(Conflict, match="record that first"):
        answer(room, task, "withdrawn")
    assert now(room, task_of(room, task)).state is State.TASK


def task_of(room: PostRoom, task: Delivery) -> Delivery:
    assert task.referral is not None
    return of(room, task.referral)[HOUSING]


def test_its_hub_is_reminded_of_it(room: PostRoom, task: Delivery) -> None:
    make_due(room)
    work(room)
    assert tasks(room) == [(task.kind, "late")]
    assert told(room).count("delivery.reminder") == 1
    work(room)
    assert told(room).count("delivery.reminder") == 1  # not before its time


def test_a_referral_is_for_its_hub_to_record(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET state = 'task', due_at = now() + interval '1 h'")
    for decide in (decisions.confirm, decisions.refuse, decisions.replay):
        with pytest.raises(Conflict, match="its hub records"):
            decide(room, of(room, identifier)[HOUSING].id, by="admin:a", reason="x")


def test_what_an_agency_answers_by_its_interface_is_not_recorded_by_hand(room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING)
    work(room)
    with pytest.raises(Conflict, match="not reached by hand"):
        by_hand.answered(room, of(room, identifier)[HOUSING].id, {"status": "accepted"}, HUB)


# Consent


@pytest.fixture
def lapsed(room: PostRoom) -> Delivery:
    """Housing has the old number, and may be told the new one no longer: her consent has ended."""
    agreed, identifier = submit(room, HOUSING)
    work(room)
    soon_ended(room, agreed)
    new_contact(room, identifier)
    work(room)
    return now(room, of(room, identifier)[HOUSING])


def test_it_is_told_that_what_it_has_is_out_of_date_and_nothing_of_her(
    room: PostRoom, agencies: Agencies, lapsed: Delivery
) -> None:
    assert (lapsed.state, lapsed.code) == (State.TASK, "update_by_hand")
    sheet = by_hand.sheet(room, lapsed.id, HUB)
    assert (sheet.data, sheet.message) == ({}, None)
    assert give(room, lapsed).code is None
    assert stands(room, lapsed) == (State.DELIVERED, Status.SENT)
    assert NEW_NUMBER not in str(agencies[HOUSING].received)


def test_what_was_told_without_her_consent_is_taken_back(room: PostRoom, lapsed: Delivery) -> None:
    assert give(room, lapsed, without_consent=True).code == "given_without_consent"
    work(room)
    assert stands(room, lapsed)[1] is Status.WITHDRAWN


def test_words_she_agrees_to_no_longer_are_not_read_out(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    without(room, monkeypatch, "message")
    agreed, identifier = submit(room, HOUSING)
    work(room)
    say(room, identifier)
    work(room)
    less(room, agreed, categories=("message",))
    task = of(room, identifier, "message")[HOUSING]
    with pytest.raises(ConsentMissing):
        by_hand.sheet(room, task.id, HUB)
    assert of(room, identifier, "message")[HOUSING].state is State.WITHDRAWN


# What is behind it


def test_a_task_that_nobody_has_read_holds_up_no_new_contact_and_no_withdrawal(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(room, monkeypatch, "message")
    agreed, identifier = submit(room, HOUSING)
    work(room)
    for text in ("one", "two"):
        say(room, identifier, text)
    work(room)
    new_contact(room, identifier)
    work(room)
    states = [(one.kind, one.state) for one in line(room, of(room, identifier)[HOUSING])]
    assert states == [("message", State.TASK), ("message", State.HELD), ("update", State.DELIVERED)]
    assert NEW_NUMBER in str(agencies[HOUSING].received)
    first = line(room, of(room, identifier)[HOUSING])[0]
    give(room, first)
    work(room)
    assert [one.state for one in line(room, of(room, identifier)[HOUSING])][1] is State.TASK
    less(room, agreed)
    work(room)
    ended = [one.state for one in line(room, of(room, identifier)[HOUSING])]
    assert ended == [State.DELIVERED, State.WITHDRAWN, State.DELIVERED, State.DELIVERED]
    assert of(room, identifier)[HOUSING].status is Status.WITHDRAWN


def test_an_update_that_nobody_has_read_is_made_once(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    without(room, monkeypatch, "update")
    _, identifier = submit(room, HOUSING)
    work(room)
    new_contact(room, identifier, {}, key="c-1")
    work(room)
    new_contact(room, identifier, key="c-2")
    task = now(room, of(room, identifier)[HOUSING])
    assert by_hand.sheet(room, task.id, HUB).data["contact"]["phone"]["number"] == NEW_NUMBER
    new_contact(room, identifier, {}, key="c-3")  # what was read may have been told
    assert [one.state for one in line(room, of(room, identifier)[HOUSING])] == [State.TASK, State.HELD]


def test_a_withdrawal_waits_for_what_was_read_and_it_need_not_be_told(
    room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(room, monkeypatch, "update")
    agreed, identifier = submit(room, HOUSING)
    work(room)
    new_contact(room, identifier)
    work(room)
    task = now(room, of(room, identifier)[HOUSING])
    by_hand.sheet(room, task.id, HUB)
    less(room, agreed)
    work(room)
    assert [one.state for one in line(room, of(room, identifier)[HOUSING])] == [State.TASK, State.HELD]
    assert answer(room, task, "withdrawn").code == "not_given"
    work(room)
    assert of(room, identifier)[HOUSING].status is Status.WITHDRAWN


def test_one_that_was_in_doubt_becomes_a_task(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    agencies[HOUSING].fail_next("drop")
    less(room, agreed)
    work(room)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.ASKING
    without(room, monkeypatch, "withdrawal")
    make_due(room)
    work(room)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.TASK
