"""Logging in and out."""

import secrets
import threading
from datetime import timedelta
from functools import cache
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from gateway.store import callers

from .pages import COOKIE, OwnForm, Room, render

router = APIRouter(include_in_schema=False)
hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, low-memory profile
LASTING = timedelta(hours=8)
_one_at_a_time = threading.Lock()  # guessing costs memory and time; not all of ours at once


@cache
def nobody() -> str:
    """A hash that no password has."""
    return hasher.hash(secrets.token_urlsafe())


def matches(stored: str | None, password: str) -> bool:
    """Whether *password* is the one; an unknown name takes as long as a wrong password."""
    with _one_at_a_time:
        try:
            return hasher.verify(stored or nobody(), password) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


@router.get("/console/login")
def form() -> Response:
    return render("login.html", failed=False)


@router.post("/console/login", dependencies=[OwnForm])
def log_in(room: Room, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "") -> Response:
    with room.store.begin() as tx:
        stored = callers.password_hash(tx, name)
    if not matches(stored, password):
        return render("login.html", 401, failed=True)
    with room.store.begin() as tx:
        secret = callers.open_session(tx, name, LASTING)
    answer = RedirectResponse("/console", 303)
    answer.set_cookie(
        COOKIE, secret, max_age=int(LASTING.total_seconds()), httponly=True, samesite="strict", path="/console",
        secure=room.settings.secure_cookies,
    )  # fmt: skip
    return answer


@router.post("/console/logout", dependencies=[OwnForm])
def log_out(request: Request, room: Room) -> Response:
    with room.store.begin() as tx:
        callers.close_session(tx, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/console/login", 303)
    answer.delete_cookie(COOKIE, path="/console")
    return answer
