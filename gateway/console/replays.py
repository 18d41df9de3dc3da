"""Sending a range of ended deliveries again: first what it would be, then, with a reason, the deed."""

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response

from gateway.delivery import replay
from gateway.delivery.room import PostRoom
from gateway.errors import Problem
from gateway.policy.hours import LONDON
from gateway.store.selections import PICKABLE, Selection

from .pages import Admin, OwnForm, Room, render

router = APIRouter(include_in_schema=False)


@router.get("/console/replay")
def preview(
    admin: Admin,
    room: Room,
    agency: str = "",
    state: Annotated[tuple[str, ...], Query()] = (),
    code: str = "",
    since: str = "",
    until: str = "",
) -> Response:
    """The form; once something was chosen, with what sending it again would do."""
    if not (agency or state or code or since or until):
        return _page(room, admin, replay.selection())
    try:
        chosen = replay.up_to_now(room, replay.selection(agency, since, until, _codes(code), state))
    except Problem as problem:
        return render("problem.html", problem.status, admin=admin, problem=problem)
    return _page(room, admin, chosen, shown=True)


@router.post("/console/replay", dependencies=[OwnForm])
def carry_out(
    admin: Admin,
    room: Room,
    state: Annotated[tuple[str, ...], Form()],
    until: Annotated[str, Form()],
    agency: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    since: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Send again what the preview showed: it fixed *until*, so that what ended since is not among it."""
    try:
        chosen = replay.selection(agency, since, until, _codes(code), state)
    except Problem as problem:
        return render("problem.html", problem.status, admin=admin, problem=problem)
    if not reason.strip():
        return _page(room, admin, chosen, 422, shown=True, error="Say why, in a few words: it is kept in the audit.")
    done = replay.carry_out(room, chosen, by=f"admin:{admin}", reason=reason.strip()[:400])
    return render("replayed.html", admin=admin, rows=replay.rows(done))


def _codes(text: str) -> list[str]:
    """``HTTP 503, timeout``: codes may hold spaces."""
    return [code.strip() for code in text.split(",") if code.strip()]


def _page(
    room: PostRoom, admin: str, chosen: Selection, status: int = 200, *, shown: bool = False, error: str | None = None
) -> Response:
    found = replay.preview(room, chosen) if shown else None
    return render(
        "replay.html",
        status,
        admin=admin,
        error=error,
        agencies=list(room.agencies),
        states=PICKABLE,
        chosen=chosen,
        zone=LONDON,
        rows=None if found is None else replay.rows(found),
        many=sum(count for alike, count in found.items() if not alike.held_back) if found else 0,
        warnings=replay.warnings(room, found) if found else [],
    )
