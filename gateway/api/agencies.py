"""Agencies: whom a hub can refer to, and what each needs."""

from fastapi import APIRouter
from pydantic import Field

from .incoming import MayReadDirectory, Room
from .views import View

router = APIRouter(prefix="/v1/agencies", tags=["agencies"])


class AgencyView(View):
    name: str
    purpose: str
    areas: list[str]
    required: list[str] = Field(description="places of the referral that must be filled in, as JSON Pointers")
    optional: list[str] = Field(description="places that are given too, where she agrees")
    required_categories: list[str] = Field(description="data categories she must have agreed to")
    takes_messages: bool = Field(
        description="whether it is told a hub's messages by the gateway; elsewhere they are tasks for a person"
    )


class Agencies(View):
    agencies: list[AgencyView]


@router.get("")
def listing(caller: MayReadDirectory, room: Room) -> Agencies:
    """Every agency, with what it needs and which consent that takes."""
    return Agencies(
        agencies=[
            AgencyView(
                name=agency.name,
                purpose=agency.purpose,
                areas=list(agency.settings.areas),
                required=list(agency.adapter.needs.required),
                optional=list(agency.adapter.needs.optional),
                required_categories=sorted(agency.required_categories),
                takes_messages=agency.adapter.takes_messages,
            )
            for agency in room.agencies.values()
        ]
    )
