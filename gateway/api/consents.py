"""Consent records: what a woman agreed to, in versions, and the receipt she can be handed."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import Field

from gateway.delivery import changes
from gateway.errors import VersionMissing
from gateway.policy import contract
from gateway.store import consents
from gateway.store.callers import Caller
from gateway.store.consents import Record, Version

from . import examples, receipt
from .incoming import Json, MayReadConsents, MayWriteConsents, OptionalJson, Room
from .views import DeliveryView, View, body_of, delivery_views

router = APIRouter(prefix="/v1/consents", tags=["consents"])


def _consent(consent: str) -> str:
    """The id in the address; records of other lawful bases have addresses of their own."""
    if not consent.startswith("con_"):
        raise consents.unknown(consent)
    return consent


Id = Annotated[str, Depends(_consent)]


class ConsentView(View):
    id: str
    version: int
    created_at: datetime
    withdrawn_at: datetime | None = None
    consent: dict[str, Any] = Field(description="the present version, following the consent schema")
    receipt: dict[str, Any] | None = Field(None, description="the record after ISO/IEC TS 27560:2023, for her")


class VersionView(View):
    version: int
    kind: str
    recorded_at: datetime
    consent: dict[str, Any]


class VersionsView(View):
    id: str
    versions: list[VersionView]


class WithdrawalView(View):
    id: str
    withdrawn: bool = Field(description="whether all of it is withdrawn")
    deliveries: list[DeliveryView] = Field(description="every delivery that rests on it, as it stands now")


@router.post("", status_code=201, openapi_extra=body_of("consent", examples.CONSENT), response_model_exclude_none=True)
def record(caller: MayWriteConsents, body: Json, room: Room, response: Response) -> ConsentView:
    """Record what a woman agreed to: who may be given what, for which purposes, until when."""
    document = contract.check("consent", body.document)
    with room.store.begin(hub=caller.hub) as tx:
        stored = consents.get(tx, consents.save(tx, document, hub=caller.hub, key=caller.key), hub=caller.hub)
    response.headers["Location"] = f"/v1/consents/{stored.id}"
    return _view(stored, response)


@router.get("/{consent}", response_model_exclude_none=True, response_model=ConsentView)
def read(caller: MayReadConsents, consent: Id, room: Room, request: Request, response: Response) -> Any:
    """The present version and its receipt: JSON, or with ``Accept: text/html`` the page she can be handed."""
    stored, told = _read(consent, caller, room)
    if "text/html" in request.headers.get("accept", ""):
        return receipt.page(stored, told)
    return _view(stored, response, receipt.record(stored, told))


@router.get("/{consent}/receipt", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def printable(caller: MayReadConsents, consent: Id, room: Room) -> Response:
    """The receipt as a page in plain words, to read or to print: who may be told what, and how to change her mind."""
    return receipt.page(*_read(consent, caller, room))


@router.get("/{consent}/versions")
def versions(caller: MayReadConsents, consent: Id, room: Room) -> VersionsView:
    """Every version, oldest first: granted, narrowed, widened, renewed, withdrawn, expired."""
    _, told = _read(consent, caller, room)
    return VersionsView(
        id=consent,
        versions=[
            VersionView(version=one.version, kind=one.kind, recorded_at=one.recorded_at, consent=dict(one.document))
            for one in told
        ],
    )


@router.post(
    "/{consent}/versions",
    status_code=201,
    openapi_extra=body_of("consent", examples.CONSENT),
    response_model_exclude_none=True,
)
def change(
    caller: MayWriteConsents,
    consent: Id,
    body: Json,
    room: Room,
    response: Response,
    if_match: Annotated[str | None, Header(description="the ETag of the version you have read")] = None,
) -> VersionView:
    """What she agrees to now, as a whole. Whether it narrows, widens or renews follows from what it changes.

    If-Match keeps a change made from an older version from giving back what she took away meanwhile.
    """
    number = (if_match or "").strip().removeprefix("W/").strip('"')
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise VersionMissing('Send If-Match with the ETag of the version you have read, for example If-Match: "3".')
    document = contract.check("consent", body.document)
    stored, kind = changes.change_consent(room, consent, caller, document, based_on=int(number))
    response.headers["ETag"] = f'"{stored.version}"'
    return VersionView(version=stored.version, kind=kind, recorded_at=stored.read_at, consent=document)


@router.post(
    "/{consent}/withdraw",
    openapi_extra=body_of("withdrawal", {"recipients": ["glasgow-housing"]}, required=False),
    response_model_exclude_none=True,
)
def withdraw(caller: MayWriteConsents, consent: Id, body: OptionalJson, room: Room) -> WithdrawalView:
    """She withdrew: all of it, or, with a body, for one agency or one kind of data. The same again does nothing.

    What has not left stops now; agencies that have her referral are told, each by a delivery.
    """
    asked = contract.check("withdrawal", body.document) if body else {}
    part = changes.Part(tuple(asked.get("recipients", ())), tuple(asked.get("categories", ())))
    touched = changes.withdraw_consent(room, consent, caller, part, asked.get("given"))
    with room.store.begin(hub=caller.hub) as tx:
        stored = consents.get(tx, consent, hub=caller.hub)
        views = delivery_views(room, tx, touched)
    return WithdrawalView(id=consent, withdrawn=stored.withdrawn_at is not None, deliveries=views)


def _read(consent: str, caller: Caller, room: Room) -> tuple[Record, list[Version]]:
    with room.store.begin(hub=caller.hub) as tx:
        return consents.get(tx, consent, hub=caller.hub), consents.versions(tx, consent)


def _view(stored: Record, response: Response, told: dict[str, Any] | None = None) -> ConsentView:
    response.headers["ETag"] = f'"{stored.version}"'
    return ConsentView(
        id=stored.id, version=stored.version, created_at=stored.created_at, withdrawn_at=stored.withdrawn_at,
        consent=dict(stored.document), receipt=told,
    )  # fmt: skip
