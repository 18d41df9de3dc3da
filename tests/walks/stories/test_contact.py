"""How she can be reached changes, and it is urgent: somebody reads what she used until now."""

from typing import Any

from gateway_sdk import Status

from tests.rooms.delivery.test_unsafe_channels import decoded, spellings
from tests.support import ALL_CATEGORIES, HEALTH, HOUSING, SOCIAL_SECURITY
from tests.walks.stories.telling import Held, Story

OLD, NEW, WATCHED = "07700 900321", "07700 900654", "watched.mailbox@example.org"


def contact(number: str) -> dict[str, Any]:
    phone = {"number": number, "safe_to_call": True, "safe_to_text": False, "safe_to_leave_voicemail": False}
    return {"phone": phone, "email": {"address": WATCHED, "safe_to_use": False}}


def on_the_wire(story: Story, agency: str, since: int = 0) -> bytes:
    """Every byte that *agency* was sent, from its request number *since* on, and what is hidden in them."""
    received = story.house.agencies[agency].received[since:]
    return decoded("\n".join(str(value) for message in received for value in message.values()).encode())


def found(text: str, sent: bytes) -> list[bytes]:
    """The spellings of *text* that are in *sent*."""
    return [one for one in spellings(text) if len(one) > 6 and one in sent]


def test_a_new_safe_phone_reaches_two_agencies_and_the_third_never_learns_the_old_one(story: Story) -> None:
    agencies = (HOUSING, SOCIAL_SECURITY, HEALTH)
    agreed = story.agrees(dict.fromkeys(agencies, ALL_CATEGORIES))
    began = {agency: len(story.house.agencies[agency].received) for agency in agencies}
    with story.away(HEALTH):
        made = story.refers(agreed, *agencies, contact=contact(OLD))
        for agency in (HOUSING, SOCIAL_SECURITY):
            story.becomes(made, agency, state="delivered")
            assert found(OLD, on_the_wire(story, agency, began[agency]))
        story.is_known_to_be_away(HEALTH)
        before = {agency: len(story.house.agencies[agency].received) for agency in agencies}
        story.hub.change_contact(made, contact(NEW))
        for agency in (HOUSING, SOCIAL_SECURITY):
            story.becomes(made, agency, kind="update", state="delivered")
    story.becomes(made, HEALTH, state="delivered")

    for agency in agencies:
        afterwards = on_the_wire(story, agency, before[agency])
        assert found(NEW, afterwards)
        assert not found(OLD, afterwards), f"{agency} is told the old number again"
        assert not found(WATCHED, on_the_wire(story, agency, began[agency])), f"{agency} was told the unsafe address"
    assert not found(OLD, on_the_wire(story, HEALTH, began[HEALTH]))
    story.ends(
        holds={(made, agency): Held(Status.SENT, has=(NEW,), lacks=(OLD, WATCHED)) for agency in agencies},
        told={
            "": ["referral.accepted", "referral.contact"],
            HOUSING: ["delivered", "delivered"],
            SOCIAL_SECURITY: ["delivered", "delivered"],
            HEALTH: ["delivered"],
        },
        audited=["referral.contact"],
    )
