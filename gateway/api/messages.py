"""Messages: what an agency asks about a referral, and what its hub answers or adds."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from gateway.delivery import messages
from gateway.policy import contract

from . import examples
from .incoming import IdempotencyKey, Json, MayExchangeMessages, Room, required_key
from .views import View, body_of

router = APIRouter(prefix="/v1/referrals", tags=["messages"])


class Sent(View):
    """Taken: it will not be lost. What becomes of it, its delivery says."""

    id: str
    agency: str
    delivery: str
    at: datetime


class MessageView(View):
    id: str
    agency: str = Field(description="to whom, or from whom")
    sender: Literal["hub", "agency"]
    at: datetime = Field(description="when it was taken")
    text: str
    answers: str | None = Field(None, description="the message that it answers")
    delivery: str | None = Field(None, description="what takes a hub's message to the agency; see its state there")


class Messages(View):
    messages: list[MessageView]


@router.post(
    "/{referral}/messages",
    status_code=202,
    openapi_extra=body_of("message", examples.MESSAGE),
    response_model_exclude_none=True,
)
def send(
    caller: MayExchangeMessages, referral: str, body: Json, room: Room, idempotency_key: IdempotencyKey = None
) -> Sent:
    """Answer an agency, or tell it more about a referral that it has: only with her consent to the category message.

    The same Idempotency-Key with the same body gives the first answer again.
    """
    document, key = contract.check("message", body.document), required_key(idempotency_key)
    taken, agency = messages.send(room, referral, document, key, body.raw, caller)
    assert taken.carried_by is not None, "it is the hub's"
    return Sent(id=taken.id, agency=agency, delivery=taken.carried_by, at=taken.at)


@router.get("/{referral}/messages", response_model_exclude_none=True)
def read(caller: MayExchangeMessages, referral: str, room: Room) -> Messages:
    """What was said about a referral, oldest first. Reading it is audited."""
    return Messages(
        messages=[
            MessageView(
                id=one.message.id, agency=one.agency, sender=one.message.sender, at=one.message.at, text=one.text,
                answers=one.answers, delivery=one.message.carried_by,
            )
            for one in messages.read(room, referral, caller)
        ]
    )  # fmt: skip
