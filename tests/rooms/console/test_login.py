"""Logging in: two factors, nothing told to a stranger, delays for who guesses and none for the innocent, sessions that end."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyotp
import pytest

from gateway.console import credentials
from gateway.delivery.room import PostRoom
from gateway.policy.roles import Role
from gateway.store import people, sessions
from tests.rooms.console.visiting import PASSWORD, Browser, add, asking, person, visit, with_factor


@pytest.fixture
def alex(room: PostRoom) -> str:
    """An account that is set up. The secret of its second factor."""
    return with_factor(room, add(room, person(Role.DELIVERY_ADMIN)))


def code(secret: str, room: PostRoom, later: int = 0) -> str:
    """The code of now, or of *later* steps."""
    with room.store.begin() as tx:
        return pyotp.TOTP(secret).at(int(tx.now().timestamp()) + 30 * later)


def sql(room: PostRoom, statement: Any, **values: Any) -> None:
    with room.store.begin() as tx:
        tx.run(statement, values)


def test_name_password_and_code_let_in(room: PostRoom, alex: str) -> None:
    browser = Browser(room)
    assert browser.get("/console").headers["location"] == "/console/login"
    answer = browser.log_in(code=code(alex, room))
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert browser.get("/console").status_code == 200
    with room.store.begin() as tx:
        assert tx.one("SELECT actor FROM audit WHERE action = 'person.login'") == {"actor": "delivery-admin:alex"}


def test_whatever_is_wrong_the_answer_is_the_same(room: PostRoom, alex: str) -> None:
    add(room, person(Role.AUDITOR, "gone"))
    with room.store.begin() as tx:
        people.disable(tx, person(Role.AUDITOR, "gone"), by="test")
    add(room, person(Role.AUDITOR, "late"), one_time=True)
    sql(room, "UPDATE people SET one_time_until = now() WHERE name = 'late'")
    right = code(alex, room)
    tries = [
        {"name": "alex", "password": "wrong", "code": right}, {"name": "alex", "password": PASSWORD},
        {"name": "alex", "password": PASSWORD, "code": "000000"}, {"name": "nobody", "password": PASSWORD, "code": right},
        {"name": "gone", "password": PASSWORD}, {"name": "late", "password": PASSWORD}, {}, {"name": "\0", "code": "é"},
    ]  # fmt: skip
    answers = [Browser(room).post("/console/login", fields) for fields in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert all("set-cookie" not in answer.headers for answer in answers)


def test_an_unknown_name_costs_a_hash_too(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    real = credentials.hasher.verify
    monkeypatch.setattr(
        credentials, "hasher", type("Counted", (), {"verify": lambda _, *a: verified.append(a) or real(*a)})()
    )
    Browser(room).post("/console/login", {"name": "nobody", "password": "wrong"})
    assert len(verified) == 1


def test_a_code_is_good_once(room: PostRoom, alex: str) -> None:
    now = code(alex, room)
    browser = Browser(room)
    browser.get("/console/login")  # the first request puts the application together
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: browser.log_in(code=now).status_code, range(3)))
    assert sorted(answers) == [303, 401, 401]
    assert Browser(room).log_in(code=code(alex, room, -1)).status_code == 401  # an earlier one neither


def test_codes_of_clocks_that_differ_a_little_are_taken_and_others_are_not(room: PostRoom) -> None:
    secret = credentials.new_totp()
    with room.store.begin() as tx:
        now = tx.now()
    step = int(now.timestamp()) // 30
    for off in range(-3, 4):
        shown = pyotp.TOTP(secret).at((step + off) * 30)
        assert credentials.step_of(secret, f"{shown[:3]} {shown[3:]}", now) == (step + off if abs(off) <= 1 else None)


def test_the_secret_of_a_second_factor_is_sealed(room: PostRoom, alex: str) -> None:
    with room.store.begin() as tx:
        stored = tx.one("SELECT * FROM people")
    assert stored and alex not in str(stored) and alex.encode() not in bytes(stored["totp"])


def test_a_new_account_sets_itself_up_before_anything_else(room: PostRoom) -> None:
    add(room, person(Role.AUDITOR), one_time=True)
    browser = Browser(room)
    assert browser.log_in().status_code == 303
    assert browser.get("/console/audit").headers["location"] == "/console/account"
    for chosen, status in (
        ("short", 422),
        (PASSWORD, 422),
        ("alex has a password", 422),
        ("a password of my own", 303),
    ):
        form = {"present": PASSWORD, "chosen": chosen, "again": chosen}
        assert browser.post("/console/account/password", form).status_code == status
    assert browser.get("/console/audit").headers["location"] == "/console/account"
    page = browser.get("/console/account").text
    found = re.search(r'<code class="key">(\w+)</code>', page)
    assert found and "<svg" in page
    assert browser.post("/console/account/second-factor", {"code": "000000"}).status_code == 422
    assert browser.post("/console/account/second-factor", {"code": code(found[1], room)}).status_code == 303
    assert browser.get("/console/audit").status_code == 200
    assert found[1] not in browser.get("/console/account").text  # shown no more
    assert Browser(room).log_in(password="a password of my own").status_code == 401
    again = Browser(room).log_in(password="a password of my own", code=code(found[1], room, 1))
    assert again.status_code == 303


def test_guessing_is_slowed_down_and_only_there(room: PostRoom, alex: str) -> None:
    guessing, known = Browser(room), Browser(room)
    assert known.log_in(code=code(alex, room)).status_code == 303
    known.post("/console/logout")
    answers = [guessing.log_in(password="wrong").status_code for _ in range(6)]
    assert answers == [401, 401, 401, 429, 429, 429]
    refused = guessing.log_in(code=code(alex, room, 1))  # right, and too early all the same
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "Try again in 1 second" in refused.text
    assert known.log_in(code=code(alex, room, 1)).status_code == 303  # a browser that she used before
    sql(room, "UPDATE throttles SET last_at = last_at - interval '2 seconds'")
    assert guessing.log_in(password="wrong").status_code == 401
    assert guessing.log_in(password="wrong").headers["retry-after"] == "2"


def test_many_guesses_at_once_gain_nothing(room: PostRoom, alex: str) -> None:
    browser = Browser(room)
    browser.get("/console/login")
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: browser.log_in(password="wrong").status_code, range(12)))
    assert answers.count(401) == 3


def test_a_session_is_kept_from_scripts_and_other_sites(room: PostRoom, alex: str) -> None:
    found = Browser(room).log_in(code=code(alex, room)).headers.get_list("set-cookie")
    assert len(found) == 2
    assert all("HttpOnly" in one and "SameSite=strict" in one and "Secure" not in one for one in found)
    secure = room.settings.model_copy(update={"secure_cookies": True})
    browser = Browser(type(room)(room.store, room.agencies, secure))
    found = browser.log_in(code=code(alex, room, 1)).headers.get_list("set-cookie")
    assert all(one.startswith("__Host-gateway_") and "Secure" in one and "Path=/;" in one for one in found)
    assert not any("Domain" in one for one in found)


def test_sessions_end(room: PostRoom) -> None:
    browser = visit(room, Role.DELIVERY_ADMIN)

    def inside() -> bool:
        return bool(browser.get("/console").status_code == 200)

    assert inside()
    sql(room, "UPDATE sessions SET seen_at = seen_at - interval '29 minutes'")
    assert inside()  # which counts as use
    sql(room, "UPDATE sessions SET seen_at = seen_at - interval '29 minutes'")
    assert inside()
    sql(room, "UPDATE sessions SET seen_at = seen_at - interval '31 minutes'")
    assert not inside()
    browser.log_in()
    assert inside()
    sql(room, "UPDATE sessions SET expires_at = now()")
    assert not inside()
    browser.log_in()
    session = browser.cookies["gateway_session"]
    browser.post("/console/logout")
    browser.cookies.set("gateway_session", session)
    assert not inside()


def test_a_new_password_ends_all_other_sessions(room: PostRoom) -> None:
    browser, other = visit(room, Role.DELIVERY_ADMIN), Browser(asking(room, second_factor=False))
    other.log_in()
    for wrong in ({"present": "x"}, {"again": "something else"}):
        form = {"present": PASSWORD, "chosen": "a password of my own", "again": "a password of my own", **wrong}
        assert browser.post("/console/account/password", form).status_code in (403, 422)
    assert other.get("/console").status_code == 200
    form = {"present": PASSWORD, "chosen": "a password of my own", "again": "a password of my own"}
    assert browser.post("/console/account/password", form).status_code == 303
    assert browser.get("/console").status_code == 200
    assert other.get("/console").status_code == 303


def test_somebody_logs_out_everywhere_else(room: PostRoom) -> None:
    browser, other = visit(room, Role.AUDITOR), Browser(asking(room, second_factor=False))
    other.log_in()
    assert "in one other place" in browser.get("/console/account").text
    assert browser.post("/console/account/sessions").status_code == 303
    assert [one.get("/console/audit").status_code for one in (browser, other)] == [200, 303]


def test_a_form_from_another_site_is_refused(room: PostRoom) -> None:
    browser = visit(room, Role.DELIVERY_ADMIN)
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert browser.post("/console/account/sessions", headers=headers).status_code == 403
        assert browser.post("/console/login", headers=headers).status_code == 403
    for wrong in ({"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}):
        assert browser.post("/console/account/sessions", wrong).status_code == 403
    assert browser.post("/console/account/sessions").status_code == 303


def test_a_browser_is_known_for_a_while_only(room: PostRoom) -> None:
    who = add(room, person(Role.AUDITOR))
    with room.store.begin() as tx:
        secret = sessions.remember_browser(tx, who.name, None)
        assert sessions.knows_browser(tx, who.name, secret)
        assert not sessions.knows_browser(tx, "another", secret)
        tx.run("UPDATE browsers SET used_at = now() - %(long)s", {"long": sessions.KNOWN_FOR + timedelta(seconds=1)})
        assert not sessions.knows_browser(tx, who.name, secret)
