"""Accounts are looked after by those who may: one-time passwords, resets, and nobody's own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from gateway.cli import app as command
from gateway.cli import terminal
from gateway.delivery.room import PostRoom
from gateway.policy.roles import Role
from tests.rooms.console.visiting import PASSWORD, Browser, add, asking, person, visit, with_factor


def shown(page: str) -> str:
    found = re.search(r'<code class="key">([^<]+)</code>', page)
    assert found
    return found[1]


def test_a_manager_adds_somebody_who_then_chooses_a_password(room: PostRoom) -> None:
    manager = visit(room, Role.HUB_MANAGER, "isla")
    password = shown(manager.post("/console/people", {"name": "Morag", "role": "caseworker"}).text)
    browser = Browser(asking(room, second_factor=False))
    browser.log_in("morag", password=password)
    assert browser.get("/console/cases").headers["location"] == "/console/account"
    form = {"present": password, "chosen": PASSWORD, "again": PASSWORD}
    assert browser.post("/console/account/password", form).status_code == 303
    assert browser.get("/console/cases").status_code == 200
    assert "glasgow-hub" in browser.get("/console/cases").text
    assert password not in manager.get("/console/people").text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "max", "role": "delivery-admin"}, 404), ({"name": "max", "role": "emperor"}, 422), ({"role": "caseworker"}, 422),
        ({"name": "isla", "role": "caseworker"}, 409), ({"name": "<b>", "role": "caseworker"}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_told(room: PostRoom, form: dict[str, str], status: int) -> None:
    assert visit(room, Role.HUB_MANAGER, "isla").post("/console/people", form).status_code == status


def test_a_reset_ends_everything_that_was(room: PostRoom) -> None:
    manager = visit(room, Role.HUB_MANAGER, "isla")
    worker = visit(room, Role.CASEWORKER, "morag")
    with_factor(room, person(Role.CASEWORKER, "morag"))
    password = shown(manager.post("/console/people/morag/reset").text)
    assert worker.get("/console/cases").headers["location"] == "/console/login"
    assert worker.log_in("morag").status_code == 401
    assert (
        worker.log_in("morag", password=password).status_code == 303
    )  # without a second factor: she sets up a new one
    assert worker.get("/console/cases").headers["location"] == "/console/account"


def test_who_is_disabled_is_out_at_once_until_enabled(room: PostRoom) -> None:
    manager = visit(room, Role.HUB_MANAGER, "isla")
    worker = visit(room, Role.CASEWORKER, "morag")
    assert manager.post("/console/people/morag/disable").status_code == 303
    assert worker.get("/console/cases").headers["location"] == "/console/login"
    assert worker.log_in("morag").status_code == 401
    assert manager.post("/console/people/morag/enable").status_code == 303
    assert worker.log_in("morag").status_code == 303


def test_nobody_touches_accounts_that_are_not_theirs_to_look_after(room: PostRoom) -> None:
    admin, manager = visit(room, Role.DELIVERY_ADMIN), visit(room, Role.HUB_MANAGER, "isla")
    add(room, person(Role.CASEWORKER, "morag"))
    add(room, person(Role.CASEWORKER, "effie", "highland-hub"))
    add(room, person(Role.AUDITOR, "max"))
    for browser, names in (
        (admin, ("isla", "morag", "effie", "alex", "nobody")),
        (manager, ("effie", "alex", "max", "isla")),
    ):
        for name in names:
            for verb in ("reset", "disable", "enable"):
                assert browser.post(f"/console/people/{name}/{verb}").status_code in (404, 409), name
    assert "effie" not in manager.get("/console/people").text
    assert "morag" not in admin.get("/console/people").text
    assert admin.post("/console/people/max/reset").status_code == 200
    assert admin.post("/console/people/max/burn").status_code == 404


def test_the_command_line_looks_after_everybody(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened() -> Iterator[PostRoom]:
        yield room

    monkeypatch.setattr(terminal, "opened", opened)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, ["people", *arguments])
        return done.exit_code, done.stdout.strip()

    code, password = run("add", "morag", "--role", "caseworker", "--hub", "glasgow-hub")
    assert code == 0 and len(password) == 16
    assert run("add", "max", "--role", "caseworker")[0] == 2
    assert run("add", "max", "--role", "auditor", "--hub", "glasgow-hub")[0] == 2
    assert run("add", "max", "--role", "emperor")[0] == 2
    assert run("add", "morag", "--role", "auditor")[0] == 1
    browser = Browser(asking(room, second_factor=False))
    assert browser.log_in("morag", password=password).status_code == 303
    assert run("reset", "morag")[1] != password
    assert browser.get("/console/account").headers["location"] == "/console/login"
    assert run("disable", "morag") == (0, "")
    assert "morag" in run("list")[1]
