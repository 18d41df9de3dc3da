"""What an agency is told by hand, at the console: its hub's caseworkers see the task, open the sheet, record what came of it."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import intake
from gateway.console.tasks import _with_zone
from gateway.delivery import changes, webhooks
from gateway.delivery import messages as words
from gateway.delivery.room import PostRoom
from gateway.policy.hours import LONDON
from gateway.policy.lifecycle import State
from gateway.policy.roles import Role
from gateway.policy.troubles import Kind
from gateway.store import cases, consents, deliveries
from gateway.store.callers import Caller
from gateway.store.deliveries import Delivery
from tests.rooms.api.test_by_hand import REFUGE, with_refuge
from tests.rooms.console.test_cases import deeds, told
from tests.rooms.console.visiting import HUB, Browser, as_owner, asking, visit
from tests.rooms.delivery.test_attempt import make_due, work
from tests.support import ALL_CATEGORIES, REFERRAL, Agencies, consent, referral

FAMILY = REFERRAL["person"]["name"]["family"]
NUMBER = REFERRAL["contact"]["phone"]["number"]
WORDS = "Xanthippe can come on Monday.\nShe needs a cot."
PERSONAL = (FAMILY, "Ileana", NUMBER, REFERRAL["subject"], "Cannot sleep", "Example Street", "Xanthippe")


@pytest.fixture
def room(room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch) -> PostRoom:
    """The room by day, with an agency that is reached by hand."""
    monkeypatch.setattr("gateway.policy.openings.NIGHT", (24, 0))
    return with_refuge(room, agencies)


@pytest.fixture
def worker(room: PostRoom) -> Browser:
    return visit(room, Role.CASEWORKER, "morag")


def refer(room: PostRoom, hub: str = HUB) -> str:
    """A referral to the refuge. Returns its delivery."""
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent({REFUGE: ALL_CATEGORIES}), hub=hub)
    draft = referral(agreed, REFUGE)
    taken = intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), f"key {agreed}", Caller(hub))
    with room.store.begin() as tx:
        [found] = deliveries.of_referral(tx, taken.id)
    return found.id


def to_tell(room: PostRoom, hub: str = HUB) -> str:
    task = refer(room, hub)
    work(room)
    return task


def now(room: PostRoom, task: str) -> Delivery:
    with room.store.begin() as tx:
        return deliveries.get(tx, task)


def referral_of(room: PostRoom, task: str) -> str:
    return now(room, task).referral or ""


def withdrawn(room: PostRoom, at: datetime) -> None:
    """As if she had withdrawn by a path that does not touch deliveries."""
    with room.store.begin() as tx:
        tx.run("UPDATE consents SET withdrawn_at = %(at)s", {"at": at})


def given(**fields: str) -> dict[str, str]:
    return {"at": f"{datetime.now(LONDON):%Y-%m-%dT%H:%M}", "to": "Duty officer", **fields}


def error(page: Any) -> str:
    found = re.search(r'role="alert">([^<]*)<', page.text)
    return found[1] if found else ""


def test_the_list_has_this_hubs_tasks_and_no_personal_data(worker: Browser, room: PostRoom) -> None:
    task, others = refer(room), refer(room, "highland-hub")
    work(room)
    page = worker.get("/console/tasks").text
    assert task in page and REFUGE in page and others not in page
    assert "late" not in page
    make_due(room)
    work(room)
    page = worker.get("/console/tasks").text
    assert "late" in page
    due = now(room, task).due_at
    assert due and f"{due.astimezone(LONDON):%H:%M}" in page  # the next reminder
    for path in ("/console/tasks", f"/console/tasks/{task}"):
        answer = worker.get(path)
        assert answer.status_code == 200
        assert not [one for one in PERSONAL if one in answer.text]
    assert 'href="/console/tasks"' in worker.get("/console/cases").text
    assert f"/console/tasks/{task}" in worker.get(f"/console/cases/{referral_of(room, task)}").text
    assert deeds(room, cases.OPEN, "referral.open") == []


def test_the_sheet_is_opened_for_this_agency_alone_and_written_down(worker: Browser, room: PostRoom) -> None:
    task = to_tell(room)
    page = worker.post(f"/console/tasks/{task}/sheet")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert FAMILY in page.text and NUMBER in page.text and "Destroy the sheet" in page.text
    assert not [one for one in ("1994", "Example Street", REFERRAL["subject"]) if one in page.text]  # not needed there
    title = re.search("<title>(.*)</title>", page.text)
    assert title and FAMILY not in title[1]
    identifier = referral_of(room, task)
    opening, opened = deeds(room, cases.OPEN, "referral.open")
    expected = {"hub": HUB, "purpose": "by-hand", "delivery": task}
    assert opening == ("caseworker:morag", cases.OPEN, identifier, expected)
    assert opened == ("caseworker:morag", "referral.open", identifier, {"because": f"sheet of {task} for {REFUGE}"})
    assert worker.get(f"/console/tasks/{task}/sheet").status_code == 405  # no address shows it again
    looked = worker.get(f"/console/cases/{identifier}").text
    assert "To tell an agency by hand" in looked and FAMILY not in looked
    assert "sheet was opened" in worker.get("/console/tasks").text


def test_no_sheet_when_the_audit_cannot_be_written(worker: Browser, room: PostRoom) -> None:
    task = to_tell(room)
    as_owner(room, "ALTER TABLE audit ADD CHECK (action <> 'case.open')")
    answer = worker.post(f"/console/tasks/{task}/sheet")
    assert answer.status_code == 500 and FAMILY not in answer.text
    assert now(room, task).seen_at is None


def test_without_her_consent_no_sheet_opens_and_the_task_stops(worker: Browser, room: PostRoom) -> None:
    task = to_tell(room)
    withdrawn(room, datetime.now(UTC))
    answer = worker.post(f"/console/tasks/{task}/sheet")
    assert answer.status_code == 403 and "does not agree" in error(answer)
    assert not [one for one in PERSONAL if one in answer.text]
    assert (now(room, task).state, now(room, task).code) == (State.WITHDRAWN, "consent_withdrawn")
    assert "Open the sheet" not in answer.text
    assert deeds(room, cases.OPEN, "referral.open") == []
    assert worker.post(f"/console/tasks/{task}/sheet").status_code == 409


def test_sheets_count_among_what_is_opened_and_unusual_ones_raise_an_alert(room: PostRoom) -> None:
    worker = visit(asking(room, others_an_hour=1), Role.CASEWORKER, "morag")
    first, second = to_tell(room), to_tell(room)
    for task in (first, first):  # the same again is no other
        worker.post(f"/console/tasks/{task}/sheet")
    assert told(room) == []
    assert FAMILY in worker.post(f"/console/tasks/{second}/sheet").text
    assert told(room) == [("caseworker:morag", Kind.UNUSUAL)]
    assert [detail.get("unusual") for *_, detail in deeds(room, cases.OPEN)] == [None, None, ["not-hers"]]


def test_it_is_recorded_as_given_and_answered(worker: Browser, room: PostRoom) -> None:
    task = to_tell(room)
    path = f"/console/tasks/{task}"
    done = worker.post(f"{path}/given", given(reference="R-1"))
    assert (done.status_code, done.headers["location"]) == (303, path)
    found = now(room, task)
    assert (found.state, found.status) == (State.DELIVERED, "sent")
    with room.store.begin() as tx:
        kept = deliveries.given(tx, found)
        assert kept and kept["to"] == "Duty officer"
        assert deliveries.reference(tx, found) == "R-1"
    assert task in worker.get("/console/tasks").text.partition("still open")[2]
    assert worker.post(f"{path}/given", given()).status_code == 409
    assert worker.post(f"{path}/answer", {"status": "completed"}).status_code == 303
    assert now(room, task).status == "completed"
    worker.post(f"{path}/answer", {"status": "declined", "reason": "no-capacity"})
    assert now(room, task).status == "completed"
    assert "it said declined, against what is recorded" in worker.get(path).text
    assert task not in worker.get("/console/tasks").text
    actors = {actor for actor, *_ in deeds(room, "delivery.deliver", "delivery.status")}
    assert actors == {"caseworker:morag"}


def test_a_time_is_londons_in_summer_too() -> None:
    assert _with_zone("2026-07-01T10:00") == "2026-07-01T10:00:00+01:00"


@pytest.mark.parametrize(("status", "state"), [("declined", State.REFUSED), ("withdrawn", State.WITHDRAWN)])
def test_it_is_recorded_that_it_was_not_given(worker: Browser, room: PostRoom, status: str, state: State) -> None:
    task = to_tell(room)
    assert worker.post(f"/console/tasks/{task}/answer", {"status": "accepted"}).status_code == 409
    assert worker.post(f"/console/tasks/{task}/answer", {"status": status}).status_code == 303
    assert now(room, task).state is state


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"at": "2020-01-01T10:00"}, "Say when"),
        ({"at": "2099-01-01T10:00"}, "Say when"),
        ({"at": "yesterday"}, "Say when"),
        ({"at": ""}, "Say when"),
        ({"to": " "}, "Say whom"),
        ({"to": "x" * 121}, "Say whom"),
        ({"reference": "x" * 129}, "at most 128"),
    ],
)
def test_what_is_wrong_with_a_record_is_said_in_plain_words_and_what_was_typed_stays(
    worker: Browser, room: PostRoom, fields: dict[str, str], says: str
) -> None:
    task = to_tell(room)
    answer = worker.post(f"/console/tasks/{task}/given", {**given(reference="R-9"), **fields})
    assert answer.status_code == 422
    assert says in error(answer) and "/" not in error(answer)
    assert ("R-9" in answer.text) is ("reference" not in fields)
    assert now(room, task).state is State.TASK


def test_an_answer_is_chosen_from_what_there_is(worker: Browser, room: PostRoom) -> None:
    task = to_tell(room)
    for form in ({}, {"status": "happy"}, {"status": "declined", "reason": "bored"}):
        answer = worker.post(f"/console/tasks/{task}/answer", form)
        assert answer.status_code == 422 and "hoose" in error(answer)
    assert now(room, task).state is State.TASK


def test_what_was_given_without_her_consent_is_recorded_on_request_and_taken_back(
    worker: Browser, room: PostRoom
) -> None:
    task = to_tell(room)
    path = f"/console/tasks/{task}/given"
    assert "without_consent" not in worker.get(f"/console/tasks/{task}").text
    worker.post(f"/console/tasks/{task}/sheet")
    withdrawn(room, datetime.now(UTC) - timedelta(minutes=2))
    answer = worker.post(path, given())
    assert answer.status_code == 403 and "did not agree" in error(answer)
    assert 'name="without_consent"' in answer.text and "Duty officer" in answer.text
    assert now(room, task).state is State.TASK
    assert worker.post(path, given(without_consent="yes")).status_code == 303
    assert now(room, task).code == "given_without_consent"
    work(room)
    assert "withdrawal" in worker.get("/console/tasks").text


def send(room: PostRoom, identifier: str) -> None:
    document = {"agency": REFUGE, "text": WORDS}
    words.send(room, identifier, document, WORDS, json.dumps(document).encode(), Caller(HUB))


def withdraw(room: PostRoom, identifier: str) -> None:
    with room.store.begin() as tx:
        row = tx.one("SELECT consent FROM referrals WHERE id = %(id)s", {"id": identifier})
    assert row
    changes.withdraw_consent(room, row["consent"], Caller(HUB))


@pytest.mark.parametrize(
    ("deed", "kind", "says"), [(send, "message", "cot."), (withdraw, "withdrawal", "took her referral back")]
)
def test_a_message_and_a_withdrawal_are_told_from_their_own_sheets(
    worker: Browser, room: PostRoom, deed: Callable[[PostRoom, str], None], kind: str, says: str
) -> None:
    first = to_tell(room)
    worker.post(f"/console/tasks/{first}/given", given(reference="R-7"))
    deed(room, referral_of(room, first))
    work(room)
    listed = worker.get("/console/tasks").text
    [task] = set(re.findall(r"/console/tasks/(del_\w+)", listed.partition("still open")[0]))
    assert kind in listed and not [one for one in PERSONAL if one in listed]
    page = worker.get(f"/console/tasks/{task}").text
    assert ("it was never told" in page) is (kind == "message")  # a withdrawal must be told
    sheet = worker.post(f"/console/tasks/{task}/sheet").text
    assert says in sheet and "R-7" in sheet and FAMILY not in sheet
    assert len(deeds(room, cases.OPEN)) == (kind == "message")  # the other tells nothing of her
    assert worker.post(f"/console/tasks/{task}/given", given()).status_code == 303
    assert now(room, task).state is State.DELIVERED
    assert "What it answers" not in worker.get(f"/console/tasks/{task}").text


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CASEWORKER])
def test_other_roles_are_refused(room: PostRoom, role: Role) -> None:
    task, other = to_tell(room), visit(room, role)
    for answer in calls(other, task):
        assert answer.status_code == 403 and FAMILY not in answer.text
    assert (now(room, task).state, now(room, task).seen_at) == (State.TASK, None)
    page = other.get(f"/console/cases/{referral_of(room, task)}").text
    assert f"/console/tasks/{task}" not in page


def test_what_is_told_to_a_webhook_is_no_task(worker: Browser, room: PostRoom) -> None:
    webhooks.create(room, Caller(HUB, "key"), "https://203.0.113.9/", [])
    to_tell(room)
    with room.store.begin() as tx:
        [event, *_] = tx.all("SELECT id FROM deliveries WHERE kind = 'event'")
    assert worker.get(f"/console/tasks/{event['id']}").status_code == 404


def test_another_hubs_caseworker_finds_nothing(room: PostRoom) -> None:
    task, other = to_tell(room), visit(room, Role.CASEWORKER, "isla", "highland-hub")
    listed, *answers = calls(other, task)
    assert task not in listed.text
    for answer in answers:
        assert answer.status_code == 404 and FAMILY not in answer.text
    assert (now(room, task).state, now(room, task).seen_at) == (State.TASK, None)
    assert deeds(room, cases.OPEN, "referral.open") == []


def calls(browser: Browser, task: str) -> list[Any]:
    path = f"/console/tasks/{task}"
    return [
        browser.get("/console/tasks"),
        browser.get(path),
        browser.post(f"{path}/sheet"),
        browser.post(f"{path}/given", given()),
        browser.post(f"{path}/given", given(at="")),
        browser.post(f"{path}/answer", {"status": "declined"}),
    ]
