"""A hub's tasks for its caseworkers: what an agency is to be told by hand, the sheet to tell it from, and what came of it."""

from datetime import datetime
from typing import Annotated, Any

import gateway_sdk as sdk
from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from gateway.delivery import by_hand, codes, openings
from gateway.delivery.room import PostRoom
from gateway.errors import ConsentMissing, Invalid, NotFound, Problem
from gateway.policy import contract
from gateway.policy.hours import LONDON
from gateway.policy.lifecycle import State
from gateway.policy.roles import Role
from gateway.store import contradictions, deliveries, listings

from .access import Me, Room, Visit, allowed
from .cases import parts
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
EXPECTED = {
    "/at": "Say when you told it: a day and a time, not before the task was made and not in the future.",
    "/to": "Say whom you told: a role such as duty officer, in at most 120 letters.",
    "/reference": "The agency’s reference has at most 128 letters.",
    "/status": "Choose what it answered.",
    "/reason": "Choose the reason from the list, or none.",
}

NOT_AGREED = (
    "She did not agree at that time. If the agency has it all the same, tick the box below: it is then taken back."
)


@router.get("/console/tasks")
@allowed(Role.CASEWORKER)
def listing(me: Me, room: Room) -> Response:
    """What is to be told, and what was told and waits for an answer."""
    hub = me.person.hub or ""
    agencies = [name for name, agency in room.agencies.items() if agency.settings.by_hand]
    with room.store.begin(hub=hub) as tx:
        tasks, told = listings.to_tell(tx, hub), listings.unanswered(tx, hub, agencies)
        return render("tasks.html", me=me, tasks=tasks, told=told, now=tx.now())


@router.get("/console/tasks/{identifier}")
@allowed(Role.CASEWORKER)
def task(identifier: str, me: Me, room: Room) -> Response:
    return _page(room, identifier, me)


def _page(
    room: PostRoom, identifier: str, me: Visit, problem: Problem | None = None, typed: dict[str, str] | None = None
) -> Response:
    """The task, with *problem* in plain words and what was *typed* before it."""
    with room.store.begin(hub=me.person.hub or "") as tx:
        found, now = deliveries.get(tx, identifier), tx.now()
        if found.kind == "event":  # told to a webhook
            raise NotFound("There is no such task.")
        return render(
            "task.html", problem.status if problem else 200, me=me, task=found, now=now,
            meaning=codes.meaning(room.agencies.get(found.agency), found.code),
            to_tell=found.state is State.TASK, answers=by_hand.answers(room, tx, found), reasons=list(sdk.Reason),
            contradicted=contradictions.open_of(tx, [found.id]), contacts=by_hand.contacts(tx, found.agency),
            error=_plain(problem) if problem else None, not_agreed=isinstance(problem, ConsentMissing),
            typed=typed or {"at": f"{now.astimezone(LONDON):%Y-%m-%dT%H:%M}", "to": "", "reference": ""},
        )  # fmt: skip


@router.post("/console/tasks/{identifier}/sheet")
@allowed(Role.CASEWORKER)
def sheet(identifier: str, me: Me, room: Room) -> Response:
    """What the agency may be given, in the answer to this form alone: no address leads back to it."""
    try:
        found = openings.for_task(room, identifier, me.person)
    except ConsentMissing as problem:
        return _page(room, identifier, me, problem)
    return render("sheet.html", me=me, sheet=found, **parts(found.data))


@router.post("/console/tasks/{identifier}/given")
@allowed(Role.CASEWORKER)
def given(
    identifier: str,
    me: Me,
    room: Room,
    at: Annotated[str, Form()] = "",
    to: Annotated[str, Form()] = "",
    reference: Annotated[str, Form()] = "",
    without_consent: Annotated[str, Form()] = "",
) -> Response:
    """*at*: London's time."""
    typed = {"at": at, "to": to.strip(), "reference": reference.strip()}
    document: dict[str, Any] = {name: value for name, value in typed.items() if value or name == "to"}
    document |= {"at": _with_zone(at)} | ({"without_consent": True} if without_consent else {})
    try:
        by_hand.given(room, identifier, contract.check("given", document), openings.acting(me.person))
    except Invalid as problem:
        return _page(room, identifier, me, problem, typed)
    except ConsentMissing:
        return _page(room, identifier, me, ConsentMissing(NOT_AGREED), typed)
    return RedirectResponse(f"/console/tasks/{identifier}", 303)


@router.post("/console/tasks/{identifier}/answer")
@allowed(Role.CASEWORKER)
def answer(
    identifier: str, me: Me, room: Room, status: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = ""
) -> Response:
    document = {"status": status, **({"reason": reason} if reason else {})}
    try:
        by_hand.answered(room, identifier, contract.check("answer", document), openings.acting(me.person))
    except Invalid as problem:
        return _page(room, identifier, me, problem)
    return RedirectResponse(f"/console/tasks/{identifier}", 303)


def _with_zone(at: str) -> str:
    """As the schema wants it; what is no time stays as it is, and is refused there."""
    try:
        return datetime.fromisoformat(at).replace(tzinfo=LONDON).isoformat()
    except ValueError:
        return at


def _plain(problem: Problem) -> str:
    """In the words of the form."""
    wrong = [EXPECTED[error["pointer"]] for error in problem.extra.get("errors", ())]
    return " ".join(dict.fromkeys(wrong)) or problem.detail
