"""Her consent, as it lives: given bit by bit, narrowed, taken back, run out; for her children, and for what it is for."""

from datetime import UTC, datetime, timedelta

import gateway_client as gw
import pytest

from tests.support import ALL_CATEGORIES, HEALTH, HOUSING, SOCIAL_SECURITY
from tests.walks.stories.telling import NEVER, TAKEN_BACK, Held, Story

CHILD = "Example Child"
SENT_AND_TAKEN_BACK = ["delivered, status cancellation-requested, status withdrawn", "delivered"]


def test_housing_first_then_benefits_then_nothing_any_more_while_an_agency_is_down(story: Story) -> None:
    agreed = story.agrees({HOUSING: ALL_CATEGORIES})
    first = story.refers(agreed, HOUSING)
    story.becomes(first, HOUSING, state="delivered")
    with pytest.raises(gw.ConsentMissing) as refused:
        story.refers(agreed, SOCIAL_SECURITY)
    assert refused.value.missing == [
        {"agency": SOCIAL_SECURITY, "purpose": "social-security", "reason": "not_recipient"}
    ]

    both = story.document({HOUSING: ALL_CATEGORIES, SOCIAL_SECURITY: ALL_CATEGORIES})
    assert story.now_agrees(agreed, both) == "widened"
    benefits = story.refers(agreed, SOCIAL_SECURITY)
    story.becomes(benefits, SOCIAL_SECURITY, state="delivered")

    with story.away(HOUSING):
        again = story.refers(agreed, HOUSING)
        story.is_known_to_be_away(HOUSING)
        answer = story.hub.withdraw(agreed)
        assert answer["withdrawn"]
        assert story.delivery(again, HOUSING)["state"] == "withdrawn"
        story.becomes(benefits, SOCIAL_SECURITY, status="withdrawn")
        assert story.delivery(first, HOUSING)["status"] == "cancellation-requested"
        assert story.case(first, HOUSING).document, "it is down: it cannot know yet"  # type: ignore[union-attr]
    story.becomes(first, HOUSING, status="withdrawn")
    with pytest.raises(gw.ConsentMissing):
        story.refers(agreed, HOUSING)

    story.ends(
        holds={(first, HOUSING): TAKEN_BACK, (again, HOUSING): NEVER, (benefits, SOCIAL_SECURITY): TAKEN_BACK},
        told={
            "": ["referral.accepted"] * 3 + ["consent.withdrawn"] * 3,
            HOUSING: [*SENT_AND_TAKEN_BACK, "withdrawn: consent_withdrawn"],
            SOCIAL_SECURITY: SENT_AND_TAKEN_BACK,
        },
        audited=["consent.record", "consent.widened", "consent.withdrawn", "delivery.withdraw"],
    )


def test_a_consent_runs_out_in_a_weekend_outage(story: Story) -> None:
    """Friday: one agency takes it, the other is down. On Sunday her consent ends. On Monday the agency is back."""
    end = datetime.now(UTC) + timedelta(seconds=3)
    agreed = story.agrees({HOUSING: ALL_CATEGORIES, HEALTH: ALL_CATEGORIES}, ends_at=end.isoformat())
    with story.away(HOUSING):
        friday = story.refers(agreed, HOUSING, HEALTH)
        story.becomes(friday, HEALTH, state="delivered")
        story.is_known_to_be_away(HOUSING)
        story.becomes(friday, HOUSING, state="withdrawn", code="consent_expired")
        assert datetime.now(UTC) >= end
    monday = Story(story.house, story.told)  # another woman's referral is taken, so the door is open
    hers = monday.refers(monday.agrees({HOUSING: ALL_CATEGORIES}), HOUSING)
    monday.becomes(hers, HOUSING, state="delivered")
    with pytest.raises(gw.ConsentMissing) as refused:
        story.refers(agreed, HOUSING)
    assert refused.value.missing[0]["reason"] == "expired"

    story.deliveries |= monday.deliveries  # to be asked about together
    story.ends(
        holds={(friday, HOUSING): NEVER, (friday, HEALTH): Held(has=("Ileana",)), (hers, HOUSING): Held()},
        told={
            "": ["referral.accepted", "consent.expired", "referral.accepted"],
            HOUSING: ["withdrawn: consent_expired", "delivered"],
            HEALTH: ["delivered"],
        },
        audited=["consent.expired", "delivery.withdraw"],
    )


def test_her_consent_ends_and_nobody_looks_until_it_is_sent(story: Story) -> None:
    end = datetime.now(UTC) + timedelta(seconds=3)
    agreed = story.agrees({HOUSING: ALL_CATEGORIES}, ends_at=end.isoformat())
    with story.away(HOUSING):
        made = story.refers(agreed, HOUSING)
        story.the_clock_overlooks(agreed)
        story.house.wait("it has ended", lambda: datetime.now(UTC) > end)
    story.becomes(made, HOUSING, state="withdrawn", code="consent_expired")
    story.ends(
        holds={(made, HOUSING): NEVER},
        told={"": ["referral.accepted"], HOUSING: ["withdrawn: consent_expired"]},
        audited=["delivery.withdraw"],
    )


def test_her_childrens_data_has_a_consent_of_its_own_and_can_be_taken_back_alone(story: Story) -> None:
    document = story.document({SOCIAL_SECURITY: ALL_CATEGORIES, HOUSING: ALL_CATEGORIES, HEALTH: ALL_CATEGORIES})
    without = {**document, "permits": [{k: v for k, v in p.items() if k != "children"} for p in document["permits"]]}
    agreed = story.hub.record_consent(without)["id"]
    story.consents.add(agreed)
    before = story.refers(agreed, SOCIAL_SECURITY)  # the category is named, the section of its own is not there
    story.becomes(before, SOCIAL_SECURITY, state="delivered")
    assert story.now_agrees(agreed, document) == "widened"
    after = story.refers(agreed, SOCIAL_SECURITY, HOUSING, HEALTH)
    for agency in (SOCIAL_SECURITY, HOUSING, HEALTH):
        story.becomes(after, agency, state="delivered")
    assert CHILD in str(story.case(after, SOCIAL_SECURITY).document)  # type: ignore[union-attr]
    assert "2019-02-03" in str(story.case(after, HOUSING).document)  # type: ignore[union-attr]

    assert not story.hub.withdraw(agreed, categories=["children"])["withdrawn"]
    for agency in (SOCIAL_SECURITY, HOUSING):
        story.becomes(after, agency, kind="update", state="delivered")
    theirs = (CHILD, "2019-02-03")
    story.ends(
        holds={
            (before, SOCIAL_SECURITY): Held(has=("Ileana",), lacks=theirs),
            (after, SOCIAL_SECURITY): Held(has=("Ileana",), lacks=theirs),
            (after, HOUSING): Held(has=("Ileana",), lacks=theirs),
            (after, HEALTH): Held(has=("Ileana",), lacks=theirs),
        },
        told={
            "": ["referral.accepted"] * 2 + ["consent.narrowed"] * 2,
            SOCIAL_SECURITY: ["delivered"] * 4,  # the gateway asks what it may have, so the first is told as well
            HOUSING: ["delivered"] * 2,
            HEALTH: ["delivered"],  # it never had them: nothing to bring up to date
        },
        audited=["consent.widened", "consent.narrowed"],
    )


def test_less_is_an_update_where_it_can_do_without_and_a_withdrawal_where_not(story: Story) -> None:
    agreed = story.agrees({SOCIAL_SECURITY: ALL_CATEGORIES, HOUSING: ALL_CATEGORIES})
    made = story.refers(agreed, SOCIAL_SECURITY, HOUSING)
    for agency in (SOCIAL_SECURITY, HOUSING):
        story.becomes(made, agency, state="delivered")
    story.hub.withdraw(agreed, categories=["contact", "housing"])  # housing needs to know where she stays
    story.becomes(made, SOCIAL_SECURITY, kind="update", state="delivered")
    story.becomes(made, HOUSING, status="withdrawn")
    story.ends(
        holds={
            (made, SOCIAL_SECURITY): Held(has=("Ileana",), lacks=("07700 900123",)),
            (made, HOUSING): TAKEN_BACK,
        },
        told={
            "": ["referral.accepted", "consent.narrowed"],
            SOCIAL_SECURITY: ["delivered", "delivered"],
            HOUSING: SENT_AND_TAKEN_BACK,
        },
        audited=["consent.narrowed"],
    )


def test_consent_is_for_a_purpose(story: Story) -> None:
    """What she gave to be counted opens no door, and what she gave for a house does not open a clinic's."""
    figures = story.document({HOUSING: ALL_CATEGORIES})
    figures["permits"][0]["purposes"] = ["statistics"]
    agreed = story.hub.record_consent(figures)["id"]
    story.consents.add(agreed)
    with pytest.raises(gw.ConsentMissing) as refused:
        story.refers(agreed, HOUSING)
    assert refused.value.missing == [{"agency": HOUSING, "purpose": "housing", "reason": "not_purpose"}]
    help_too = story.document({HOUSING: ALL_CATEGORIES})
    assert story.now_agrees(agreed, {**help_too, "permits": figures["permits"] + help_too["permits"]}) == "widened"
    made = story.refers(agreed, HOUSING)
    story.becomes(made, HOUSING, state="delivered")
    with pytest.raises(gw.ConsentMissing):
        story.refers(agreed, HEALTH)

    assert story.now_agrees(agreed, figures) == "narrowed"  # she may be counted, and is helped no longer
    story.becomes(made, HOUSING, status="withdrawn")
    story.ends(
        holds={(made, HOUSING): TAKEN_BACK},
        told={
            "": ["referral.accepted", "consent.narrowed"],
            HOUSING: SENT_AND_TAKEN_BACK,
        },
        audited=["consent.widened", "consent.narrowed"],
    )
