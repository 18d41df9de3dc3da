"""Sending a range of ended deliveries again: first what it would be, then, with a reason, the deed."""

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response

from gateway.delivery import replay
from gateway.delivery.room import PostRoom
from gateway.policy.hours import LONDON
from gateway.policy.roles import Role
from gateway.store.selections import PICKABLE, Selection

from .access import Me, Room, Visit, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)


@router.get("/console/replay")
@allowed(Role.DELIVERY_ADMIN)
def preview(
    me: Me,
    room: Room,
    agency: str = "",
    state: Annotated[tuple[str, ...], Query()] = (),
    code: str = "",
    since: str = "",
    until: str = "",
) -> Response:
    """The form; once something was chosen, with what sending it again would do."""
    if not (agency or state or code or since or until):
        return _page(room, me, replay.selection())
    chosen = replay.up_to_now(room, replay.selection(agency, since, until, _codes(code), state))
    return _page(room, me, chosen, shown=True)


@router.post("/console/replay")
@allowed(Role.DELIVERY_ADMIN)
def carry_out(
    me: Me,
    room: Room,
    state: Annotated[tuple[str, ...], Form()],
    until: Annotated[str, Form()],
    agency: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    since: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Send again what the preview showed: it fixed *until*, so that what ended since is not among it."""
    chosen = replay.selection(agency, since, until, _codes(code), state)
    if not reason.strip():
        return _page(room, me, chosen, 422, shown=True, error="Say why, in a few words: it is kept in the audit.")
    done = replay.carry_out(room, chosen, by=me.person.actor, reason=reason.strip()[:400])
    return render("replayed.html", me=me, rows=replay.rows(done))


def _codes(text: str) -> list[str]:
    """``HTTP 503, timeout``: codes may hold spaces."""
    return [code.strip() for code in text.split(",") if code.strip()]


def _page(
    room: PostRoom, me: Visit, chosen: Selection, status: int = 200, *, shown: bool = False, error: str | None = None
) -> Response:
    found = replay.preview(room, chosen) if shown else None
    return render(
        "replay.html",
        status,
        me=me,
        error=error,
        agencies=list(room.agencies),
        states=PICKABLE,
        chosen=chosen,
        zone=LONDON,
        rows=None if found is None else replay.rows(found),
        many=sum(count for alike, count in found.items() if not alike.held_back) if found else 0,
        warnings=replay.warnings(room, found) if found else [],
    )
