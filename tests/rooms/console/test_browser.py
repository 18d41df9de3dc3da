"""The console in a real browser: what a person sees and does, wide and narrow, with nothing from elsewhere and no complaint."""

import os
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
import uvicorn

from gateway import app
from gateway.delivery import openings
from gateway.delivery.room import PostRoom
from gateway.policy.roles import Role
from tests.browser import CHROMIUM, Chromium, chromium
from tests.rooms.api.test_by_hand import REFUGE, with_refuge
from tests.rooms.console.test_tasks import refer, withdrawn
from tests.rooms.console.visiting import PASSWORD, add, asking, person
from tests.rooms.delivery.test_attempt import make_due, submit, work
from tests.running import free_port
from tests.support import REFERRAL, Agencies

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium is installed: apt-get install chromium"
)
PICTURES = os.environ.get("GATEWAY_TEST_PICTURES")  # a folder, to look at the pages
FAMILY = REFERRAL["person"]["name"]["family"]
OWN = "a password of my own"


@pytest.fixture
def room(room: PostRoom, agencies: Agencies) -> PostRoom:
    return with_refuge(room, agencies)


@pytest.fixture
def base(room: PostRoom) -> Iterator[str]:
    """Where a web process of *room* listens."""
    port = free_port()
    web = app.build(asking(room, openings_an_hour=1))
    server = uvicorn.Server(uvicorn.Config(web, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def tab() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


def look(tab: Chromium, name: str) -> None:
    """At this page, wide and narrow: it fits, complains of nothing, and neither title nor address tell of anybody."""
    for width in (1280, 320):
        tab.resize(width)
        assert tab.ask("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"
        if PICTURES:
            tab.picture(Path(PICTURES) / f"{name}-{width}.png")
    tab.resize(1280)
    assert not any(word in tab.ask("document.title + location.href") for word in (FAMILY, REFERRAL["subject"]))
    unnamed = "[...document.querySelectorAll('input:not([type=hidden], [hidden]), select')].filter(one => !one.labels.length).length"
    assert tab.ask(unnamed) == 0, f"{name} has a field without a label"
    assert tab.ask("document.querySelectorAll('h1').length") == 1
    assert tab.ask("performance.getEntriesByType('resource').every(one => one.name.startsWith(location.origin))")
    assert not tab.said, tab.said


def log_in(tab: Chromium, base: str, name: str) -> str:
    """The first time: a password of one's own, and a second factor. Returns its secret."""
    tab.call("Network.clearBrowserCookies")
    tab.go(f"{base}/console")
    look(tab, "login")
    tab.fill(name=name, password=PASSWORD)
    tab.press("main form[action='/console/login'] button")
    look(tab, "password")
    tab.fill(present=PASSWORD, chosen=OWN, again=OWN)
    tab.press("form[action='/console/account/password'] button")
    look(tab, "second-factor")
    secret = str(tab.ask("document.querySelector('code.key').innerText"))
    assert tab.ask("document.querySelector('.picture svg').getBoundingClientRect().width") > 100
    tab.fill(code=pyotp.TOTP(secret).now())
    tab.press("form[action='/console/account/second-factor'] button")
    return secret


def test_a_caseworker_logs_in_finds_opens_and_leaves_nothing_behind(tab: Chromium, base: str, room: PostRoom) -> None:
    made = [submit(room)[1] for _ in range(2)]
    work(room)
    add(room, person(Role.CASEWORKER, "support-worker-12"), one_time=True)
    log_in(tab, base, "support-worker-12")
    look(tab, "cases")
    tab.fill(reference=REFERRAL["subject"])
    tab.press("form[action='/console/cases/find'] button")
    assert "2 referrals" in tab.text()
    look(tab, "found")
    tab.press(f"a[href='/console/cases/{made[0]}']")
    look(tab, "case")
    assert FAMILY not in tab.text()
    tab.press(f"form[action='/console/cases/{made[0]}/take'] button")
    assert "you" in tab.text()
    tab.ask("document.querySelector('input[name=purpose][value=contact]').checked = true")
    tab.press(f"form[action='/console/cases/{made[0]}/open'] button")
    assert FAMILY in tab.text()
    look(tab, "opened")
    tab.press("main p a")
    assert "appointment" in tab.text()  # who looked
    look(tab, "looked")
    tab.press("form[action='/console/logout'] button")
    for _ in range(4):  # the back button finds nothing
        tab.ask("history.back()")
        assert FAMILY not in tab.text()
    tab.go(f"{base}/console/cases/{made[0]}")
    assert re.search("Log in", tab.text())


def test_a_caseworker_tells_an_agency_by_hand_and_records_its_answer(tab: Chromium, base: str, room: PostRoom) -> None:
    late, task = refer(room), refer(room)
    work(room)
    make_due(room)
    work(room)
    add(room, person(Role.CASEWORKER, "support-worker-14"), one_time=True)
    log_in(tab, base, "support-worker-14")
    tab.press("nav a[href='/console/tasks']")
    assert late in tab.text() and "late" in tab.text()
    look(tab, "tasks")
    tab.press(f"a[href='/console/tasks/{task}']")
    look(tab, "task")
    assert FAMILY not in tab.text()
    tab.press("form[action$='/sheet'] button")
    assert FAMILY in tab.text() and "1994" not in tab.text()
    look(tab, "sheet")
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert not tab.ask("document.querySelector('header').offsetHeight + document.querySelector('.screen').offsetHeight")
    look(tab, "sheet-printed")
    tab.call("Emulation.setEmulatedMedia", media="")
    tab.press("main p a")
    assert FAMILY not in tab.text()
    tab.fill(at="2020-01-01T10:00", to="Duty officer", reference="R-1207")
    tab.press("form[action$='/given'] button")
    assert "a day and a time" in tab.text() and tab.ask("document.querySelector('#to').value") == "Duty officer"
    tab.said.clear()  # the browser notes that the form was refused
    look(tab, "task-refused")
    tab.go(f"{base}/console/tasks/{task}")
    tab.fill(to="Duty officer", reference="R-1207")
    tab.press("form[action$='/given'] button")
    assert "delivered" in tab.text()
    look(tab, "given")
    tab.fill(status="accepted")
    tab.press("form[action$='/answer'] button")
    assert "accepted" in tab.text()
    tab.fill(status="completed")
    tab.press("form[action$='/answer'] button")
    tab.fill(status="declined", reason="no-capacity")
    tab.press("form[action$='/answer'] button")
    assert "against what is recorded" in tab.text()
    look(tab, "answered")
    tab.press("main p a")
    assert task not in tab.text() and late in tab.text()
    look(tab, "tasks-told")
    assert REFUGE in tab.text()
    tab.go(f"{base}/console/tasks/{late}")
    tab.press("form[action$='/sheet'] button")
    withdrawn(room, datetime.now(UTC) - timedelta(minutes=2))
    tab.go(f"{base}/console/tasks/{late}")
    tab.fill(to="Duty officer")
    tab.press("form[action$='/given'] button")
    tab.said.clear()
    look(tab, "task-not-agreed")
    tab.ask("document.querySelector('#without_consent').checked = true")
    tab.press("form[action$='/given'] button")
    assert "she did not agree then" in tab.text()
    look(tab, "given-without-consent")


def test_the_pages_of_every_other_role(tab: Chromium, base: str, room: PostRoom) -> None:
    _, identifier = submit(room)
    work(room)
    add(room, person(Role.CASEWORKER, "morag"))
    openings.for_case(room, identifier, person(Role.CASEWORKER, "morag"), "contact", "")
    for role, pages in {
        Role.DELIVERY_ADMIN: ["/console", "/console/people", f"/console/break-glass/{identifier}", "/console/account"],
        Role.HUB_MANAGER: ["/console/cases", "/console/openings", "/console/people"],
        Role.AUDITOR: ["/console/audit"],
        Role.ADAPTER_AUTHOR: ["/console/sandbox"],
    }.items():
        add(room, person(role, f"the-{role}"), one_time=True)
        log_in(tab, base, f"the-{role}")
        for page in pages:
            tab.go(base + page)
            look(tab, f"{role}{page.replace('/', '-').replace(identifier, 'id')}")
            assert tab.ask("document.querySelector('h1').innerText") != "Not allowed"
        if role is Role.DELIVERY_ADMIN:
            tab.go(f"{base}/console/break-glass/{identifier}")
            tab.fill(reason="nobody of her hub answers")
            tab.press("form.stack button")
            look(tab, "glass-broken")
            tab.press("form.stack button")
            assert FAMILY in tab.text() and "Emergency" in tab.text()
            look(tab, "glass-opened")
        if role is Role.AUDITOR:
            tab.press("form[action='/console/audit/verify'] button")
            assert "the chain holds" in tab.text()
            look(tab, "verified")
        if role is Role.HUB_MANAGER:
            tab.fill(name="support-worker-13")
            tab.press("form.stack button")
            look(tab, "added")
