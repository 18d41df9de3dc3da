"""What the hub is shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import gateway_schemas
from pydantic import BaseModel, Field

from gateway.delivery import codes, standing
from gateway.delivery.room import PostRoom
from gateway.store import contradictions, deliveries, events
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx


class View(BaseModel):
    """Fields without a value are left out of the answer."""


class DeliveryView(View):
    """Follows the delivery schema."""

    id: str
    referral: str | None = None
    agency: str = Field(description="its name; of an event, the webhook's id")
    kind: str = Field(description="referral; update, message or withdrawal about one; or event for a webhook")
    state: str
    status: str
    reason: str | None = None
    code: str | None = None
    meaning: str | None = None
    reference: str | None = Field(None, description="the agency's own reference")
    route: "RouteView | None" = Field(None, description="how the agency was found, where the hub named the need")
    given: "GivenView | None" = Field(None, description="by hand: when it was given, and to whom")
    contradictions: "list[ContradictionView] | None" = Field(
        None, description="what was said against what is recorded, until something decides"
    )
    attempts: int
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None = Field(None, description="the earliest; none while its agency is paused")


class ContradictionView(View):
    id: int
    source: str = Field(description="callback, poll or by-hand")
    at: datetime
    status: str | None = Field(None, description="what the agency said")
    reason: str | None = None
    reference: str | None = Field(None, description="another reference than it gave before")


class GivenView(View):
    at: datetime
    to: str


class PassedOver(View):
    agency: str
    service: str
    name: str
    why: list[str] = Field(description="every reason, as a code")
    says: str


class RouteView(View):
    """Follows the route schema."""

    need: str
    agency: str | None = Field(None, description="absent when nobody can take it, or nobody she agreed to")
    service: str | None = None
    name: str | None = None
    because: str | None = Field(None, description="what decided between those that could take it")
    says: str | None = None
    passed_over: list[PassedOver]


class EventView(View):
    """Follows the event schema."""

    id: str
    type: str
    at: datetime
    referral: str | None = None
    delivery: str | None = None
    agency: str | None = None
    state: str | None = None
    status: str | None = None
    reason: str | None = None
    code: str | None = None
    webhook: str | None = None
    message: str | None = None
    source: str | None = None


class ReferralView(View):
    id: str
    area: str
    urgency: str
    consent: str
    created_at: datetime
    deliveries: list[DeliveryView]
    timeline: list[EventView]


def delivery_view(room: PostRoom, tx: Tx, delivery: Delivery) -> DeliveryView:
    [view] = delivery_views(room, tx, [delivery])
    return view


def delivery_views(room: PostRoom, tx: Tx, found: Sequence[Delivery]) -> list[DeliveryView]:
    prospects, open_ones = standing.prospects(room, tx, found), _contradictions(tx, found)
    return [
        DeliveryView(
            id=delivery.id,
            referral=delivery.referral,
            agency=delivery.agency,
            kind=delivery.kind,
            state=delivery.state,
            status=delivery.status,
            reason=delivery.reason,
            code=delivery.code,
            meaning=codes.meaning(room.agencies.get(delivery.agency), delivery.code),
            reference=deliveries.reference(tx, delivery),
            route=_route_view(deliveries.route(tx, delivery)),
            given=_given_view(deliveries.given(tx, delivery)),
            contradictions=open_ones.get(delivery.id),
            attempts=delivery.attempts,
            created_at=delivery.created_at,
            updated_at=delivery.updated_at,
            next_attempt_at=prospects[delivery.id].at if delivery.id in prospects else None,
        )
        for delivery in found
    ]


def _contradictions(tx: Tx, found: Sequence[Delivery]) -> dict[str, list[ContradictionView]]:
    by_id = {delivery.id: delivery for delivery in found}
    views: dict[str, list[ContradictionView]] = {}
    for one in contradictions.open_of(tx, list(by_id)):
        reference = contradictions.reference(tx, by_id[one.delivery], one)
        view = ContradictionView(
            id=one.id, source=one.source, at=one.at, status=one.status, reason=one.reason, reference=reference
        )
        views.setdefault(one.delivery, []).append(view)
    return views


def _route_view(route: Mapping[str, Any] | None) -> RouteView | None:
    return RouteView(**route) if route else None


def _given_view(given: Mapping[str, Any] | None) -> GivenView | None:
    return GivenView(**given) if given else None


def event_view(row: Mapping[str, Any]) -> EventView:
    """*row*: of the events table."""
    return EventView(**events.told(row))


def plain_schema(name: str) -> dict[str, Any]:
    """The schema called *name* without references or our annotations, for the OpenAPI document."""
    plain = _plain(gateway_schemas.load(name))
    assert isinstance(plain, dict)
    return plain


def _plain(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        schema = gateway_schemas.resolve(schema) if isinstance(schema.get("$ref"), str) else schema
        hidden = ("$schema", "$id", "$defs", "dataCategory", "safeWhen")
        return {key: _plain(value) for key, value in schema.items() if key not in hidden}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


def body_of(name: str, example: Any, *, required: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that takes a document of the schema called *name*."""
    return body(plain_schema(name), example, required=required)


def body(schema: dict[str, Any], example: Any, *, required: bool = True) -> dict[str, Any]:
    """As body_of(), of a schema that is not among those that are published."""
    content = {"schema": schema, "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}
