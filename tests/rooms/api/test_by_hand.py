"""An agency without an interface: a person gives it its referrals, from a sheet, and records what became of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import doctor, plugins
from gateway.delivery import changes
from gateway.delivery.room import PostRoom
from gateway.policy import contract
from gateway.settings import Settings
from gateway.store import audit
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import HUB, make_due, work
from tests.support import ALL_CATEGORIES, HOUSING, Agencies, consent, referral

REFUGE = "refuge"


def with_refuge(room: PostRoom, agencies: Agencies) -> PostRoom:
    """*room*, with one more agency: one that is reached by hand."""
    chosen = agencies.settings()
    sheet = {"purpose": "housing", "needs": ["/person/name", "/request/ask"], "optional": ["/contact/phone", "/health"]}
    chosen["agencies"][REFUGE] = {"adapter": "by-hand", "areas": ["glasgow"], "settings": sheet, "remind_after": "1h"}
    settings = Settings(**chosen)
    return PostRoom(room.store, plugins.load(settings), settings)


@pytest.fixture
def room(room: PostRoom, agencies: Agencies) -> PostRoom:
    return with_refuge(room, agencies)


class Task:
    """A referral to the refuge, and what its hub does with it."""

    def __init__(self, hub: Hub, room: PostRoom, categories: list[str] | None = None, *, worked: bool = True) -> None:
        self.hub, self.room = hub, room
        record = consent({})
        permit = {"recipients": [REFUGE], "purposes": ["housing"], "categories": categories or ALL_CATEGORIES}
        self.consent = hub.consent({**record, "permits": [permit]})
        draft = referral(self.consent, HOUSING)
        draft["requests"] = [{"agency": REFUGE, "purpose": "housing", "ask": "A room."}]
        answer = hub.submit(draft)
        assert answer.status_code == 202, answer.text
        self.referral, self.id = answer.json()["id"], answer.json()["deliveries"][REFUGE]
        if worked:
            work(room)

    def call(self, method: str, what: str, identifier: str = "", **more: Any) -> Any:
        return self.hub.call(method, f"/v1/deliveries/{identifier or self.id}{what}", **more)

    @property
    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", "").json()
        assert contract.problems("delivery", found) == []
        return found

    def give(self, identifier: str = "", **more: Any) -> Any:
        return self.call(
            "POST", "/given", identifier, json={"at": datetime.now(UTC).isoformat(), "to": "Duty officer", **more}
        )

    def answer(self, status: str, **more: Any) -> Any:
        return self.call("POST", "/status", json={"status": status, **more})

    def withdrawal(self) -> dict[str, Any] | None:
        found = self.hub.call("GET", f"/v1/referrals/{self.referral}").json()["deliveries"]
        return next((one for one in found if one["kind"] == "withdrawal"), None)

    def events(self) -> list[str]:
        return [one["type"] for one in self.hub.call("GET", "/v1/events").json()["events"]]


@pytest.fixture
def task(hub: Hub, room: PostRoom) -> Task:
    return Task(hub, room)


def withdrawn(room: PostRoom, at: datetime) -> None:
    """As if she had withdrawn by a path that does not touch deliveries."""
    with room.store.begin() as tx:
        tx.run("UPDATE consents SET withdrawn_at = %(at)s", {"at": at})


def opened(room: PostRoom) -> list[dict[str, Any]]:
    with room.store.begin() as tx:
        return tx.all("SELECT actor, object, detail FROM audit WHERE action = 'referral.open'")


def test_it_becomes_a_task_and_nothing_is_sent(task: Task, agencies: Agencies) -> None:
    assert (task.now["state"], task.now["status"], task.now["attempts"]) == ("task", "received", 0)
    assert "delivery.state" in task.events()
    assert not opened(task.room)
    assert not agencies[HOUSING].received


def test_the_sheet_holds_what_she_agreed_to_and_the_agency_needs_and_opening_it_is_audited(
    hub: Hub, room: PostRoom
) -> None:
    task = Task(hub, room, [category for category in ALL_CATEGORIES if category != "health"])
    sheet = task.call("GET", "/sheet").json()
    assert sheet["referral"] == {
        "person": {"name": {"given": "Ileana", "family": "Exemplu"}},
        "contact": {"phone": referral("x", HOUSING)["contact"]["phone"]},
        "request": {"ask": "A room."},
    }
    page = task.call("GET", "/sheet", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Ileana" in page.text
    assert "Cannot sleep" not in page.text + json.dumps(sheet)
    assert "1994" not in page.text
    assert [(row["actor"], row["object"]) for row in opened(room)] == [("hub:glasgow-hub", task.referral)] * 2
    assert task.id in opened(room)[0]["detail"]


def test_it_is_recorded_as_given_and_answered(task: Task) -> None:
    task.call("GET", "/sheet")
    given = task.give(reference="R-1")
    assert given.status_code == 200, given.text
    found = task.now
    assert (found["state"], found["status"], found["reference"]) == ("delivered", "sent", "R-1")
    assert found["given"]["to"] == "Duty officer"
    problem(task.give(), 409, "conflict")
    problem(task.call("GET", "/sheet"), 409, "conflict")
    assert task.answer("accepted").json()["believed"] is True
    assert task.answer("completed").json()["delivery"]["status"] == "completed"
    with task.room.store.begin() as tx:
        assert audit.verify(tx).broken is None


def test_a_contradiction_is_kept_and_shown_and_changes_nothing(task: Task) -> None:
    task.call("GET", "/sheet")
    task.give()
    for status in ("received", "withdrawn", "cancellation-requested"):  # not what an agency says by hand
        assert task.answer(status).json()["believed"] is False
    task.answer("completed")
    said = task.answer("declined", reason="no-capacity").json()
    assert (said["believed"], said["delivery"]["status"]) == (False, "completed")
    event = task.hub.call("GET", "/v1/events").json()["events"][-1]
    assert (event["type"], event["status"], event["reason"]) == ("delivery.contradiction", "declined", "no-capacity")
    assert contract.problems("event", event) == []


def test_declined_before_it_was_given(task: Task) -> None:
    problem(task.answer("accepted"), 409, "conflict")
    found = task.answer("declined", reason="no-capacity").json()["delivery"]
    assert (found["state"], found["status"], found["reason"], found["code"]) == (
        "refused", "declined", "no-capacity", "declined_by_hand",
    )  # fmt: skip


def test_consent_is_asked_when_it_becomes_a_task(hub: Hub, room: PostRoom) -> None:
    task = Task(hub, room, worked=False)
    withdrawn(room, datetime.now(UTC))
    work(room)
    assert (task.now["state"], task.now["code"]) == ("withdrawn", "consent_withdrawn")


def test_consent_is_asked_when_the_sheet_is_opened(task: Task) -> None:
    withdrawn(task.room, datetime.now(UTC))
    assert problem(task.call("GET", "/sheet"), 403, "consent-missing")["missing"][0]["reason"] == "withdrawn"
    assert (task.now["state"], task.now["code"]) == ("withdrawn", "consent_withdrawn")
    assert not opened(task.room)


def test_consent_is_asked_when_it_is_recorded_as_given(task: Task) -> None:
    task.call("GET", "/sheet")
    withdrawn(task.room, datetime.now(UTC) - timedelta(seconds=1))
    problem(task.call("GET", "/sheet"), 403, "consent-missing")
    assert problem(task.give(), 403, "consent-missing")["missing"][0]["reason"] == "withdrawn"
    assert task.now["state"] == "task"
    assert task.give(without_consent=True).json()["code"] == "given_without_consent"
    assert task.now["status"] == "cancellation-requested"
    work(task.room)
    told = task.withdrawal()
    assert told is not None
    assert told["state"] == "task"


def test_a_withdrawal_stops_a_task_that_nobody_opened(task: Task) -> None:
    changes.withdraw_consent(task.room, task.consent, HUB)
    assert (task.now["state"], task.withdrawal()) == ("withdrawn", None)
    problem(task.call("GET", "/sheet"), 409, "conflict")
    problem(task.give(), 409, "conflict")


@pytest.mark.parametrize("was_given", [True, False])
def test_a_withdrawal_follows_a_sheet_that_was_opened(task: Task, was_given: bool) -> None:
    task.call("GET", "/sheet")
    at = datetime.now(UTC).isoformat()
    changes.withdraw_consent(task.room, task.consent, HUB)
    work(task.room)
    held = task.withdrawal()
    assert held is not None
    assert (task.now["state"], task.now["status"], held["state"]) == ("task", "cancellation-requested", "held")
    if not was_given:
        assert task.answer("withdrawn").json()["delivery"]["code"] == "not_given"
        assert task.withdrawal()["code"] == "nothing_to_take_back"  # type: ignore[index]
        return
    assert task.give(at=at, reference="R-7").status_code == 200  # before she withdrew
    work(task.room)
    sheet = task.call("GET", "/sheet", held["id"]).json()
    assert (sheet["kind"], sheet["reference"], sheet["referral"]) == ("withdrawal", "R-7", {})
    assert task.give(held["id"]).json()["state"] == "delivered"
    assert task.now["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"at": "2020-01-01T10:00:00Z"}, "At /at"),
        ({"at": "2099-01-01T10:00:00Z"}, "At /at"),
        ({"at": "yesterday"}, "At /at"),
        ({"to": ""}, "At /to"),
        ({"whom": "x"}, "At /whom"),
    ],
)
def test_what_is_recorded_is_checked(task: Task, changes: Any, pointer: str) -> None:
    assert problem(task.give(**changes), 422, "invalid")["detail"].startswith(pointer)
    assert task.now["state"] == "task"


def test_a_late_task_is_told_to_the_hub_and_the_doctor(task: Task) -> None:
    def says() -> bool:
        found = {one.what: one for one in doctor.examine(task.room)}
        assert found["agency refuge"].ok
        assert (found["oldest undelivered"].says == "nothing waits") is found["late by hand"].ok
        return found["late by hand"].ok

    assert says()
    for times in (1, 2):
        make_due(task.room)
        work(task.room)
        assert task.events().count("delivery.reminder") == times
        assert (task.now["state"], task.now["code"]) == ("task", "late")
    assert not says()
    work(task.room)
    assert task.events().count("delivery.reminder") == 2  # not before its time
    assert task.give().status_code == 200
    assert says()
    assert "code" not in task.now


def test_a_task_is_its_hubs_alone_and_only_by_hand(task: Task, other_hub: Hub) -> None:
    for method, what, body in (
        ("GET", "sheet", None),
        ("POST", "given", {"at": datetime.now(UTC).isoformat(), "to": "x"}),
        ("POST", "status", {"status": "declined"}),
    ):
        problem(other_hub.call(method, f"/v1/deliveries/{task.id}/{what}", json=body), 404, "not-found")
        sent = task.hub.submit(referral(task.hub.consent(), HOUSING)).json()["deliveries"][HOUSING]
        problem(task.hub.call(method, f"/v1/deliveries/{sent}/{what}", json=body), 409, "conflict")


def test_what_is_recorded_is_sealed(task: Task) -> None:
    task.call("GET", "/sheet")
    task.give(to="Duty officer Canary", reference="R-CANARY")
    assert task.now["given"]["to"] == "Duty officer Canary"
    with task.room.store.begin() as tx:
        whole = str(tx.all("SELECT * FROM deliveries") + tx.all("SELECT * FROM audit") + tx.all("SELECT * FROM events"))
    assert not [word for word in ("Canary", "R-CANARY", "Ileana") if word in whole]


NEW = {
    "phone": {"number": "07700 900777", "safe_to_call": True, "safe_to_text": False, "safe_to_leave_voicemail": False}
}


def new_contact(task: Task) -> None:
    path, key = f"/v1/referrals/{task.referral}/contact", {"Idempotency-Key": "c-1"}
    assert task.hub.call("POST", path, json=NEW, headers=key).status_code == 200
    work(task.room)


def update(task: Task) -> dict[str, Any] | None:
    found = task.hub.call("GET", f"/v1/referrals/{task.referral}").json()["deliveries"]
    return next((one for one in found if one["kind"] == "update"), None)


def test_a_new_safe_contact_is_a_task_where_the_old_one_was_given(task: Task) -> None:
    task.call("GET", "/sheet")
    task.give()
    new_contact(task)
    told = update(task)
    assert told is not None
    assert told["state"] == "task"
    sheet = task.call("GET", "/sheet", told["id"]).json()
    assert sheet["referral"]["contact"]["phone"]["number"] == "07700 900777"
    assert task.give(told["id"]).status_code == 200
    assert task.now["status"] == "sent"
    changed = update(task)
    assert changed is not None
    assert changed["state"] == "delivered"


def test_a_sheet_that_nobody_opened_has_the_new_contact_and_one_that_was_is_followed(task: Task) -> None:
    new_contact(task)
    assert update(task) is None
    assert task.call("GET", "/sheet").json()["referral"]["contact"]["phone"]["number"] == "07700 900777"
    later = {"Idempotency-Key": "c-2"}
    task.hub.call("POST", f"/v1/referrals/{task.referral}/contact", json={}, headers=later)
    told = update(task)
    assert told is not None
    assert told["state"] == "held"
    task.hub.call("POST", f"/v1/consents/{task.consent}/withdraw")
    task.give(without_consent=True)
    work(task.room)
    back = task.withdrawal()
    assert back is not None
    assert (back["state"], update(task)["state"]) == ("task", "withdrawn")  # type: ignore[index]


def test_a_message_is_told_from_a_sheet(hub: Hub, room: PostRoom) -> None:
    task = Task(hub, room)
    task.call("GET", "/sheet")
    words = {"agency": REFUGE, "text": "She can come on Monday."}
    path = f"/v1/referrals/{task.referral}/messages"
    said = hub.call("POST", path, json=words, headers={"Idempotency-Key": "a"}).json()["delivery"]
    never = hub.call("POST", path, json=words, headers={"Idempotency-Key": "b"}).json()["delivery"]
    work(room)
    assert task.call("GET", "", said).json()["state"] == "held"  # until she is there
    assert task.give().status_code == 200
    work(room)
    page = task.call("GET", "/sheet", said, headers={"Accept": "text/html"}).text
    assert "Message for refuge" in page
    assert words["text"] in page
    found = task.call("GET", "/sheet", said).json()
    assert (found["kind"], found["message"], found["referral"]) == ("message", words["text"], {})
    assert task.give(said).json()["state"] == "delivered"
    work(room)
    assert task.call("GET", "", never).json()["state"] == "task"
    changed = task.call("POST", "/status", never, json={"status": "withdrawn"}).json()
    assert changed["delivery"]["state"] == "withdrawn"
