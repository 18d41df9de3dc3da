"""A hub's referrals for its own people: ids, agencies and states; what a referral says only for a purpose."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response

from gateway.delivery import by_hand, openings
from gateway.delivery.openings import Opened
from gateway.errors import Problem
from gateway.policy.openings import ALL_PURPOSES, PURPOSES
from gateway.policy.roles import OF_A_HUB, Role
from gateway.store import cases, cursor, events, listings

from .access import Me, Room, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
PAGE = 25


@router.get("/console/cases")
@allowed(*OF_A_HUB)
def listing(me: Me, room: Room, after: Annotated[str | None, Query()] = None) -> Response:
    try:
        before = cursor.read(after)
    except Problem:
        before = None
    hub = me.person.hub or ""
    with room.store.begin(hub=hub) as tx:
        found = cases.listing(tx, hub, before, PAGE + 1)
    page = found[:PAGE]
    more = cursor.write(page[-1].created_at, page[-1].id) if len(found) > PAGE else None
    return render("cases.html", me=me, cases=page, next=more, sought=False)


@router.post("/console/cases/find")
@allowed(*OF_A_HUB)
def find(me: Me, room: Room, reference: Annotated[str, Form(max_length=200)]) -> Response:
    """By the hub's own reference, which is in no address: a form that is posted."""
    return render("cases.html", me=me, cases=openings.find(room, me.person, reference), next=None, sought=True)


@router.get("/console/cases/{identifier}")
@allowed(*OF_A_HUB)
def case(identifier: str, me: Me, room: Room) -> Response:
    """Where it stands, what happened, who looked; and the form to open it."""
    hub = me.person.hub or ""
    with room.store.begin(hub=hub) as tx:
        found, sent = cases.get(tx, identifier, hub=hub), listings.of_referral(tx, identifier, hub=hub)
        tasks = [one.id for one in sent if by_hand.answers(room, tx, one)] if me.person.role is Role.CASEWORKER else []
        return render(
            "case.html", me=me, case=found, sent=sent, tasks=tasks, purposes=PURPOSES, all_purposes=ALL_PURPOSES,
            timeline=events.of_referral(tx, hub, identifier), looks=cases.looks(tx, hub, identifier),
        )  # fmt: skip


@router.post("/console/cases/{identifier}/open")
@allowed(*OF_A_HUB)
def open_case(
    identifier: str,
    me: Me,
    room: Room,
    purpose: Annotated[str, Form(max_length=40)] = "",
    note: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """What the referral says, in the answer to this form alone: no address leads back to it."""
    found = openings.for_case(room, identifier, me.person, purpose, note)
    return render("opened.html", me=me, back=f"/console/cases/{identifier}", until=None, **told(found))


@router.post("/console/cases/{identifier}/take")
@allowed(*OF_A_HUB)
def take(identifier: str, me: Me, room: Room) -> Response:
    openings.take(room, identifier, me.person)
    return RedirectResponse(f"/console/cases/{identifier}", 303)


@router.get("/console/openings")
@allowed(Role.HUB_MANAGER)
def looks(me: Me, room: Room) -> Response:
    """Who opened the hub's referrals, for what."""
    hub = me.person.hub or ""
    with room.store.begin(hub=hub) as tx:
        return render("openings.html", me=me, looks=cases.looks(tx, hub), purposes=ALL_PURPOSES)


def told(found: Opened) -> dict[str, Any]:
    """*found* as a page shows it: under headings, every leaf in words."""
    return {"opened": found, "permits": found.consent.document.get("permits", []), **parts(found.referral)}


def parts(referral: Mapping[str, Any]) -> dict[str, Any]:
    """``{alone, parts}``: what stands by itself in *referral*, and what stands under a heading, every leaf in words."""
    inside = {name: value for name, value in referral.items() if isinstance(value, dict | list)}
    alone = [(words(name), str(value)) for name, value in referral.items() if name not in inside]
    return {"alone": alone, "parts": {name: rows(value) for name, value in inside.items()}}


def rows(value: Any, place: str = "") -> list[tuple[str, str]]:
    """Every leaf of *value* with its place in words."""
    if isinstance(value, dict):
        return [
            row
            for name, child in value.items()
            for row in rows(child, f"{place}, {words(name)}" if place else words(name))
        ]
    if isinstance(value, list):
        return [row for number, child in enumerate(value, 1) for row in rows(child, f"{place} {number}".strip())]
    return [(place, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))]


def words(name: str) -> str:
    return name.replace("_", " ")
