"""Looking at personal data is an event: for a purpose, written down with it, told when it is unusual, loud in an emergency."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.delivery import alerts, openings
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound
from gateway.policy.hours import LONDON
from gateway.policy.roles import Role
from gateway.policy.troubles import Kind
from gateway.settings import AlertSettings
from gateway.store import audit, cases, events, troubles
from tests.rooms.console.visiting import Browser, add, as_owner, asking, passes, person, visit
from tests.rooms.delivery.test_attempt import submit
from tests.support import HOUSING, REFERRAL

FAMILY = REFERRAL["person"]["name"]["family"]
FOR = {"purpose": "contact"}


@pytest.fixture
def quiet(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> PostRoom:
    """The room by day, whenever the test runs."""
    monkeypatch.setattr("gateway.policy.openings.NIGHT", (24, 0))
    return room


@pytest.fixture
def worker(quiet: PostRoom) -> Browser:
    return visit(quiet, Role.CASEWORKER, "morag")


def deeds(room: PostRoom, *actions: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """``(actor, action, object, detail)`` of the audit, oldest first."""
    with room.store.begin() as tx:
        rows = tx.all("SELECT * FROM audit WHERE action = ANY(%(actions)s) ORDER BY id", {"actions": list(actions)})
    return [(row["actor"], row["action"], row["object"], json.loads(row["detail"] or "{}")) for row in rows]


def test_the_list_and_a_case_hold_no_personal_data(worker: Browser, room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING)
    for path in ("/console/cases", f"/console/cases/{identifier}"):
        page = worker.get(path)
        assert page.status_code == 200
        assert identifier in page.text and HOUSING in page.text
        assert not any(word in page.text for word in (FAMILY, REFERRAL["subject"], "07700 900123", "Example Street"))
    assert deeds(room, cases.OPEN) == []


def test_it_is_opened_for_a_purpose_and_written_down_with_it(worker: Browser, room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING)
    path = f"/console/cases/{identifier}/open"
    for form in ({}, {"purpose": "curiosity"}, {"purpose": "other"}, {"purpose": "other", "note": "  "}):
        answer = worker.post(path, form)
        assert answer.status_code == 422 and FAMILY not in answer.text
    assert deeds(room, cases.OPEN) == []
    page = worker.post(path, {"purpose": "other", "note": "she rang"})
    assert page.status_code == 200 and FAMILY in page.text and "07700 900123" in page.text
    assert page.headers["cache-control"] == "no-store"
    title = re.search("<title>(.*)</title>", page.text)
    assert title and FAMILY not in title[1]
    expected = {"hub": "glasgow-hub", "purpose": "other", "note": "she rang"}
    assert deeds(room, cases.OPEN) == [("caseworker:morag", cases.OPEN, identifier, expected)]
    assert worker.get(path).status_code == 405  # no address shows it again
    assert FAMILY not in worker.get(f"/console/cases/{identifier}").text
    assert "she rang" in worker.get(f"/console/cases/{identifier}").text  # who looked, and for what


def test_nothing_is_opened_when_the_audit_cannot_be_written(
    worker: Browser, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, identifier = submit(room, HOUSING)
    as_owner(room, "ALTER TABLE audit ADD CHECK (action <> 'case.open')")
    answer = worker.post(f"/console/cases/{identifier}/open", FOR)
    assert answer.status_code == 500 and FAMILY not in answer.text


def test_another_hubs_people_see_nothing(quiet: PostRoom) -> None:
    _, identifier = submit(quiet, HOUSING)
    other = visit(quiet, Role.HUB_MANAGER, "isla", "highland-hub")
    assert identifier not in other.get("/console/cases").text
    assert identifier not in other.post("/console/cases/find", {"reference": REFERRAL["subject"]}).text
    assert other.get(f"/console/cases/{identifier}").status_code == 404
    for verb in ("open", "take"):
        assert other.post(f"/console/cases/{identifier}/{verb}", FOR).status_code == 404
    with pytest.raises(NotFound):
        openings.for_case(quiet, identifier, person(Role.CASEWORKER, "isla", "highland-hub"), "contact", "")
    assert deeds(quiet, cases.OPEN, cases.TAKE) == []


def test_it_is_found_by_the_hubs_own_reference_exactly_and_not_often(quiet: PostRoom) -> None:
    _, identifier = submit(quiet, HOUSING)
    worker = visit(asking(quiet, finds_a_minute=5), Role.CASEWORKER, "morag")

    def find(reference: str) -> Any:
        return worker.post("/console/cases/find", {"reference": reference})

    assert identifier in find(REFERRAL["subject"]).text
    for other in (REFERRAL["subject"][:-1], REFERRAL["subject"] + "%", FAMILY, REFERRAL["subject"].lower()):
        assert identifier not in find(other).text
    assert find(REFERRAL["subject"]).status_code == 429
    assert [detail for *_, detail in deeds(quiet, cases.FIND)] == [{"found": count} for count in (1, 0, 0, 0, 0)]
    assert REFERRAL["subject"] not in str(deeds(quiet, cases.FIND))
    passes(quiet, 2)
    assert find(REFERRAL["subject"]).status_code == 200


def told(room: PostRoom) -> list[tuple[str, str]]:
    with room.store.begin() as tx:
        return sorted((who, kind) for who, kind in troubles.under_way(tx))


def test_many_openings_within_an_hour_raise_an_alert(quiet: PostRoom) -> None:
    room = asking(quiet, openings_an_hour=3, others_an_hour=9)
    made = [submit(room, HOUSING)[1] for _ in range(5)]
    morag = add(room, person(Role.CASEWORKER, "morag"))
    for identifier in [*made[:3], *made[:3]]:  # the same again is no other
        openings.for_case(room, identifier, morag, "contact", "")
    assert told(room) == []
    openings.for_case(room, made[3], morag, "contact", "")
    assert told(room) == [("caseworker:morag", Kind.UNUSUAL)]
    assert deeds(room, cases.OPEN)[-1][-1]["unusual"] == ["many"]


def test_cases_of_others_raise_an_alert_and_cases_taken_on_do_not(quiet: PostRoom) -> None:
    room = asking(quiet, others_an_hour=1)
    made = [submit(room, HOUSING)[1] for _ in range(4)]
    morag, isla = (add(room, person(Role.CASEWORKER, name)) for name in ("morag", "isla"))
    for identifier in made[:2]:
        openings.take(room, identifier, morag)
        openings.for_case(room, identifier, morag, "contact", "")
    openings.for_case(room, made[2], morag, "contact", "")
    assert told(room) == []
    openings.take(room, made[0], isla)  # it is no longer hers
    openings.for_case(room, made[3], morag, "contact", "")
    assert told(room) == [("caseworker:morag", Kind.UNUSUAL)]


def test_opening_at_night_raises_an_alert(quiet: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    _, identifier = submit(quiet, HOUSING)
    monkeypatch.setattr("gateway.policy.openings.NIGHT", (datetime.now(LONDON).hour, 0))
    openings.for_case(quiet, identifier, add(quiet, person(Role.CASEWORKER, "morag")), "contact", "")
    assert told(quiet) == [("caseworker:morag", Kind.UNUSUAL)]
    assert deeds(quiet, cases.OPEN)[-1][-1]["unusual"] == ["night"]


def test_many_at_once_are_counted_one_by_one(quiet: PostRoom) -> None:
    room = asking(quiet, openings_an_hour=4, others_an_hour=9)
    made = [submit(room, HOUSING)[1] for _ in range(8)]
    morag = add(room, person(Role.CASEWORKER, "morag"))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: openings.for_case(room, one, morag, "contact", ""), made))
    assert sum("unusual" in detail for *_, detail in deeds(room, cases.OPEN)) == 4


def test_an_alert_of_a_person_is_told_and_is_over_after_a_quiet_hour(quiet: PostRoom) -> None:
    changes = {"alerts": AlertSettings(webhook="https://pager.example")}
    room = type(quiet)(quiet.store, quiet.agencies, quiet.settings.model_copy(update=changes))
    _, identifier = submit(room, HOUSING)
    openings.break_glass(room, identifier, add(room, person(Role.DELIVERY_ADMIN)), "nobody answers")
    alerts.watch(room)
    assert told(room) == [("delivery-admin:alex", Kind.BREAK_GLASS)]
    with room.store.begin() as tx:
        [alert] = [troubles.take(tx, ["webhook"], timedelta(minutes=1))]
    assert alert
    document = alerts._document(alert, "text")
    assert document["type"] == "person.break-glass.begins"
    assert document["data"]["person"] == "delivery-admin:alex"
    passes(room, 61)
    alerts.watch(room)
    assert told(room) == []


def test_broken_glass_opens_one_referral_for_a_while_and_tells_the_hub(quiet: PostRoom) -> None:
    (_, identifier), (_, another) = submit(quiet, HOUSING), submit(quiet, HOUSING)
    admin, path = visit(quiet, Role.DELIVERY_ADMIN), f"/console/break-glass/{identifier}"
    assert admin.post(f"{path}/open").status_code == 403
    assert admin.post(path, {"reason": " "}).status_code == 422
    assert admin.post(f"{path}/open").status_code == 403
    assert admin.post(path, {"reason": "her hub is closed"}).status_code == 303
    assert "You may open this referral until" in admin.get(path).text
    page = admin.post(f"{path}/open")
    assert page.status_code == 200 and FAMILY in page.text
    assert re.search(r'class="banner".*Emergency', page.text)
    assert admin.post(f"/console/break-glass/{another}/open").status_code == 403
    found = [(actor, action, about) for actor, action, about, _ in deeds(quiet, cases.GLASS, cases.GLASS_OPEN)]
    assert found == [("delivery-admin:alex", action, identifier) for action in ("BREAK-GLASS", "BREAK-GLASS.open")]
    assert deeds(quiet, cases.GLASS)[0][-1] == {"hub": "glasgow-hub", "reason": "her hub is closed"}
    with quiet.store.begin() as tx:
        events.place(tx)
        types = [event["type"] for event in events.after(tx, "glasgow-hub", 0, 100) if event["referral"] == identifier]
    assert "referral.break-glass" in types
    assert told(quiet) == [("delivery-admin:alex", Kind.BREAK_GLASS)]
    manager = visit(quiet, Role.HUB_MANAGER, "isla")
    assert "her hub is closed" in manager.get("/console/openings").text
    passes(quiet, 16)
    assert admin.post(f"{path}/open").status_code == 403


def test_an_auditor_reads_filters_and_checks_the_chain(quiet: PostRoom) -> None:
    _, identifier = submit(quiet, HOUSING)
    openings.break_glass(quiet, identifier, add(quiet, person(Role.DELIVERY_ADMIN, "max")), "nobody <answers>")
    auditor = visit(quiet, Role.AUDITOR)
    page = auditor.get("/console/audit").text
    assert "nobody &lt;answers&gt;" in page and FAMILY not in page
    only = auditor.get(
        "/console/audit", params={"action": "BREAK", "actor": "delivery-admin:", "object": identifier}
    ).text
    assert only.count("<td>BREAK-GLASS</td>") == 1 and "referral.submit" not in only
    today = datetime.now(LONDON).date()
    for since, until, there in (
        (today, today, True),
        (today + timedelta(days=1), "", False),
        ("", today - timedelta(days=1), False),
    ):
        found = auditor.get("/console/audit", params={"since": str(since), "until": str(until)}).text
        assert ("BREAK-GLASS" in found.partition("<tbody>")[2]) is there
    assert auditor.get("/console/audit?since=yesterday").status_code == 422
    assert "the chain holds" in auditor.post("/console/audit/verify").text
    as_owner(
        quiet,
        "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
        "UPDATE audit SET actor = 'somebody' WHERE action = 'BREAK-GLASS'",
    )
    assert "broken" in auditor.post("/console/audit/verify").text


def test_the_audit_is_read_a_page_at_a_time(quiet: PostRoom) -> None:
    with quiet.store.begin() as tx:
        audit.write(tx, "test", "deed", *(f"n{number}" for number in range(120)))
    auditor = visit(quiet, Role.AUDITOR)
    seen, path = [], "/console/audit?actor=test&action=deed"
    while path:
        page = auditor.get(path).text
        seen += re.findall(r"<code>n(\d+)</code>", page)
        older = re.search(r'href="(/console/audit\?[^"]+before=\d+)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert [int(number) for number in seen] == list(reversed(range(120)))


def test_the_sandbox_shows_what_adapters_make_of_nobody(quiet: PostRoom) -> None:
    submit(quiet)
    page = visit(quiet, Role.ADAPTER_AUTHOR).get("/console/sandbox").text
    assert "SYNTHETIC" not in page and FAMILY not in page  # the pseudonym is given to no agency
    for part in ("/referrals", "Example", "Bundle", "scottish-child-payment"):
        assert part in page, part
    assert not any(error in page for error in ("Error", "NotDeclared"))
    for secrets in quiet.settings.agencies.values():
        assert not any(secret.get_secret_value() in page for secret in secrets.credentials.values())
