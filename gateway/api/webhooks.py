"""Webhooks: where a hub wants to be told, instead of asking the feed."""

from datetime import datetime
from typing import Annotated

import gateway_schemas
from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.delivery import codes, webhooks
from gateway.delivery.room import PostRoom
from gateway.store import webhooks as stored
from gateway.store.session import Tx
from gateway.store.webhooks import TEST, Webhook

from . import examples
from .incoming import MayManageWebhooks, Room, reading
from .views import DeliveryView, View, body, delivery_view

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

TYPES = [name for name in gateway_schemas.load("event")["properties"]["type"]["enum"] if name != TEST]


def _known(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"one of {', '.join(TYPES)}")
    return name


EventType = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": TYPES})]
Url = Annotated[
    str, Field(max_length=1000, description="https, with public addresses, for example https://hub.example/events")
]
Types = Annotated[list[EventType], Field(max_length=len(TYPES), description="which events; none named: all")]


class New(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Url
    types: Types = []


class Change(BaseModel):
    """What is not given stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = None
    enabled: bool | None = Field(None, description="switched on again, it is told what happens from then on")


NewBody = Annotated[New, Depends(reading(New))]
ChangeBody = Annotated[Change, Depends(reading(Change))]


class WebhookView(View):
    id: str
    url: str
    types: list[str]
    created_at: datetime
    enabled: bool
    disabled_at: datetime | None = None
    disabled_code: str | None = None
    disabled_meaning: str | None = None
    failing_since: datetime | None = Field(None, description="the first failure since something was delivered")
    delivered_at: datetime | None = Field(None, description="when something was last delivered")
    last_delivery: DeliveryView | None = None
    old_secret_until: datetime | None = Field(None, description="until then the secret before this one signs along")


class Secret(WebhookView):
    secret: str = Field(description="for verifying signatures (Standard Webhooks); shown this once")


class Webhooks(View):
    webhooks: list[WebhookView]


class TestView(View):
    delivery: str = Field(description="read GET /v1/deliveries/{delivery} for what comes of it")


def _view(room: PostRoom, tx: Tx, found: Webhook, secret: str | None = None) -> WebhookView:
    last = stored.last_delivery(tx, found.id)
    view = WebhookView(
        id=found.id,
        url=found.url,
        types=found.types,
        created_at=found.created_at,
        enabled=found.disabled_at is None,
        disabled_at=found.disabled_at,
        disabled_code=found.disabled_code,
        disabled_meaning=codes.meaning(None, found.disabled_code),
        failing_since=found.failing_since,
        delivered_at=found.delivered_at,
        last_delivery=delivery_view(room, tx, last) if last else None,
        old_secret_until=found.old_until,
    )
    return view if secret is None else Secret(**dict(view), secret=secret)


def _show(room: PostRoom, found: Webhook, secret: str | None = None) -> WebhookView:
    with room.store.begin(hub=found.hub) as tx:
        return _view(room, tx, found, secret)


@router.post(
    "", status_code=201, response_model=Secret, response_model_exclude_none=True,
    openapi_extra=body(New.model_json_schema(), examples.WEBHOOK),
)  # fmt: skip
def create(caller: MayManageWebhooks, new: NewBody, room: Room, response: Response) -> WebhookView:
    """Be told of events at *url*, signed with the secret in this answer. It begins with what happens from now on."""
    found, secret = webhooks.create(room, caller, new.url, new.types)
    response.headers["Location"] = f"/v1/webhooks/{found.id}"
    return _show(room, found, secret)


@router.get("", response_model_exclude_none=True)
def listing(caller: MayManageWebhooks, room: Room) -> Webhooks:
    """A hub's webhooks, and how each fares."""
    with room.store.begin(hub=caller.hub) as tx:
        return Webhooks(webhooks=[_view(room, tx, found) for found in stored.all_of(tx, caller.hub)])


@router.get("/{webhook}", response_model_exclude_none=True)
def read(caller: MayManageWebhooks, webhook: str, room: Room) -> WebhookView:
    """One webhook, and how it fares."""
    with room.store.begin(hub=caller.hub) as tx:
        return _view(room, tx, stored.get(tx, webhook, hub=caller.hub))


@router.patch(
    "/{webhook}", response_model_exclude_none=True, openapi_extra=body(Change.model_json_schema(), {"enabled": False})
)
def change(caller: MayManageWebhooks, webhook: str, wanted: ChangeBody, room: Room) -> WebhookView:
    """Another address, other types, off, or on again. What happened while it was off is in the feed only."""
    return _show(room, webhooks.change(room, caller, webhook, wanted.url, wanted.types, wanted.enabled))


@router.delete("/{webhook}", status_code=204)
def remove(caller: MayManageWebhooks, webhook: str, room: Room) -> None:
    """It is told nothing more."""
    webhooks.remove(room, caller, webhook)


@router.post("/{webhook}/rotate", response_model=Secret, response_model_exclude_none=True)
def rotate(caller: MayManageWebhooks, webhook: str, room: Room) -> WebhookView:
    """A new secret. Until ``old_secret_until`` each message carries a signature of the old one as well."""
    return _show(room, *webhooks.rotate(room, caller, webhook))


@router.post("/{webhook}/test", status_code=202)
def test(caller: MayManageWebhooks, webhook: str, room: Room) -> TestView:
    """Send it an event of type ``webhook.test``, whatever types it chose."""
    return TestView(delivery=webhooks.test(room, caller, webhook))
