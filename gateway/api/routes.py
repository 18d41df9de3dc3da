"""Routes: who would take a need, and where the roll-out is. To be asked before she is asked for consent."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from gateway import router as signpost
from gateway.policy import contract, places
from gateway.policy.routing import Wish
from gateway.store import directory

from . import examples
from .incoming import Json, MayReadDirectory, Room
from .views import RouteView, View, body_of

router = APIRouter(prefix="/v1", tags=["directory"])


class AreaView(View):
    area: str
    phase: str = Field(description="planned, pilot or live; nothing is taken for an area that is planned")
    since: datetime | None = None
    councils: dict[str, str] = Field(description="their codes and names")


class Areas(View):
    areas: list[AreaView]


class Routes(View):
    routes: list[RouteView]


@router.get("/areas", response_model_exclude_none=True)
def areas(caller: MayReadDirectory, room: Room) -> Areas:
    """The hub areas, and how far the roll-out is in each."""
    with room.store.begin(hub=caller.hub) as tx:
        rows = directory.areas(tx)
    return Areas(
        areas=[
            AreaView(**row, councils={code: places.name(code) for code in sorted(places.councils(row["area"]))})
            for row in rows
        ]
    )


@router.post("/routes", openapi_extra=body_of("route", examples.ROUTE), response_model_exclude_none=True)
def find(caller: MayReadDirectory, body: Json, room: Room) -> Routes:
    """Who would take each need, and why; nothing is stored or sent. She still has to agree to whoever it is."""
    asked = contract.check("route", body.document)
    facts = {name: asked[name] for name in ("area", "urgency", "council", "age", "children") if name in asked}
    with room.store.begin(hub=caller.hub) as tx:
        services = directory.look(tx)
    found = []
    for need in asked["needs"]:
        wish = Wish(**need, **facts)
        choice = signpost.choose(wish, room.agencies, services)
        found.append(RouteView(**signpost.told(wish, choice)))
    return Routes(routes=found)
