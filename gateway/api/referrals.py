"""Referrals: submit one, and see what became of it."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateway import intake, telemetry
from gateway.delivery import changes
from gateway.errors import Problem
from gateway.policy import contract
from gateway.store import events, listings, referrals

from . import examples
from .incoming import IdempotencyKey, Json, MayReadReferrals, MayWriteReferrals, Room, required_key
from .views import ReferralView, RouteView, View, body_of, delivery_views, event_view

router = APIRouter(prefix="/v1/referrals", tags=["referrals"])


class Accepted(View):
    """Taken: stored, with one delivery for each agency. It will not be lost."""

    id: str
    accepted_at: datetime
    deliveries: dict[str, str]
    routes: dict[str, RouteView] = Field(description="how the agencies were found, where a need was named")


@router.post("", status_code=202, response_model=Accepted, openapi_extra=body_of("referral", examples.REFERRAL))
async def submit(
    caller: MayWriteReferrals, request: Request, body: Json, room: Room, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit a referral. The same Idempotency-Key with the same body gives the first answer again."""
    with telemetry.span("accept", parent=_trace(request)) as span:
        try:
            submission = intake.read(
                room.agencies, body.document, body.raw, required_key(idempotency_key), caller, span.traceparent
            )
            with telemetry.span("commit"):
                taken = await request.app.state.counter.submit(submission)
        except Problem as problem:
            span.tell(outcome="refused", code=problem.slug)
            raise
        span.tell(outcome="accepted", referral=taken.id)
    accepted = Accepted(
        id=taken.id,
        accepted_at=taken.accepted_at,
        deliveries=dict(taken.deliveries),
        routes={agency: RouteView(**route) for agency, route in taken.routes.items()},
    )
    headers = {"Location": f"/v1/referrals/{taken.id}"}
    return Response(accepted.model_dump_json(exclude_none=True), 202, headers, "application/json")


def _trace(request: Request) -> str | None:
    """The trace that the hub says this belongs to. Sent twice it says nothing."""
    return telemetry.received(",".join(request.headers.getlist("traceparent")))


@router.post(
    "/{referral}/contact", openapi_extra=body_of("contact", examples.CONTACT), response_model_exclude_none=True
)
def change_contact(
    caller: MayWriteReferrals, referral: str, body: Json, room: Room, idempotency_key: IdempotencyKey = None
) -> ReferralView:
    """How she can be reached safely from now on, as a whole, in each of your referrals about her.

    Agencies that have, or may have, what it said before get an urgent update.
    """
    contact, key = contract.check("contact", body.document), required_key(idempotency_key)
    changes.change_contact(room, referral, caller, contact, key, body.raw)
    return read(caller, referral, room)


@router.get("/{referral}", response_model_exclude_none=True)
def read(caller: MayReadReferrals, referral: str, room: Room) -> ReferralView:
    """How a referral stands at each agency, and its timeline. It does not repeat what it says about her."""
    with room.store.begin() as tx:
        events.place(tx)
    with room.store.begin(hub=caller.hub) as tx:
        stored = referrals.get(tx, referral, hub=caller.hub)
        sent = listings.of_referral(tx, referral, hub=caller.hub)
        return ReferralView(
            id=stored.id,
            area=stored.area,
            urgency=stored.urgency,
            consent=stored.consent,
            created_at=stored.created_at,
            deliveries=delivery_views(room, tx, sent),
            timeline=[event_view(row) for row in events.of_referral(tx, caller.hub, referral)],
        )
