"""The status page, as an administrator's browser asks for it."""

import re

import pytest
from starlette.testclient import TestClient

from gateway import app
from gateway.console.login import hasher
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.store import callers
from tests.rooms.delivery.test_attempt import of, submit, until, work
from tests.support import HEALTH, HOUSING, REFERRAL, Agencies

PASSWORD = "a long enough password"


@pytest.fixture
def browser(room: PostRoom) -> TestClient:
    with room.store.begin() as tx:
        callers.add_admin(tx, "alex", hasher.hash(PASSWORD), by="test")
    return TestClient(app.build(room), base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture
def admin(browser: TestClient) -> TestClient:
    answer = browser.post("/console/login", data={"name": "alex", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    return browser


def test_nobody_sees_a_page_without_logging_in(browser: TestClient) -> None:
    for path in ("/console", "/console/deliveries/del_0"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/login")
    assert browser.post("/console/deliveries/del_0/replay", data={"reason": "x"}).status_code == 303


@pytest.mark.parametrize(("name", "password"), [("alex", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_login_tells_nothing(browser: TestClient, name: str, password: str) -> None:
    answer = browser.post("/console/login", data={"name": name, "password": password})
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_session_is_kept_from_scripts_and_other_sites_and_ends(admin: TestClient) -> None:
    cookie = admin.post("/console/login", data={"name": "alex", "password": PASSWORD}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert admin.get("/console").status_code == 200
    admin.post("/console/logout")
    assert admin.get("/console").status_code == 303


def test_a_form_from_another_site_is_refused(admin: TestClient) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert (
            admin.post("/console/login", data={"name": "alex", "password": PASSWORD}, headers=headers).status_code
            == 403
        )


def test_totals_filters_and_pages(admin: TestClient, room: PostRoom, agencies: Agencies) -> None:
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


def test_a_page_holds_no_personal_data_and_loads_nothing_from_elsewhere(admin: TestClient, room: PostRoom) -> None:
    _, identifier = submit(room)
    work(room)
    delivery = of(room, identifier)[HOUSING]
    for path in ("/console", f"/console/deliveries/{delivery.id}"):
        answer = admin.get(path)
        assert REFERRAL["person"]["name"]["family"] not in answer.text
        assert REFERRAL["subject"] not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
        assert "<script" not in answer.text
    assert admin.get("/console/static/console.css").headers["content-type"].startswith("text/css")


def test_a_dead_delivery_is_replayed_with_a_reason(admin: TestClient, room: PostRoom, agencies: Agencies) -> None:
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
    assert rows == [{"actor": "admin:alex", "detail": '{"reason": "they are back"}'}]
    assert admin.post(path, data={"reason": "again"}).status_code == 409


def test_an_unknown_delivery_is_a_page_of_its_own(admin: TestClient) -> None:
    answer = admin.get("/console/deliveries/del_00000000000000000")
    assert answer.status_code == 404
    assert "Back to the status page" in answer.text
