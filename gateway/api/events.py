"""Events: what happened to a hub's referrals, as a feed to follow."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.store import events

from .incoming import MayReadEvents, Room
from .views import EventView, View, event_view

router = APIRouter(prefix="/v1/events", tags=["events"])


class Feed(View):
    events: list[EventView]
    next: str


@router.get("", response_model_exclude_none=True)
def follow(
    caller: MayReadEvents,
    room: Room,
    after: Annotated[
        int, Query(ge=0, le=2**62, description="the ``next`` of the last answer; 0 for the beginning")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Feed:
    """The events after a place, in order and without gaps. Ask again with ``next``: nothing is missed."""
    with room.store.begin() as tx:
        events.place(tx)
    with room.store.begin(hub=caller.hub) as tx:
        found = events.after(tx, caller.hub, after, limit)
    return Feed(events=[event_view(row) for row in found], next=str(found[-1]["position"] if found else after))
