"""What an agency asks about a referral, and what its hub answers or adds: within consent, in order, once, kept sealed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import gateway_sdk as sdk
import psycopg
import pytest
from gateway_sdk.simulator import Case

from gateway.delivery import beginning, outbox, settle
from gateway.delivery.room import PostRoom
from gateway.delivery.stages import Send
from gateway.policy import contract
from gateway.policy.places import Phase
from gateway.store import audit, directory
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_callbacks import post
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import make_due, work
from tests.support import ALL_CATEGORIES, HEALTH, HOUSING, PURPOSES, SOCIAL_SECURITY, Agencies, begin, consent, referral

WORDS = "Xanthippe may be told on Monday."
QUESTION = "Quillonia: has she a passport?"


class Thread:
    """A referral that arrived, and what is said about it."""

    def __init__(self, hub: Hub, room: PostRoom, *agencies: str, work_it: bool = True) -> None:
        self.hub, self.room = hub, room
        self.consent = hub.consent()
        accepted = hub.submit(referral(self.consent, *agencies)).json()
        self.id, self.deliveries = accepted["id"], accepted["deliveries"]
        if work_it:
            work(room)

    def say(self, agency: str, text: str = WORDS, key: str | None = None, **more: Any) -> Any:
        return self.hub.call(
            "POST", f"/v1/referrals/{self.id}/messages", json={"agency": agency, "text": text, **more},
            headers={"Idempotency-Key": key or str(uuid4())},
        )  # fmt: skip

    def read(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.hub.call("GET", f"/v1/referrals/{self.id}/messages").json()["messages"]
        return found

    def state(self, delivery: str) -> tuple[str, str | None]:
        found = self.hub.call("GET", f"/v1/deliveries/{delivery}").json()
        assert contract.problems("delivery", found) == []
        return found["state"], found.get("code")

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.hub.call("GET", "/v1/events?after=0").json()["events"]
        return found


def case(agencies: Agencies, agency: str) -> Case:
    [found] = agencies[agency].cases.values()
    return found


def ask(hub: Hub, agencies: Agencies, agency: str) -> Any:
    """The agency asks by a callback, as its simulator makes it."""
    simulator, held = agencies[agency], case(agencies, agency)
    said = simulator.ask(held, QUESTION)
    message = simulator.question(held, said)
    assert message is not None
    return post(hub, agency, message)


@pytest.mark.parametrize("agency", [HOUSING, HEALTH])
def test_an_agency_asks_and_its_hub_answers(hub: Hub, room: PostRoom, agencies: Agencies, agency: str) -> None:
    thread = Thread(hub, room, agency)
    assert ask(hub, agencies, agency).status_code == 204
    [asked] = thread.read()
    assert (asked["agency"], asked["sender"], asked["text"]) == (agency, "agency", QUESTION)
    [told] = [event for event in thread.events() if event["type"] == "message.received"]
    assert (told["message"], told["referral"], told["delivery"]) == (asked["id"], thread.id, thread.deliveries[agency])
    assert contract.problems("event", told) == []
    assert QUESTION not in json.dumps(thread.events())
    taken = thread.say(agency, answers=asked["id"])
    assert taken.status_code == 202, taken.text
    work(room)
    assert thread.state(taken.json()["delivery"]) == ("delivered", None)
    question, answer = case(agencies, agency).messages
    assert (answer.sender, answer.text, answer.answers) == ("hub", WORDS, question.id)
    assert [(one["sender"], one.get("answers")) for one in thread.read()] == [("agency", None), ("hub", asked["id"])]


def test_an_agency_that_is_polled_asks_in_its_answers_each_once(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, SOCIAL_SECURITY)
    for _ in range(2):
        agencies[SOCIAL_SECURITY].ask(case(agencies, SOCIAL_SECURITY), QUESTION)
        make_due(room)
        work(room)
    assert [one["text"] for one in thread.read()] == [QUESTION, QUESTION]  # two questions, though the first came twice
    taken = thread.say(SOCIAL_SECURITY, answers=thread.read()[0]["id"]).json()
    work(room)
    assert thread.state(taken["delivery"]) == ("delivered", None)
    answer = case(agencies, SOCIAL_SECURITY).messages[-1]
    assert (answer.text, answer.answers) == (WORDS, case(agencies, SOCIAL_SECURITY).messages[0].id)


def test_a_question_that_comes_twice_is_one(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HEALTH)
    said = agencies[HEALTH].ask(case(agencies, HEALTH), QUESTION)
    for _ in range(2):
        message = agencies[HEALTH].question(case(agencies, HEALTH), said)
        assert message is not None
        assert post(hub, HEALTH, message).status_code == 204
    assert len(thread.read()) == 1


def test_the_same_key_says_it_once(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING)
    first, again = (thread.say(HOUSING, key="one") for _ in range(2))
    assert first.json() == again.json()
    assert problem(thread.say(HOUSING, "Something else.", key="one"), 422, "idempotency-key-reused")
    work(room)
    assert len(case(agencies, HOUSING).messages) == 1


@pytest.mark.parametrize("fault", ["drop", "garbage", "unavailable"])
@pytest.mark.parametrize("agency", [HOUSING, HEALTH, SOCIAL_SECURITY])
def test_a_message_whose_reply_is_lost_is_sent_again_under_its_key(
    hub: Hub, room: PostRoom, agencies: Agencies, agency: str, fault: str
) -> None:
    thread = Thread(hub, room, agency)
    agencies[agency].fail_next(fault)
    taken = thread.say(agency).json()
    for _ in range(3):
        work(room)
        make_due(room)
    assert thread.state(taken["delivery"])[0] == "delivered"
    assert [said.text for said in case(agencies, agency).messages] == [WORDS]


def test_messages_never_overtake_the_referral_nor_one_another(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable")
    thread = Thread(hub, room, HOUSING)
    said = [thread.say(HOUSING, f"Message {number}.").json()["delivery"] for number in range(3)]
    assert [thread.state(one)[0] for one in said] == ["held"] * 3
    for _ in range(6):
        make_due(room)
        work(room)
    assert [one.text for one in case(agencies, HOUSING).messages] == ["Message 0.", "Message 1.", "Message 2."]


def without_words(*agencies: str) -> dict[str, Any]:
    return consent({agency: [one for one in ALL_CATEGORIES if one != "message"] for agency in agencies or PURPOSES})


def test_words_need_a_consent_of_their_own(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING, work_it=False)
    thread.id = hub.submit(referral(hub.consent(without_words()), HOUSING)).json()["id"]
    work(room)
    refused = thread.say(HOUSING)
    found = problem(refused, 403, "consent-missing")
    assert found["missing"] == [
        {"agency": HOUSING, "purpose": "housing", "reason": "not_category", "category": "message"}
    ]
    assert WORDS not in refused.text
    work(room)
    assert all(not held.messages for held in agencies[HOUSING].cases.values())


def narrow(thread: Thread) -> None:
    answer = thread.hub.call("POST", f"/v1/consents/{thread.consent}/withdraw", json={"categories": ["message"]})
    assert answer.status_code == 200, answer.text


def test_consent_is_asked_again_when_it_is_sent(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING)
    taken = thread.say(HOUSING).json()
    narrow(thread)
    work(room)
    assert thread.state(taken["delivery"]) == ("withdrawn", "consent_missing")
    assert not case(agencies, HOUSING).messages
    assert thread.state(thread.deliveries[HOUSING])[0] == "delivered"  # the referral stays


def test_a_narrowing_between_the_look_and_the_sending_is_not_missed(
    hub: Hub, room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = Thread(hub, room, HOUSING)
    taken = thread.say(HOUSING).json()
    looked = beginning.messages.carried

    def then_she_agrees_to_less(*args: Any) -> Any:
        found = looked(*args)
        narrow(thread)
        return found

    monkeypatch.setattr(beginning.messages, "carried", then_she_agrees_to_less)
    work(room)
    monkeypatch.undo()
    for _ in range(2):
        with room.store.begin() as tx:
            tx.run("UPDATE deliveries SET due_at = now() WHERE due_at IS NOT NULL")
        work(room)
    assert not case(agencies, HOUSING).messages
    assert thread.state(taken["delivery"]) == ("withdrawn", "consent_missing")


def test_withdrawing_stops_what_was_not_said_and_follows_what_was(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING)
    said = thread.say(HOUSING).json()["delivery"]
    rung: list[Any] = []
    outbox.tick(room, rung.extend)
    stage = begin(room, rung[0])  # it is on the wire
    assert isinstance(stage, Send)
    waiting = thread.say(HOUSING, "And another thing.").json()["delivery"]
    hub.call("POST", f"/v1/consents/{thread.consent}/withdraw")
    assert thread.state(waiting) == ("withdrawn", "consent_withdrawn")
    settle.outcome(room, stage.delivery, stage.agency, sdk.Delivered(), 0.1).settle()
    assert thread.state(said)[0] == "delivered"
    work(room)
    assert case(agencies, HOUSING).status is sdk.Status.WITHDRAWN
    assert problem(thread.say(HOUSING), 403, "consent-missing")


def test_what_waits_for_an_agency_that_is_away_ends_with_her_consent(hub: Hub, room: PostRoom) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    thread = Thread(hub, room, HOUSING, work_it=False)
    thread.id = hub.submit(referral(hub.consent(consent(ends_at=ends.isoformat())), HOUSING)).json()["id"]
    work(room)
    taken = thread.say(HOUSING).json()
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() + interval '1 day' WHERE kind = 'message'")
    while datetime.now(UTC) < ends:
        pass
    outbox.tidy(room)
    assert thread.state(taken["delivery"]) == ("withdrawn", "consent_expired")


def test_to_whom_nothing_can_be_said(hub: Hub, other_hub: Hub, room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(hub, room, HOUSING, HEALTH)
    assert "asks nothing of" in problem(thread.say(SOCIAL_SECURITY), 404, "not-found")["detail"]
    stranger = Thread(other_hub, room, HOUSING, work_it=False)
    stranger.id = thread.id
    assert problem(stranger.say(HOUSING), 404, "not-found")
    assert problem(hub.call("POST", f"/v1/referrals/{thread.id}/messages", json={}), 422, "invalid")
    assert problem(thread.say(HOUSING, "x" * 2001), 422, "invalid")
    assert problem(thread.say(HOUSING, answers="msg_00000000000000000"), 422, "invalid")["errors"][0]["pointer"]
    with room.store.begin() as tx:
        directory.switch(tx, "glasgow", Phase.PLANNED, by="test", reason="not yet")
    assert problem(thread.say(HOUSING), 409, "area-off")
    with room.store.begin() as tx:
        directory.switch(tx, "glasgow", Phase.LIVE, by="test", reason="now")
    monkeypatch.delitem(room.agencies, HOUSING)  # type: ignore[arg-type]
    assert "not configured" in problem(thread.say(HOUSING, key="again"), 409, "conflict")["detail"]
    monkeypatch.undo()
    assert thread.say(HOUSING, key="again").status_code == 202  # what was refused left nothing behind


def test_where_an_agency_takes_no_messages_it_is_a_task_with_the_words(
    hub: Hub, room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "message", lambda *args: None)
    thread = Thread(hub, room, HOUSING)
    said = thread.say(HOUSING).json()["delivery"]
    work(room)
    assert thread.state(said) == ("task", "message_by_hand")
    sheet = hub.call("GET", f"/v1/deliveries/{said}/sheet").json()
    assert (sheet["message"], sheet["referral"], sheet["of"]) == (WORDS, {}, thread.deliveries[HOUSING])
    done = hub.call(
        "POST", f"/v1/deliveries/{said}/given", json={"at": datetime.now(UTC).isoformat(), "to": "Duty officer"}
    )
    assert done.json()["state"] == "delivered"
    assert len(case(agencies, HOUSING).messages) == 0


def test_what_waits_in_an_area_that_was_switched_off_waits(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING)
    taken = thread.say(HOUSING).json()
    with room.store.begin() as tx:
        directory.switch(tx, "glasgow", Phase.PLANNED, by="test", reason="not yet")
    work(room)
    assert thread.state(taken["delivery"]) == ("waiting", "area_off")
    with room.store.begin() as tx:
        directory.switch(tx, "glasgow", Phase.LIVE, by="test", reason="now")
    work(room)
    assert thread.state(taken["delivery"])[0] == "delivered"


def test_words_are_sealed_and_each_opening_is_audited(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    thread = Thread(hub, room, HOUSING)
    ask(hub, agencies, HOUSING)
    said = thread.say(HOUSING).json()
    work(room)
    with psycopg.connect(room.store.url) as connection:
        tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        everything = " ".join(
            str(bytes(value) if isinstance(value, memoryview) else value)
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()  # type: ignore[arg-type]
            for value in row
        )
    assert said["id"] in everything
    assert "Xanthippe" not in everything
    assert "Quillonia" not in everything
    [asked, _] = thread.read()
    with room.store.begin() as tx:
        entries = tx.all("SELECT actor, action FROM audit WHERE object = %(id)s ORDER BY id", {"id": said["id"]})
        theirs = tx.all("SELECT actor, action FROM audit WHERE object = %(id)s ORDER BY id", {"id": asked["id"]})
        audit.link(tx)
    assert [row["action"] for row in entries] == ["message.send", "message.open", "message.open"]
    assert [(row["actor"], row["action"]) for row in theirs] == [
        (f"agency:{HOUSING}", "message.receive"), ("hub:glasgow-hub", "message.open"),
    ]  # fmt: skip
