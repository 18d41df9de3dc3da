"""Deliveries: a hub's own, newest first."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from gateway.delivery import contradictions
from gateway.errors import NotFound
from gateway.policy.lifecycle import State
from gateway.store import cursor, deliveries, listings

from .incoming import MayReadReferrals, MayWriteReferrals, Room, reading
from .views import DeliveryView, View, delivery_view, delivery_views

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"])


class Page(View):
    deliveries: list[DeliveryView]
    next: str | None = None


@router.get("", response_model_exclude_none=True)
def listing(
    caller: MayReadReferrals,
    room: Room,
    agency: Annotated[str | None, Query(description="only of this agency")] = None,
    state: Annotated[list[State] | None, Query(description="only in these states; repeat for several")] = None,
    after: Annotated[str | None, Query(description="the ``next`` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page:
    """One page of deliveries. ``next`` is there while there are more."""
    with room.store.begin(hub=caller.hub) as tx:
        found = listings.search(
            tx, hub=caller.hub, agency=agency, states=state or (), before=cursor.read(after), limit=limit + 1
        )
        page = found[:limit]
        views = delivery_views(room, tx, page)
    more = len(found) > limit
    return Page(deliveries=views, next=cursor.write(page[-1].created_at, page[-1].id) if more else None)


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    believe: bool


DecisionBody = Annotated[Decision, Depends(reading(Decision))]


@router.post("/{delivery}/contradictions/{number}", response_model_exclude_none=True)
def decide(caller: MayWriteReferrals, delivery: str, number: int, decision: DecisionBody, room: Room) -> DeliveryView:
    """Decide about what the agency said against what is recorded: believe it, or leave what stands."""
    found = contradictions.decide(room, delivery, number, caller, believe=decision.believe)
    with room.store.begin(hub=caller.hub) as tx:
        return delivery_view(room, tx, found)


@router.get("/{delivery}", response_model_exclude_none=True)
def read(caller: MayReadReferrals, delivery: str, room: Room) -> DeliveryView:
    """One delivery."""
    with room.store.begin(hub=caller.hub) as tx:
        found = deliveries.get(tx, delivery)
        if found.hub != caller.hub:
            raise NotFound(f"there is no delivery {delivery}")
        return delivery_view(room, tx, found)
