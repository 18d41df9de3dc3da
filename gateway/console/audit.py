"""The audit for those who read it: filtered, a page at a time, and whether the chain holds."""

from datetime import datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from gateway.delivery.room import PostRoom
from gateway.errors import Invalid
from gateway.policy.hours import LONDON
from gateway.policy.roles import Role
from gateway.store import audit, checkpoints
from gateway.store.audit import Verdict

from .access import Me, Room, Visit, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
PAGE = 50


@router.get("/console/audit")
@allowed(Role.AUDITOR)
def listing(
    me: Me,
    room: Room,
    actor: Annotated[str, Query(max_length=100)] = "",
    action: Annotated[str, Query(max_length=100)] = "",
    object: Annotated[str, Query(max_length=100)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> Response:
    """*since* and *until*: days in London, the second one included."""
    shown = {"actor": actor.strip(), "action": action.strip(), "object": object.strip(), "since": since, "until": until}
    chosen = {**shown, "since": _day(since, time.min), "until": _day(until, time.max), "before": before}
    return _page(room, me, shown, chosen)


@router.post("/console/audit/verify")
@allowed(Role.AUDITOR)
def verify(me: Me, room: Room) -> Response:
    """Check the whole chain, as ``gateway audit verify`` does."""
    with room.store.begin() as tx:
        public = room.notary.public if room.notary else ""
        verdict = audit.verify(tx, checkpoints.everyone(tx) if public else [], public)
        audit.write(tx, me.person.actor, "audit.verify", "audit", holds=verdict.holds, rows=verdict.rows)
    return _page(room, me, dict.fromkeys(("actor", "action", "object", "since", "until"), ""), {}, verdict)


def _page(
    room: PostRoom, me: Visit, shown: dict[str, str], chosen: dict[str, Any], verdict: Verdict | None = None
) -> Response:
    with room.store.begin() as tx:
        found = audit.search(tx, limit=PAGE + 1, **chosen)
        signed = checkpoints.everyone(tx)
        return render(
            "audit.html", me=me, rows=found[:PAGE], shown=shown, verdict=verdict, reach=audit.reach(tx),
            signed=signed[-1] if signed else None, next=found[PAGE - 1]["id"] if len(found) > PAGE else None,
        )  # fmt: skip


def _day(text: str, at: time) -> datetime | None:
    """*text* is a day such as 2026-11-24. Raises Invalid."""
    try:
        return datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), at, LONDON) if text else None  # noqa: DTZ007
    except ValueError:
        raise Invalid("Write a day as 2026-11-24.") from None
