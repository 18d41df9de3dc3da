"""One agency: how it stands and until when, what waits for a person there, and a stop by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from gateway import reports
from gateway.delivery import decisions, standing
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound
from gateway.policy.calls import Why
from gateway.policy.lifecycle import State
from gateway.policy.roles import Role
from gateway.store import audit, directory, selections
from gateway.store.selections import Selection

from .access import Me, Room, Visit, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
MOST = 50  # deliveries that are listed as waiting for a person; the rest is on the status page


@router.get("/console/agencies/{name}")
@allowed(Role.DELIVERY_ADMIN)
def agency(name: str, me: Me, room: Room) -> Response:
    return _page(room, name, me)


@router.post("/console/agencies/{name}/{verb}")
@allowed(Role.DELIVERY_ADMIN)
def decide(name: str, verb: str, me: Me, room: Room, reason: Annotated[str, Form()] = "") -> Response:
    """A person's decision: ``pause`` or ``resume``, with a reason."""
    decision = {"pause": decisions.pause, "resume": decisions.resume}.get(verb)
    if decision is None or not reason.strip():
        return _page(room, name, me, 422, "Say why, in a few words: it is kept in the audit.")
    decision(room, name, by=me.person.actor, reason=reason.strip()[:400])
    return RedirectResponse(f"/console/agencies/{name}", 303)


def _page(room: PostRoom, name: str, me: Visit, status: int = 200, error: str | None = None) -> Response:
    found = room.agencies.get(name)
    if found is None:
        raise NotFound(f"There is no agency {name} in the settings.")
    with room.store.begin() as tx:
        stands = standing.everyones(room, tx)[name]
        totals = reports.overview(tx, [name])
        waiting = selections.page(tx, Selection(frozenset({State.ASKING}), name), None, MOST)
        paused = any(stop.why is Why.PAUSED for stop in stands.stops)
        values: dict[str, Any] = {
            "name": name, "agency": found, "stands": stands, "waiting": waiting,
            "hours": standing.hours(found, directory.look(tx), tx.now()),
            "counts": next(row.counts for row in totals.agencies if row.agency == name), "now": tx.now(),
            "pause": audit.latest(tx, "agency.pause", name) if paused else None,
        }  # fmt: skip
    return render("agency.html", status, me=me, error=error, **values)
