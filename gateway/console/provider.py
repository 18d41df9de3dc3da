"""Logging in at the OpenID provider of the settings."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from gateway import logs
from gateway.delivery.room import PostRoom
from gateway.errors import Forbidden, NotFound
from gateway.policy.roles import Person, Role
from gateway.settings import OpenIdSettings
from gateway.store import people
from gateway.wire import oidc

from .access import Room, cookie, public, secret_of
from .login import entered
from .pages import Page, render
from .people import checked

router = APIRouter(include_in_schema=False, route_class=Page)
log = logs.get()
PATIENCE = timedelta(minutes=10)  # to log in there


@router.get("/console/provider")
@public
def go(room: Room) -> Response:
    """To the provider, by a link: our pages' forms lead nowhere else. With a cookie that comes back: lax, because a strict
    one would not be sent along a way that begins elsewhere."""
    secret = secrets.token_urlsafe(32)
    try:
        answer = RedirectResponse(oidc.address(_settings(room), secret), 303)
    except oidc.NotLoggedIn as error:
        log.error("the OpenID provider cannot be used", code=error.code)
        raise Forbidden("Your organisation’s log-in does not answer properly. Try again later.") from None
    kept = {**cookie(room.settings, "provider"), "samesite": "lax"}
    answer.set_cookie(value=secret, max_age=int(PATIENCE.total_seconds()), **kept)
    return answer


@router.get("/console/provider/callback")
@public
def back(
    request: Request,
    room: Room,
    code: Annotated[str, Query(max_length=4000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Who came back, by the provider's word. Whatever is wrong with it, the answer is the same."""
    settings, secret = _settings(room), secret_of(request, room.settings, "provider")
    with room.store.begin() as tx:
        now = tx.now()
    try:
        if not (secret and code):
            raise oidc.NotLoggedIn("not_begun" if not secret else "no_code")
        found = oidc.claims(settings, secret, code, state, int(now.timestamp()))
        subject, person = str(found["sub"]), person_of(settings, found)
    except oidc.NotLoggedIn as error:
        log.warning("not logged in by the provider", code=error.code)
        raise Forbidden(
            "Your organisation’s log-in did not prove who you are. Begin again at the log-in page."
        ) from None
    with room.store.begin() as tx:
        account = people.from_provider(tx, settings.issuer, subject, person)
        if not account.lets_in:
            raise Forbidden("Your account here is disabled. Ask your hub’s manager.")
        # A page of ours goes on from here: the strict cookie of the session is not sent along a way that began elsewhere.
        answer = entered(room, tx, account, secret_of(request, room.settings, "browser"), render("entered.html"))
    answer.delete_cookie(**cookie(room.settings, "provider"))
    return answer


def person_of(settings: OpenIdSettings, claims: Mapping[str, Any]) -> Person:
    """Name, role and hub of whoever has these *claims*. Raises Forbidden, Invalid: no role, or more than one, is none."""
    value = claims.get(settings.claim)
    groups = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    roles = {(given.role, given.hub) for name, given in settings.groups.items() if name in groups}
    if len(roles) != 1:
        raise Forbidden("Your organisation’s account has no role here, or more than one. Ask whoever runs the gateway.")
    [(role, hub)] = roles
    return Person(checked(str(claims.get(settings.name_claim, "")).lower()), Role(role), hub)


def _settings(room: PostRoom) -> OpenIdSettings:
    if room.settings.people.oidc is None:
        raise NotFound("There is no log-in of an organisation here: log in with an account of the gateway.")
    return room.settings.people.oidc
