"""Every role crossed with every route of the application: deny by default."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from gateway import app
from gateway.console import PARTS, access
from gateway.delivery.room import PostRoom
from gateway.policy.roles import OF_A_HUB, Person, Role, governs
from gateway.settings import RoleName
from tests.rooms.console.visiting import Browser, visit

ADMIN, CASEWORKER, MANAGER, AUDITOR, AUTHOR = Role
NOBODY: set[Role] = set()
PUBLIC = {
    ("MOUNT", "/console/static"),
    ("GET", "/"), ("GET", "/console/login"), ("POST", "/console/login"), ("GET", "/console/provider"),
    ("GET", "/console/provider/callback"),
}  # fmt: skip
TABLE: dict[tuple[str, str], set[Role]] = {
    ("GET", "/console"): set(Role),
    ("POST", "/console/logout"): set(Role),
    ("GET", "/console/account"): set(Role),
    ("POST", "/console/account/password"): set(Role),
    ("POST", "/console/account/second-factor"): set(Role),
    ("POST", "/console/account/sessions"): set(Role),
    ("GET", "/console/deliveries/{identifier}"): {ADMIN},
    ("POST", "/console/deliveries/{identifier}/{verb}"): {ADMIN},
    ("GET", "/console/agencies/{name}"): {ADMIN},
    ("POST", "/console/agencies/{name}/{verb}"): {ADMIN},
    ("GET", "/console/replay"): {ADMIN},
    ("POST", "/console/replay"): {ADMIN},
    ("GET", "/console/break-glass/{identifier}"): {ADMIN},
    ("POST", "/console/break-glass/{identifier}"): {ADMIN},
    ("POST", "/console/break-glass/{identifier}/open"): {ADMIN},
    ("GET", "/console/cases"): {CASEWORKER, MANAGER},
    ("POST", "/console/cases/find"): {CASEWORKER, MANAGER},
    ("GET", "/console/cases/{identifier}"): {CASEWORKER, MANAGER},
    ("POST", "/console/cases/{identifier}/open"): {CASEWORKER, MANAGER},
    ("POST", "/console/cases/{identifier}/take"): {CASEWORKER, MANAGER},
    ("GET", "/console/tasks"): {CASEWORKER},
    ("GET", "/console/tasks/{identifier}"): {CASEWORKER},
    ("POST", "/console/tasks/{identifier}/sheet"): {CASEWORKER},
    ("POST", "/console/tasks/{identifier}/given"): {CASEWORKER},
    ("POST", "/console/tasks/{identifier}/answer"): {CASEWORKER},
    ("GET", "/console/openings"): {MANAGER},
    ("GET", "/console/people"): {MANAGER, ADMIN},
    ("POST", "/console/people"): {MANAGER, ADMIN},
    ("POST", "/console/people/{name}/{verb}"): {MANAGER, ADMIN},
    ("GET", "/console/audit"): {AUDITOR},
    ("POST", "/console/audit/verify"): {AUDITOR},
    ("GET", "/console/sandbox"): {AUTHOR},
}
OPEN_TO_MACHINES = {"/openapi.json", "/healthz", "/readyz", "/schemas/v1/{name}.json"}  # they hold nothing of anybody


def routes(room: PostRoom) -> set[tuple[str, str]]:
    """``(method, path)`` of every route of the application, and ``("MOUNT", path)`` of what is mounted."""
    web: Any = app.build(room)
    while not hasattr(web, "routes"):
        web = web.app
    return set(inside(web))


def inside(router: Any) -> Iterator[tuple[str, str]]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from inside(route.original_router)
        elif isinstance(route, Route):
            yield from ((method, route.path) for method in (route.methods or {"ANY"}) - {"HEAD"})
        else:
            yield "MOUNT", route.path


def asked(path: str) -> str:
    return re.sub(r"\{\w+\}", "del_00000000000000000", path)


def ask(browser: Browser, method: str, path: str) -> Any:
    return browser.post(asked(path)) if method == "POST" else browser.request(method, asked(path))


def test_every_page_has_its_roles_here(room: PostRoom) -> None:
    pages = {(method, path) for method, path in routes(room) if path.startswith("/console") or path == "/"}
    assert pages == set(TABLE) | PUBLIC


@pytest.mark.parametrize("role", Role)
def test_every_role_at_every_page(room: PostRoom, role: Role) -> None:
    browser = visit(room, role)
    for (method, path), roles in sorted(TABLE.items(), key=lambda entry: entry[0] == ("POST", "/console/logout")):
        answer = ask(browser, method, path)
        assert answer.status_code != 500, (method, path)
        assert answer.headers.get("location") != "/console/login" or path == "/console/logout", (method, path)
        assert (answer.status_code == 403 and "not for your role" in answer.text) is (role not in roles), (method, path)


def test_a_stranger_is_let_in_nowhere(room: PostRoom) -> None:
    for method, path in TABLE:
        answer = ask(Browser(room), method, path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/login"), (method, path)


def test_a_page_that_names_no_role_is_nobodys(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = visit(room, Role.DELIVERY_ADMIN)
    assert browser.get("/console/people").status_code == 200
    for endpoint in [one for one in access._allowed if one.__name__ == "listing"]:
        monkeypatch.delitem(access._allowed, endpoint)
    assert browser.get("/console/people").status_code == 403


@pytest.mark.parametrize("role", Role)
def test_a_persons_session_opens_nothing_that_is_for_machines(room: PostRoom, role: Role) -> None:
    person, stranger = visit(room, role), Browser(room)
    for method, path in sorted(routes(room) - set(TABLE) - PUBLIC):
        answers = [ask(browser, method, path) for browser in (person, stranger)]
        assert len({answer.status_code for answer in answers}) == 1, (method, path)
        if path not in OPEN_TO_MACHINES:
            assert answers[0].status_code >= 400, (method, path)


NAMES = (
    "reason",
    "purpose",
    "note",
    "reference",
    "name",
    "role",
    "code",
    "present",
    "chosen",
    "again",
    "state",
    "until",
    "at",
    "to",
    "status",
    "without_consent",
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["\0", "x" * 1001, "dead", "2026-01-01", "auditor"]
)


@pytest.mark.parametrize("role", Role)
def test_no_form_breaks_a_page_whatever_it_says(room: PostRoom, role: Role) -> None:
    browser = visit(room, role)
    pages = sorted(path for (method, path), roles in TABLE.items() if method == "POST" and role in roles)

    @given(
        st.sampled_from([path for path in pages if path != "/console/logout"]),
        st.dictionaries(st.sampled_from(NAMES), TEXTS),
    )
    @settings(max_examples=60, derandomize=True, database=None)
    def check(path: str, fields: dict[str, str]) -> None:
        answer = browser.post(asked(path), fields)
        assert answer.status_code < 500, (path, answer.text)
        assert answer.headers.get("location") != "/console/login", path

    check()


def test_the_settings_know_the_same_roles() -> None:
    assert set(RoleName.__args__) == set(Role)  # type: ignore[attr-defined]


def test_every_part_shows_its_problems_as_pages() -> None:
    assert all(part.router.route_class.__name__ == "Page" for part in PARTS)


def test_nobody_who_may_not_see_personal_data_can_make_an_account_that_may() -> None:
    def of(role: Role, hub: str = "glasgow-hub") -> Person:
        return Person("x", role, hub if role in OF_A_HUB else None)

    for mine in Role:
        for theirs in Role:
            expected = (mine is Role.HUB_MANAGER and theirs in OF_A_HUB) or (
                mine is Role.DELIVERY_ADMIN and theirs not in OF_A_HUB
            )
            assert governs(of(mine), of(theirs)) is expected, (mine, theirs)
            assert not (theirs in OF_A_HUB and governs(of(mine), of(theirs, "highland-hub")))
