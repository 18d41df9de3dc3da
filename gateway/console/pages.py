"""Rendering, and who may see a page."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from gateway.delivery import standing
from gateway.delivery.room import PostRoom
from gateway.store import callers

COOKIE = "gateway_session"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def age(value: datetime | timedelta | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits: ``3 min``."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        value = (now or datetime.now(value.tzinfo)) - value
    seconds = max(0, int(value.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_environment.filters.update(age=age, clock=standing.clock, told=standing.told)


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page, under a policy that lets it load nothing but its own style."""
    html = _environment.get_template(template).render(**values)
    return HTMLResponse(html, status, {"Content-Security-Policy": POLICY})


def room_of(request: Request) -> PostRoom:
    room: PostRoom = request.app.state.room
    return room


Room = Annotated[PostRoom, Depends(room_of)]


def admin(request: Request, room: Room) -> str:
    """The administrator who is logged in; anybody else is sent to the login page."""
    secret = request.cookies.get(COOKIE)
    if secret:
        with room.store.begin() as tx:
            known = callers.session_admin(tx, secret)
        if known:
            return known
    raise HTTPException(303, headers={"Location": "/console/login"})


Admin = Annotated[str, Depends(admin)]


def own_form(request: Request) -> None:
    """Refuse a form that another site sent: browsers say where a request comes from (Fetch Metadata, Origin)."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in (None, "same-origin", "none") or (
        origin and origin.partition("://")[2] != request.headers.get("host")
    ):
        raise HTTPException(403, "This form was sent from another site.")


OwnForm = Depends(own_form)
