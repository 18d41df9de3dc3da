"""One's own account: the password, the second factor, and where one is logged in."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from gateway.delivery.room import PostRoom
from gateway.errors import Invalid
from gateway.policy.roles import EVERYBODY
from gateway.policy.throttle import FROM_ONE_PLACE
from gateway.store import audit, people, sessions

from . import credentials
from .access import Me, Room, Visit, allowed, secret_of
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)


@router.get("/console/account")
@allowed(*EVERYBODY)
def account(me: Me, room: Room) -> Response:
    return _page(room, me)


def _page(room: PostRoom, me: Visit, status: int = 200, error: str | None = None) -> Response:
    with room.store.begin() as tx:
        found, count = people.get(tx, me.person.name), sessions.count(tx, me.person.name)
        secret = people.totp_secret(tx, found) if found.totp and not found.confirmed else None
    return render(
        "account.html", status, me=me, error=error, account=found, sessions=count, secret=secret,
        picture=credentials.picture(credentials.uri(secret, me.person.name)) if secret else None,
        required=room.settings.people.second_factor,
    )  # fmt: skip


@router.post("/console/account/password")
@allowed(*EVERYBODY)
def password(
    request: Request,
    me: Me,
    room: Room,
    present: Annotated[str, Form(max_length=1000)],
    chosen: Annotated[str, Form(max_length=1000)],
    again: Annotated[str, Form(max_length=1000)],
) -> Response:
    """A new password. All other sessions end."""
    what = f"password of {me.person.name}"
    with room.store.begin() as tx:
        stored, wait = people.get(tx, me.person.name).password_hash, sessions.knock(tx, {what: FROM_ONE_PLACE})
    if wait is not None or not credentials.matches(stored, present):
        return _page(room, me, 403, "Your present password is another one. After several mistakes, wait a little.")
    with room.store.begin() as tx:
        sessions.forgive(tx, what, ())
    if chosen != again or chosen == present:
        return _page(room, me, 422, "Type the new password twice, and choose another than the present one.")
    try:
        new = credentials.hasher.hash(credentials.check(chosen, me.person.name))
    except Invalid as problem:
        return _page(room, me, 422, problem.detail)
    with room.store.begin() as tx:
        people.set_password(tx, me.person, new, keeping=secret_of(request, room.settings))
    return RedirectResponse("/console/account", 303)


@router.post("/console/account/second-factor")
@allowed(*EVERYBODY)
def second_factor(me: Me, room: Room, code: Annotated[str, Form(max_length=20)]) -> Response:
    """The first code of an authenticator that was just set up."""
    with room.store.begin() as tx:
        found = people.get(tx, me.person.name)
        if found.confirmed or found.totp is None:
            raise Invalid("Your second factor is set up already. For a new one, ask for a reset.")
        step = credentials.step_of(people.totp_secret(tx, found), code, found.read_at)
        if step is not None and people.take_step(tx, me.person, step):
            audit.write(tx, me.person.actor, "person.second-factor", me.person.name)
            return RedirectResponse("/console", 303)
    return _page(room, me, 422, "This is not the code that your authenticator shows now. Try the next one.")


@router.post("/console/account/sessions")
@allowed(*EVERYBODY)
def end_others(request: Request, me: Me, room: Room) -> Response:
    """Log out everywhere else."""
    with room.store.begin() as tx:
        sessions.close_all(tx, me.person.name, keeping=secret_of(request, room.settings))
        audit.write(tx, me.person.actor, "person.logout-elsewhere", me.person.name)
    return RedirectResponse("/console/account", 303)
