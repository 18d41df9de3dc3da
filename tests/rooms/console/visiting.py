"""People at the console, in tests: accounts, and a browser that fills in what a form of ours carries."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pyotp
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from gateway import app
from gateway.console.access import cookie, csrf_of
from gateway.delivery.room import PostRoom
from gateway.policy.roles import OF_A_HUB, Person, Role
from gateway.store import people

PASSWORD = "a long enough password"
HUB = "glasgow-hub"
HASH = PasswordHasher(1, 8, 1).hash(PASSWORD)  # so weak that checking it takes no time


def person(role: Role, name: str = "alex", hub: str = HUB) -> Person:
    return Person(name, role, hub if role in OF_A_HUB else None)


def add(room: PostRoom, who: Person, *, one_time: bool = False) -> Person:
    """An account with PASSWORD."""
    with room.store.begin() as tx:
        people.add(tx, who, HASH, by="test", one_time=one_time)
    return who


def with_factor(room: PostRoom, who: Person) -> str:
    """Set up the second factor of an account. Returns its secret; no code of it was used yet."""
    secret = pyotp.random_base32()
    with room.store.begin() as tx:
        people.offer_totp(tx, who, secret)
        assert people.take_step(tx, who, 1)
    return secret


def as_owner(room: PostRoom, *statements: LiteralString) -> None:
    """What nobody but the owner of the tables can do."""
    with psycopg.connect(room.store.url) as connection:
        for statement in statements:
            connection.execute(statement)


def passes(room: PostRoom, minutes: int) -> None:
    """As if all that is in the audit had been done so long before."""
    as_owner(
        room, "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
        f"UPDATE audit SET at = at - interval '{minutes} minutes'",  # type: ignore[arg-type]
        "ALTER TABLE audit ENABLE TRIGGER audit_append_only",
    )  # fmt: skip


def asking(room: PostRoom, **changes: Any) -> PostRoom:
    """The room with other settings for people."""
    chosen = room.settings.people.model_copy(update=changes)
    return replace(room, settings=room.settings.model_copy(update={"people": chosen}))


class Browser(TestClient):
    """A browser at the console. Posts what our forms would, with their hidden part."""

    def __init__(self, room: PostRoom) -> None:
        super().__init__(app.build(room), base_url="http://127.0.0.1", follow_redirects=False)
        self.room = room

    def post(self, path: str, data: Mapping[str, Any] | None = None, **more: Any) -> Any:
        session = self.cookies.get(cookie(self.room.settings)["key"])
        carried = {"csrf": csrf_of(session)} if session else {}
        return super().post(path, data={**carried, **(data or {})}, **more)

    def log_in(self, name: str = "alex", **fields: str) -> Any:
        return self.post("/console/login", {"name": name, "password": PASSWORD, **fields})


def visit(room: PostRoom, role: Role, name: str = "alex", hub: str = HUB) -> Browser:
    """Somebody of this role who is logged in. Without a second factor, for short."""
    known = asking(room, second_factor=False)
    add(known, person(role, name, hub))
    browser = Browser(known)
    answer = browser.log_in(name)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    return browser
