"""Logging in with a local account, and out."""

from datetime import timedelta
from math import ceil
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from gateway import peers
from gateway.delivery.room import PostRoom
from gateway.policy.roles import EVERYBODY, NAME
from gateway.policy.throttle import FROM_ANYWHERE, FROM_ONE_PLACE, OF_AN_ADDRESS, Throttle
from gateway.store import audit, people, sessions
from gateway.store.people import Account
from gateway.store.session import Tx

from . import credentials
from .access import Room, allowed, cookie, public, secret_of
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)


@router.get("/console/login")
@public
def form(room: Room) -> Response:
    return _form(room)


def _form(room: PostRoom, status: int = 200, *, failed: bool = False, wait: timedelta | None = None) -> Response:
    seconds = ceil(wait.total_seconds()) if wait else 0
    page = render("login.html", status, failed=failed, wait=seconds, provider=room.settings.people.oidc is not None)
    if wait:
        page.headers["Retry-After"] = str(seconds)
    return page


@router.post("/console/login")
@public
def log_in(
    request: Request,
    room: Room,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    code: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Whatever is wrong, the answer is the same, and takes as long."""
    browser = secret_of(request, room.settings, "browser")
    name = name if NAME.fullmatch(name) else "-"  # which nobody is called
    with room.store.begin() as tx:
        account = people.find(tx, name)
        known = bool(browser) and sessions.knows_browser(tx, name, browser)
        throttles = _throttles(name, peers.address(request, room.settings), browser if known else None)
        wait = sessions.knock(tx, throttles)
    if wait is not None:
        return _form(room, 429, wait=wait)
    right = credentials.matches(account.password_hash if account else None, password)
    with room.store.begin() as tx:
        if not (right and account and account.lets_in and _second_factor(room, tx, account, code)):
            if account:
                audit.write(tx, "gateway", "person.login-failed", account.person.name)
            return _form(room, 401, failed=True)
        first, *others = throttles
        sessions.forgive(tx, first, others)
        if not account.confirmed:
            people.offer_totp(tx, account.person, credentials.new_totp())
        return entered(room, tx, account, browser, RedirectResponse("/console", 303))


def entered(room: PostRoom, tx: Tx, account: Account, browser: str, answer: Response) -> Response:
    """*answer*, with a new session of *account*'s in it."""
    lasting = room.settings.people.lasting
    secret = sessions.begin(tx, account.person, lasting)
    browser = sessions.remember_browser(tx, account.person.name, browser or None)
    audit.write(tx, account.person.actor, "person.login", account.person.name)
    answer.set_cookie(value=secret, max_age=int(lasting.total_seconds()), **cookie(room.settings))
    kept = int(sessions.KNOWN_FOR.total_seconds())
    answer.set_cookie(value=browser, max_age=kept, **cookie(room.settings, "browser"))
    return answer


def _throttles(name: str, address: str, browser: str | None) -> dict[str, Throttle]:
    """What an attempt counts against, the narrowest first. A browser she used before is hers alone: who guesses from
    elsewhere does not slow it down."""
    if browser:
        return {f"{name} in {browser}": FROM_ONE_PLACE}
    return {f"{name} at {address}": FROM_ONE_PLACE, f"{name}": FROM_ANYWHERE, f"at {address}": OF_AN_ADDRESS}


def _second_factor(room: PostRoom, tx: Tx, account: Account, code: str) -> bool:
    if not account.confirmed:  # she sets it up next; the gate lets her do nothing else
        return True
    step = credentials.step_of(people.totp_secret(tx, account), code, account.read_at)
    return step is not None and people.take_step(tx, account.person, step)


@router.post("/console/logout")
@allowed(*EVERYBODY)
def log_out(request: Request, room: Room) -> Response:
    with room.store.begin() as tx:
        sessions.close(tx, secret_of(request, room.settings))
    answer = RedirectResponse("/console/login", 303)
    answer.delete_cookie(**cookie(room.settings))
    answer.headers["Clear-Site-Data"] = '"cache"'  # what a page showed is not found again with the back button
    return answer
