"""One agency: how it stands and until when, what waits for a person there, and a stop by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from gateway import reports
from gateway.delivery import decisions, standing
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound, Problem
from gateway.policy.calls import Why
from gateway.policy.lifecycle import State
from gateway.store import audit, directory, selections
from gateway.store.selections import Selection

from .pages import Admin, OwnForm, Room, render

router = APIRouter(include_in_schema=False)
MOST = 50  # deliveries that are listed as waiting for a person; the rest is on the status page


@router.get("/console/agencies/{name}")
def agency(name: str, admin: Admin, room: Room) -> Response:
    return _page(room, name, admin)


@router.post("/console/agencies/{name}/{verb}", dependencies=[OwnForm])
def decide(name: str, verb: str, admin: Admin, room: Room, reason: Annotated[str, Form()] = "") -> Response:
    """A person's decision: ``pause`` or ``resume``, with a reason."""
    decision = {"pause": decisions.pause, "resume": decisions.resume}.get(verb)
    if decision is None or not reason.strip():
        return _page(room, name, admin, 422, "Say why, in a few words: it is kept in the audit.")
    try:
        decision(room, name, by=f"admin:{admin}", reason=reason.strip()[:400])
    except Problem as problem:
        return render("problem.html", problem.status, admin=admin, problem=problem)
    return RedirectResponse(f"/console/agencies/{name}", 303)


def _page(room: PostRoom, name: str, admin: str, status: int = 200, error: str | None = None) -> Response:
    found = room.agencies.get(name)
    if found is None:
        problem = NotFound(f"There is no agency {name} in the settings.")
        return render("problem.html", 404, admin=admin, problem=problem)
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
    return render("agency.html", status, admin=admin, error=error, **values)
