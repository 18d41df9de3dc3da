"""Break-glass: in an emergency a delivery admin may open one referral, for a while, and everybody is told."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from gateway.delivery import openings
from gateway.policy.roles import Role
from gateway.store import cases

from .access import Me, Room, allowed
from .cases import told
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)


@router.get("/console/break-glass/{identifier}")
@allowed(Role.DELIVERY_ADMIN)
def form(identifier: str, me: Me, room: Room) -> Response:
    """What it means, and the form; while the glass is broken, the way in."""
    with room.store.begin() as tx:
        return render(
            "glass.html", me=me, identifier=identifier, hub=cases.hub_of(tx, identifier),
            until=openings.open_until(room, tx, identifier, me.person), lasting=room.settings.people.break_glass,
        )  # fmt: skip


@router.post("/console/break-glass/{identifier}")
@allowed(Role.DELIVERY_ADMIN)
def begin(identifier: str, me: Me, room: Room, reason: Annotated[str, Form(max_length=1000)] = "") -> Response:
    openings.break_glass(room, identifier, me.person, reason)
    return RedirectResponse(f"/console/break-glass/{identifier}", 303)


@router.post("/console/break-glass/{identifier}/open")
@allowed(Role.DELIVERY_ADMIN)
def open_referral(identifier: str, me: Me, room: Room) -> Response:
    found = openings.in_emergency(room, identifier, me.person)
    with room.store.begin() as tx:
        until = openings.open_until(room, tx, identifier, me.person)
    return render("opened.html", me=me, back=f"/console/break-glass/{identifier}", until=until, **told(found))
