"""Who may see a page. Every request to the console passes the gate; a page that names no roles is nobody's."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from gateway.delivery.room import PostRoom
from gateway.errors import Forbidden
from gateway.policy.roles import Person, Role
from gateway.settings import Settings
from gateway.store import sessions
from gateway.vault import fingerprint

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_allowed: dict[Any, frozenset[Role]] = {}
_public: set[Any] = set()
SAFE = ("GET", "HEAD")
UNSETTLED = ("/console/account", "/console/logout")  # all that somebody may do who has not set up her account


def allowed(*roles: Role) -> Callable[[Endpoint], Endpoint]:
    """This page is for these roles. Goes under the route's own decorator."""

    def declare(endpoint: Endpoint) -> Endpoint:
        _allowed[endpoint] = frozenset(roles)
        return endpoint

    return declare


def public(endpoint: Endpoint) -> Endpoint:
    """This page is for everybody, logged in or not."""
    _public.add(endpoint)
    return endpoint


@dataclass(frozen=True)
class Visit:
    """Somebody who is logged in, at a page. *csrf*: what her forms carry. *unsettled*: her account is not set up."""

    person: Person
    csrf: str
    unsettled: bool


def cookie(settings: Settings, kind: str = "session") -> dict[str, Any]:
    """The name and properties of a cookie. Behind https its name keeps it to this host alone (RFC 6265bis, 4.1.3)."""
    secure = settings.secure_cookies
    return {
        "key": f"__Host-gateway_{kind}" if secure else f"gateway_{kind}",
        "secure": secure, "httponly": True, "samesite": "strict", "path": "/",
    }  # fmt: skip


def secret_of(request: Request, settings: Settings, kind: str = "session") -> str:
    return request.cookies.get(cookie(settings, kind)["key"], "")


def csrf_of(secret: str) -> str:
    """What forms of the session with this *secret* carry, and no other page can know."""
    return fingerprint(f"form {secret}").hex()


async def room_of(request: Request) -> PostRoom:
    room: PostRoom = request.app.state.room
    return room


Room = Annotated[PostRoom, Depends(room_of)]


async def gate(request: Request, room: Room) -> None:
    """Who is it, may this role do that, and was the form ours? Raises Forbidden; a stranger is sent to log in."""
    endpoint, changes = request.scope["endpoint"], request.method not in SAFE
    if changes:
        _not_from_elsewhere(request)
    if endpoint in _public:
        return
    secret = secret_of(request, room.settings)
    visit = await run_in_threadpool(_visit, room, secret) if secret else None
    if visit is None:
        raise HTTPException(303, headers={"Location": "/console/login"})
    request.state.visit = visit
    if visit.person.role not in _allowed.get(endpoint, frozenset()):
        raise Forbidden("This page is not for your role.")
    if visit.unsettled and not request.url.path.startswith(UNSETTLED):
        raise HTTPException(303, headers={"Location": "/console/account"})
    if changes:
        given = (await request.form()).get("csrf")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), visit.csrf.encode()):
            raise Forbidden("This form has become out of date. Go back, load the page again and repeat what you did.")


def _visit(room: PostRoom, secret: str) -> Visit | None:
    people = room.settings.people
    with room.store.begin() as tx:
        found = sessions.look(tx, secret, people.idle)
    if found is None:
        return None
    unsettled = found.one_time or (people.second_factor and found.local and not found.confirmed)
    return Visit(found.person, csrf_of(secret), unsettled)


def _not_from_elsewhere(request: Request) -> None:
    """Refuse a form that another site sent: browsers say where a request comes from (Fetch Metadata, Origin)."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in (None, "same-origin", "none") or (
        origin and origin.partition("://")[2] != request.headers.get("host")
    ):
        raise Forbidden("This form was sent from another site.")


async def _me(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


Me = Annotated[Visit, Depends(_me)]
