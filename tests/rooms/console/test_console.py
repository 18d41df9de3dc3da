"""The status page, as a delivery admin's browser asks for it."""

import re
from datetime import timedelta

import pytest

from gateway.delivery import changes, webhooks
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.policy.roles import Role
from gateway.store import deliveries
from gateway.store.callers import Caller
from tests.rooms.console.visiting import Browser, visit
from tests.rooms.delivery.test_attempt import HUB, make_due, of, submit, until, work
from tests.rooms.delivery.test_replay import dead
from tests.rooms.delivery.test_standing import changed, closed, today
from tests.support import HEALTH, HOUSING, REFERRAL, SOCIAL_SECURITY, Agencies


@pytest.fixture
def admin(room: PostRoom) -> Browser:
    return visit(room, Role.DELIVERY_ADMIN)


def test_totals_filters_and_pages(admin: Browser, room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=99)
    for _ in range(27):
        submit(room, HOUSING)
    submit(room, HEALTH)
    work(room)
    page = admin.get("/console").text
    assert "Oldest undelivered" in page
    assert len(re.findall(r"<code>del_\w+</code>", page)) == 25
    older = re.search(r'href="(/console\?agency=&amp;state=&amp;after=[^"]+)"', page)
    assert older
    rest = admin.get(older[1].replace("&amp;", "&")).text
    assert len(re.findall(r"<code>del_\w+</code>", rest)) == 3
    assert "Older deliveries" not in rest
    only = admin.get(f"/console?agency={HEALTH}&state=delivered").text
    assert len(re.findall(r"<code>del_\w+</code>", only)) == 1
    for odd in ("state=strange", "agency=' OR 1=1", "after=nonsense"):
        assert admin.get(f"/console?{odd}").status_code == 200


def test_deliveries_to_a_hubs_webhook_are_listed_with_the_others(admin: Browser, room: PostRoom) -> None:
    webhooks.create(room, Caller("glasgow-hub", "key"), "https://203.0.113.9/", [])
    submit(room, HOUSING)
    work(room)
    page = admin.get("/console")
    assert page.status_code == 200
    assert "a hub’s webhook" in page.text


def test_a_page_holds_no_personal_data_and_loads_nothing_from_elsewhere(admin: Browser, room: PostRoom) -> None:
    _, identifier = submit(room)
    work(room)
    delivery = of(room, identifier)[HOUSING]
    pages = (
        "/console",
        f"/console/deliveries/{delivery.id}",
        f"/console/agencies/{HOUSING}",
        "/console/replay?state=dead",
    )
    for path in pages:
        answer = admin.get(path)
        assert REFERRAL["person"]["name"]["family"] not in answer.text
        assert REFERRAL["subject"] not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
        assert "<script" not in answer.text
    assert admin.get("/console/static/console.css").headers["content-type"].startswith("text/css")


def test_a_dead_delivery_is_replayed_with_a_reason(admin: Browser, room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    _, identifier = submit(room, HOUSING)
    dead = until(room, identifier, HOUSING, State.DEAD)
    page = admin.get(f"/console/deliveries/{dead.id}").text
    assert "Send it again" in page
    assert page.count("unavailable") == 4
    path = f"/console/deliveries/{dead.id}/replay"
    assert admin.post(path, data={"reason": " "}).status_code == 422
    assert of(room, identifier)[HOUSING].state is State.DEAD
    assert admin.post(path, data={"reason": "they are back"}).status_code == 303
    until(room, identifier, HOUSING, State.DELIVERED)
    with room.store.begin() as tx:
        rows = tx.all("SELECT actor, detail FROM audit WHERE action = 'delivery.replay'")
    assert rows == [{"actor": "delivery-admin:alex", "detail": '{"reason": "they are back"}'}]
    assert admin.post(path, data={"reason": "again"}).status_code == 409


def test_an_unknown_delivery_is_a_page_of_its_own(admin: Browser) -> None:
    answer = admin.get("/console/deliveries/del_00000000000000000")
    assert answer.status_code == 404
    assert "Back to the front page" in answer.text


def test_an_agency_is_paused_and_resumed_with_a_reason(admin: Browser, room: PostRoom, agencies: Agencies) -> None:
    path = f"/console/agencies/{HOUSING}"
    assert "round the clock" in admin.get(path).text
    assert admin.post(f"{path}/pause", data={"reason": " "}).status_code == 422
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert admin.post(f"{path}/pause", data={"reason": "x"}, headers=elsewhere).status_code == 403
    assert admin.post(f"{path}/pause", data={"reason": "they <b>asked</b> us to"}).status_code == 303
    _, identifier = submit(room, HOUSING)
    work(room)
    waits = of(room, identifier)[HOUSING]
    page = admin.get(path).text
    assert "paused since" in page
    assert "delivery-admin:alex: they &lt;b&gt;asked&lt;/b&gt; us to" in page
    assert "because its agency is paused" in admin.get(f"/console/deliveries/{waits.id}").text
    assert "paused since" in admin.get("/console").text
    assert not agencies[HOUSING].received
    assert admin.post(f"{path}/resume", data={"reason": "they are back"}).status_code == 303
    until(room, identifier, HOUSING, State.DELIVERED)
    with room.store.begin() as tx:
        rows = tx.all("SELECT actor, action FROM audit WHERE object = %(name)s ORDER BY id", {"name": HOUSING})
    assert [tuple(row.values()) for row in rows] == [
        ("delivery-admin:alex", "agency.pause"),
        ("delivery-admin:alex", "agency.resume"),
    ]
    for verb in ("pause", "resume", "burn"):
        assert admin.post(f"/console/agencies/nobody/{verb}", data={"reason": "x"}).status_code == 404
    assert admin.post(f"{path}/burn", data={"reason": "x"}).status_code == 422


def test_opening_hours_and_limits_are_told_with_until_when(room: PostRoom) -> None:
    shut = changed(closed(room, HOUSING, hours_except=["stat"]), HEALTH, calls_a_minute=1)
    submit(room, HEALTH)
    work(shut)
    viewer = visit(shut, Role.DELIVERY_ADMIN)
    opens = f"closed until {today() + timedelta(days=2):%a %-d %b %Y} 00:00"
    assert opens in viewer.get("/console").text
    page = viewer.get(f"/console/agencies/{HOUSING}").text
    assert opens in page
    assert "stat at any time" in page
    limited = viewer.get(f"/console/agencies/{HEALTH}").text
    assert "1 of 1 used" in limited
    assert "at its limit until" in limited


def test_a_range_is_shown_before_it_is_sent_again(admin: Browser, room: PostRoom, agencies: Agencies) -> None:
    made = dead(room, agencies, HOUSING, 3)
    with room.store.begin() as tx:
        tx.run("UPDATE consents SET withdrawn_at = now() WHERE id = %(id)s", {"id": made[0][0]})
    assert "What it would be" not in admin.get("/console/replay").text
    page = admin.get("/console/replay", params={"agency": HOUSING, "code": "HTTP 503, timeout", "state": "dead"}).text
    assert "Send 2 again" in page
    assert "left as they are: she withdrew her consent" in page
    hidden = [
        pair for pair in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page) if pair[0] != "csrf"
    ]
    form = {**dict(hidden), "reason": "they are back"}
    later = dead(room, agencies, HOUSING, 1)  # after it was shown
    assert admin.post("/console/replay", data={**form, "reason": " "}).status_code == 422
    elsewhere = {"Origin": "https://evil.example"}
    assert admin.post("/console/replay", data=form, headers=elsewhere).status_code == 403
    assert [of(room, referral)[HOUSING].state for _, referral in made] == [State.DEAD] * 3
    done = admin.post("/console/replay", data=form)
    assert done.status_code == 200
    states = [of(room, referral)[HOUSING].state for _, referral in [*made, *later]]
    assert states == [State.DEAD, State.WAITING, State.WAITING, State.DEAD]
    for odd in ({"since": "yesterday"}, {"state": "delivered"}):
        assert admin.get("/console/replay", params=odd).status_code == 422


@pytest.mark.parametrize("verb", ["confirm", "refuse"])
def test_what_has_to_be_told_by_hand_is_listed_and_decided_without_its_sheet(
    admin: Browser, room: PostRoom, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "withdraw", lambda *args: None)
    agreed, identifier = submit(room, HOUSING)
    work(room)
    changes.withdraw_consent(room, agreed, HUB)
    work(room)
    original, task = of(room, identifier)[HOUSING], of(room, identifier, "withdrawal")[HOUSING]
    with room.store.begin() as tx:
        reference = deliveries.reference(tx, original)
    assert reference
    assert task.id in admin.get("/console").text
    page = admin.get(f"/console/deliveries/{task.id}").text
    assert "You told the agency" in page
    assert original.id in page
    assert reference not in page
    assert "Send it again" not in page
    assert "You told the agency" not in admin.get(f"/console/deliveries/{original.id}").text
    assert admin.post(f"/console/deliveries/{task.id}/{verb}", data={"reason": " "}).status_code == 422
    assert admin.post(f"/console/deliveries/{task.id}/{verb}", data={"reason": "by phone"}).status_code == 303
    ends = {"confirm": (State.DELIVERED, "withdrawn"), "refuse": (State.REFUSED, "cancellation-requested")}
    after = of(room, identifier, "withdrawal")[HOUSING].state, of(room, identifier)[HOUSING].status
    assert after == ends[verb]


def test_what_waits_for_a_person_is_listed_and_decided(admin: Browser, room: PostRoom, agencies: Agencies) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=4)
    _, identifier = submit(room, SOCIAL_SECURITY)
    for _ in range(6):
        work(room)
        make_due(room)
    waits = of(room, identifier)[SOCIAL_SECURITY]
    assert waits.id in admin.get(f"/console/agencies/{SOCIAL_SECURITY}").text
    assert "waits for a person" in admin.get(f"/console?agency={SOCIAL_SECURITY}").text
    page = admin.get(f"/console/deliveries/{waits.id}").text
    assert "keeps no keys and may get it twice" in page
    assert "may get them twice" in admin.get("/console/replay?state=asking").text
    assert admin.post(f"/console/deliveries/{waits.id}/confirm", data={"reason": "asked by phone"}).status_code == 303
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.DELIVERED
    assert waits.id not in admin.get(f"/console/agencies/{SOCIAL_SECURITY}").text
    with room.store.begin() as tx:
        rows = tx.all("SELECT actor, detail FROM audit WHERE action = 'delivery.confirm'")
    assert rows == [{"actor": "delivery-admin:alex", "detail": '{"reason": "asked by phone"}'}]
