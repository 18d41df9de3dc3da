"""The status page: what is late, what failed and why, and replay. Ids and codes only."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response

from gateway import ids, reports
from gateway.delivery import by_hand, codes, decisions, standing
from gateway.delivery.room import PostRoom
from gateway.errors import Problem
from gateway.policy.lifecycle import State
from gateway.policy.roles import EVERYBODY, Role
from gateway.store import contradictions, cursor, deliveries, listings
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from .access import Me, Room, Visit, allowed, public
from .pages import PLACES, Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
PAGE = 25


@router.get("/")
@public
def front() -> Response:
    return RedirectResponse("/console", 303)


@router.get("/console")
@allowed(*EVERYBODY)
def status(
    me: Me,
    room: Room,
    agency: Annotated[str, Query()] = "",
    state: Annotated[str, Query()] = "",
    after: Annotated[str | None, Query()] = None,
) -> Response:
    """The front page of delivery admins; everybody else is sent to that of her role."""
    if me.person.role is not Role.DELIVERY_ADMIN:
        return RedirectResponse(PLACES[me.person.role][0][0], 303)
    chosen = [State(state)] if state in set(State) else []
    try:
        before = cursor.read(after)
    except Problem:
        before = None
    with room.store.begin() as tx:
        overview = reports.overview(tx, list(room.agencies))
        tasks, contradicted = listings.tasks(tx), contradictions.all_open(tx)
        found = listings.search(tx, agency=agency or None, states=chosen, before=before, limit=PAGE + 1)
        page = found[:PAGE]
        standings, prospects, now = standing.everyones(room, tx), standing.prospects(room, tx, page), tx.now()
    return render(
        "status.html",
        me=me,
        overview=overview,
        states=list(State),
        tasks=[(one, codes.meaning(room.agencies.get(one.agency), one.code)) for one in tasks if one.of],
        contradicted=contradicted,
        standings=standings,
        hooks={row.agency for row in overview.agencies if ids.valid(row.agency, "whe")},
        rows=[
            {
                "delivery": one,
                "meaning": codes.meaning(room.agencies.get(one.agency), one.code),
                "waits": standing.waits(one, prospects.get(one.id)),
            }
            for one in page
        ],
        next=cursor.write(page[-1].created_at, page[-1].id) if len(found) > PAGE else None,
        agency=agency,
        state=state,
        now=now,
    )


@router.get("/console/deliveries/{identifier}")
@allowed(Role.DELIVERY_ADMIN)
def delivery(identifier: str, me: Me, room: Room) -> Response:
    with room.store.begin() as tx:
        return _page(room, tx, deliveries.get(tx, identifier), me)


def _page(room: PostRoom, tx: Tx, found: Delivery, me: Visit, status: int = 200, error: str | None = None) -> Response:
    agency = room.agencies.get(found.agency)
    attempts: list[dict[str, Any]] = [
        {**row, "meaning": codes.meaning(agency, row["code"])} for row in listings.attempts(tx, found.id)
    ]
    return render(
        "delivery.html",
        status,
        me=me,
        delivery=found,
        meaning=codes.meaning(agency, found.code),
        attempts=attempts,
        waits=standing.waits(found, standing.prospects(room, tx, [found]).get(found.id)),
        keeps_keys=agency is not None and agency.adapter.idempotent,
        can=decisions.open_to(found),
        contacts=by_hand.contacts(tx, found.agency) if found.of else [],
        error=error,
        now=tx.now(),
    )


@router.post("/console/deliveries/{identifier}/{verb}")
@allowed(Role.DELIVERY_ADMIN)
def decide(identifier: str, verb: str, me: Me, room: Room, reason: Annotated[str, Form()] = "") -> Response:
    """A person's decision: ``replay``, ``confirm`` or ``refuse``, with a reason."""
    decision = {"replay": decisions.replay, "confirm": decisions.confirm, "refuse": decisions.refuse}.get(verb)
    with room.store.begin() as tx:
        found = deliveries.get(tx, identifier)
        if decision is None or not reason.strip():
            return _page(room, tx, found, me, 422, "Say why, in a few words: it is kept in the audit.")
    decision(room, identifier, by=me.person.actor, reason=reason.strip()[:400])
    return RedirectResponse(f"/console/deliveries/{identifier}", 303)
