"""Consent records: what a woman agreed to."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from gateway.delivery import decisions
from gateway.policy import contract
from gateway.store import consents

from . import examples
from .incoming import Hub, Json, Room
from .views import DeliveryView, View, body_of, delivery_views

router = APIRouter(prefix="/v1/consents", tags=["consents"])


class ConsentView(View):
    id: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    consent: dict[str, Any] = Field(description="the record, following the consent schema")


class WithdrawalView(View):
    id: str
    withdrawn: bool
    deliveries: list[DeliveryView] = Field(description="every delivery that rests on it, as it stands now")


@router.post("", status_code=201, openapi_extra=body_of("consent", examples.CONSENT), response_model_exclude_none=True)
def record(body: Json, caller: Hub, room: Room, response: Response) -> ConsentView:
    """Record what a woman agreed to: who may be given what, for which purposes, until when."""
    document = contract.check("consent", body.document)
    with room.store.begin() as tx:
        identifier = consents.save(tx, document, hub=caller.hub)
        stored = consents.get(tx, identifier, hub=caller.hub)
    response.headers["Location"] = f"/v1/consents/{identifier}"
    return ConsentView(id=identifier, created_at=stored.created_at, consent=document)


@router.get("/{consent}", response_model_exclude_none=True)
def read(consent: str, caller: Hub, room: Room) -> ConsentView:
    """The record, and whether it was withdrawn."""
    with room.store.begin() as tx:
        stored = consents.get(tx, consent, hub=caller.hub)
    return ConsentView(
        id=stored.id, created_at=stored.created_at, withdrawn_at=stored.withdrawn_at, consent=dict(stored.document)
    )


@router.post("/{consent}/withdraw", response_model_exclude_none=True)
def withdraw(consent: str, caller: Hub, room: Room) -> WithdrawalView:
    """She withdrew. What has not left stops now; agencies that have her referral are told, each by a delivery."""
    touched = decisions.withdraw_consent(room, consent, caller)
    with room.store.begin() as tx:
        views = delivery_views(room, tx, touched)
    return WithdrawalView(id=consent, withdrawn=True, deliveries=views)
