"""Delivery by hand: the sheet to read from, and what the hub's worker records."""

from datetime import UTC
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse
from pydantic import Field

from gateway.delivery import by_hand
from gateway.delivery.by_hand import Sheet
from gateway.policy import contract

from . import examples
from .incoming import Json, MayDeliverByHand, Room
from .views import DeliveryView, View, body_of, delivery_view

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries by hand"])

POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


class ContactView(View):
    name: str = Field(description="of a service of the agency, in the directory")
    phones: list[str]


class SheetView(View):
    delivery: str
    agency: str
    purpose: str
    kind: str = Field(
        description="referral: give it what is below; update: the same, in place of what it has, which is out of date; "
        "message: tell it that; withdrawal: tell it that she took her referral back"
    )
    of: str | None = Field(
        None, description="the delivery of the referral that it is about: our reference at the agency"
    )
    reference: str | None = Field(None, description="the agency's own reference of the referral, where it has one")
    contacts: list[ContactView]
    referral: dict[str, Any] = Field(
        description="all that the agency may be given, following the referral schema; empty: nothing of her"
    )
    message: str | None = Field(None, description="the words that it is to be told")


class Answered(View):
    believed: bool = Field(
        description="false: it contradicts what was recorded before; it is kept, and changes nothing"
    )
    delivery: DeliveryView


@router.get("/{delivery}/sheet", response_model=SheetView, response_model_exclude_none=True)
def sheet(
    caller: MayDeliverByHand,
    delivery: str,
    room: Room,
    accept: Annotated[str, Header(description="text/html: to print")] = "",
) -> Any:
    """What a person reads out or sends: only what she agreed to and this agency needs. Opening it is audited."""
    found = by_hand.sheet(room, delivery, caller)
    if "text/html" in accept:
        return HTMLResponse(_page(found), headers={"Content-Security-Policy": POLICY})
    one = found.delivery
    return SheetView(
        delivery=one.id,
        agency=one.agency,
        purpose=one.purpose,
        kind=one.kind,
        of=one.of,
        reference=found.reference,
        contacts=[ContactView(**contact) for contact in found.contacts],
        referral=dict(found.data),
        message=found.message,
    )


@router.post("/{delivery}/given", openapi_extra=body_of("given", examples.GIVEN), response_model_exclude_none=True)
def given(caller: MayDeliverByHand, delivery: str, body: Json, room: Room) -> DeliveryView:
    """Record that it was given, or the agency told: when, to whom, and the agency's reference. She must have agreed at
    that time."""
    done = by_hand.given(room, delivery, contract.check("given", body.document), caller)
    with room.store.begin(hub=caller.hub) as tx:
        return delivery_view(room, tx, done)


@router.post("/{delivery}/status", openapi_extra=body_of("answer", examples.ANSWER), response_model_exclude_none=True)
def status(caller: MayDeliverByHand, delivery: str, body: Json, room: Room) -> Answered:
    """Record what the agency answered. Of what waits to be given: *declined*, or *withdrawn* if it was never given."""
    found, believed = by_hand.answered(room, delivery, contract.check("answer", body.document), caller)
    with room.store.begin(hub=caller.hub) as tx:
        return Answered(believed=believed, delivery=delivery_view(room, tx, found))


def _page(found: Sheet) -> str:
    """To print: no style, no script, nothing loaded."""
    one = found.delivery
    title = f"{one.kind.capitalize()} for {one.agency}"
    facts = [("Our reference", one.of or one.id), ("Made", f"{one.created_at.astimezone(UTC):%d %B %Y %H:%M} UTC")]
    facts += [("Their reference", found.reference)] if found.reference else []
    facts += [(contact["name"], ", ".join(contact["phones"])) for contact in found.contacts]
    facts += [("Tell it", found.message)] if found.message else []
    tables = "".join(_table(rows) for rows in (facts, list(_rows(found.data))) if rows)
    return (
        f'<!doctype html><html lang="en-GB"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(found.says)}</p>{tables}</body></html>"
    )


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><th scope="row" align="left">{escape(n)}</th><td>{escape(v)}</td></tr>' for n, v in rows)
    return f'<table border="1" cellpadding="4">{cells}</table>'


def _rows(value: Any, place: str = "") -> list[tuple[str, str]]:
    """Every leaf with its place in words."""
    if isinstance(value, dict):
        return [row for name, child in value.items() for row in _rows(child, f"{place}: {name}" if place else name)]
    if isinstance(value, list):
        return [row for number, child in enumerate(value, 1) for row in _rows(child, f"{place} {number}")]
    words = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return [(place.replace("_", " ").capitalize(), words)]
