"""Other lawful bases than consent: recorded with a reason, approved by a second worker, reported by themselves."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from gateway import reports
from gateway.delivery import bases, changes
from gateway.errors import NotFound
from gateway.policy import contract
from gateway.policy.consent import Basis
from gateway.store import consents
from gateway.store.consents import Record

from . import examples
from .incoming import Json, MayApprove, MayReadConsents, MayWriteConsents, Room
from .views import View, body_of

router = APIRouter(prefix="/v1/lawful-bases", tags=["lawful bases"])


class BasisView(View):
    id: str
    basis: str
    created_at: datetime
    approved_at: datetime | None = Field(None, description="nothing is sent on it before")
    withdrawn_at: datetime | None = Field(None, description="when it was called off")
    record: dict[str, Any] = Field(description="what was recorded, the reason included")


class BasisRow(View):
    id: str
    hub: str
    basis: str
    created_at: datetime
    approved_at: datetime | None = None
    withdrawn_at: datetime | None = None
    referrals: list[str]
    deliveries: dict[str, int] = Field(description="how many are in each state")


class Bases(View):
    lawful_bases: list[BasisRow]


@router.post(
    "", status_code=201, openapi_extra=body_of("lawful_basis", examples.BASIS), response_model_exclude_none=True
)
def record(caller: MayWriteConsents, body: Json, room: Room) -> BasisView:
    """Record why something may be sent without her consent. It counts when a second worker approves it."""
    return _view(bases.record(room, contract.check("lawful_basis", body.document), caller))


@router.get("", response_model_exclude_none=True)
def listing(caller: MayReadConsents, room: Room) -> Bases:
    """Every use of another basis than consent, newest first: ids and counts, never names."""
    with room.store.begin(hub=caller.hub) as tx:
        return Bases(lawful_bases=[BasisRow(**row) for row in reports.lawful_bases(tx, hub=caller.hub)])


@router.get("/{identifier}", response_model_exclude_none=True)
def read(caller: MayReadConsents, identifier: str, room: Room) -> BasisView:
    """What was recorded, for the worker who is to approve it."""
    with room.store.begin(hub=caller.hub) as tx:
        found = consents.get(tx, identifier, hub=caller.hub)
    return _view(found)


@router.post(
    "/{identifier}/approve",
    openapi_extra=body_of("approval", {"approved_by": "Support worker 7"}),
    response_model_exclude_none=True,
)
def approve(caller: MayApprove, identifier: str, body: Json, room: Room) -> BasisView:
    """A second worker agrees, with an API key of her own. Then referrals may name this record."""
    return _view(bases.approve(room, identifier, contract.check("approval", body.document), caller))


@router.post("/{identifier}/withdraw", response_model_exclude_none=True)
def withdraw(caller: MayWriteConsents, identifier: str, room: Room) -> BasisView:
    """Call it off: what has not left stops, and what has left is taken back, as when a consent is withdrawn."""
    read(caller, identifier, room)
    changes.withdraw_consent(room, identifier, caller)
    return read(caller, identifier, room)


def _view(found: Record) -> BasisView:
    if found.basis is Basis.CONSENT:
        raise NotFound(f"there is no lawful basis {found.id}; a consent is read at /v1/consents/{found.id}")
    return BasisView(
        id=found.id, basis=found.basis, created_at=found.created_at, approved_at=found.approved_at,
        withdrawn_at=found.withdrawn_at, record=dict(found.document),
    )  # fmt: skip
