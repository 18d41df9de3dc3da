"""The sandbox of adapters' authors: what each adapter makes of a synthetic referral. Nothing is sent."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import gateway_schemas
import gateway_sdk as sdk
from fastapi import APIRouter
from fastapi.responses import Response

from gateway import logs
from gateway.plugins import Agency
from gateway.policy import minimise
from gateway.policy.roles import Role

from .access import Me, Room, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
log = logs.get()

SYNTHETIC: dict[str, Any] = {  # nobody: a pseudonym, a reserved telephone number, a CHI number of the test range
    "subject": "SYNTHETIC-1", "consent": "con_00000000000000000", "area": "glasgow", "urgency": "urgent",
    "referrer": {"service": "Example hub", "worker": {"name": "Support worker 1", "phone": "0141 496 0000"}},
    "person": {
        "name": {"given": "Example", "family": "Person"}, "birth_date": "1994-05-17", "chi_number": "1705941265",
        "language": {"preferred": "ro", "interpreter_needed": True},
    },
    "contact": {
        "phone": {
            "number": "07700 900123", "safe_to_call": True, "safe_to_text": False, "safe_to_leave_voicemail": False,
        },
    },
    "housing": {"situation": "accommodation-tied-to-exploitation", "areas_to_avoid": ["Example Street"]},
    "income": {"has_own_bank_account": False},
    "health": {"needs": ["A check-up"]},
}  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """*given*: what is left of the synthetic referral for this agency. *made*: the request, or why there is none."""

    agency: Agency
    given: str
    made: str


@router.get("/console/sandbox")
@allowed(Role.ADAPTER_AUTHOR)
def sandbox(me: Me, room: Room) -> Response:
    return render("sandbox.html", me=me, tried=[attempt(agency) for agency in room.agencies.values()])


def attempt(agency: Agency) -> Tried:
    """As an attempt of the post room does it, up to the wire: with everything agreed to."""
    ask: dict[str, Any] = {"agency": agency.name, "purpose": agency.purpose, "ask": "Anything."}
    if agency.purpose == "social-security":
        ask["benefits"] = ["scottish-child-payment"]
    whole = {**SYNTHETIC, "requests": [ask]}
    needs = agency.adapter.needs
    data = minimise.keep(whole, agency.name, needs, gateway_schemas.consent_categories())
    referral = sdk.Referral("del_00000000000000000", datetime(2026, 1, 1, tzinfo=UTC), data, needs, "consent")
    try:
        made = _told(agency.adapter.translate(referral)) if not agency.settings.by_hand else "A sheet for a person."
    except Exception as error:  # noqa: BLE001  # code of others: its error is what its author wants to see
        log.warning("adapter failed in the sandbox", agency=agency.name, error=type(error).__name__)
        made = f"{type(error).__name__}, at {logs.place(error)}"
    return Tried(agency, json.dumps(data, indent=2, ensure_ascii=False), made)


def _told(request: sdk.Request) -> str:
    return json.dumps(asdict(request), indent=2, ensure_ascii=False, default=str)
