"""Rendering pages, and telling what went wrong as one."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.delivery import standing
from gateway.errors import Invalid, Problem
from gateway.policy.roles import Role

from .access import Visit

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with none at all, browsers do not say where our own forms come from
}
PLACES: dict[Role, list[tuple[str, str]]] = {
    Role.DELIVERY_ADMIN: [("/console", "Status"), ("/console/replay", "Send again"), ("/console/people", "People")],
    Role.CASEWORKER: [("/console/cases", "Referrals"), ("/console/tasks", "To be told by hand")],
    Role.HUB_MANAGER: [
        ("/console/cases", "Referrals"), ("/console/openings", "Who looked"), ("/console/people", "People"),
    ],
    Role.AUDITOR: [("/console/audit", "Audit")],
    Role.ADAPTER_AUTHOR: [("/console/sandbox", "Sandbox")],
}  # fmt: skip
"""Where each role can go, its own front page first."""


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


def render(template: str, status: int = 200, *, me: Visit | None = None, **values: Any) -> HTMLResponse:
    """The page, under a policy that lets it load nothing but its own style and icon."""
    places = PLACES[me.person.role] if me and not me.unsettled else []
    html = _environment.get_template(template).render(me=me, places=places, **values)
    return HTMLResponse(html, status, HEADERS)


class Page(APIRoute):
    """A route whose problems are told as pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                found = problem
            except RequestValidationError:
                found = Invalid("Something in the form is missing, or is not what it should be. Go back and try again.")
            return render("problem.html", found.status, me=getattr(request.state, "visit", None), problem=found)

        return told
