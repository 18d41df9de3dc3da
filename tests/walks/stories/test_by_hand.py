"""A refuge that is reached by phone: a sheet, a call, and a woman who changes her mind in between."""

from datetime import UTC, datetime

import gateway_client as gw
import pytest

from tests.support import ALL_CATEGORIES
from tests.walks.stories.telling import REFUGE, Story

TAKEN_BACK = "task, status cancellation-requested, delivered{code}, status withdrawn{code}"


def read_out(story: Story, agreed: str) -> tuple[str, str]:
    """A referral to the refuge whose sheet somebody has opened; its id and the delivery's."""
    made = story.refers(agreed, REFUGE)
    task = story.becomes(made, REFUGE, state="task")["id"]
    sheet = story.hub.sheet(task)
    assert sheet["referral"].keys() == {"person", "contact", "request", "health"}
    assert sheet["referral"]["person"] == {"name": {"given": "Ileana", "family": "Exemplu"}}
    assert sheet["referral"]["contact"].keys() == {"phone"}
    return made, task


def take_back(story: Story, made: str, reference: str) -> None:
    """The refuge is told that she took it back, from a sheet that has nothing of her."""
    task = story.becomes(made, REFUGE, kind="withdrawal", state="task")["id"]
    sheet = story.hub.sheet(task)
    assert (sheet["referral"], sheet.get("reference")) == ({}, reference)
    story.hub.given(task, datetime.now(UTC), "Duty officer")
    story.becomes(made, REFUGE, status="withdrawn")


def test_she_withdraws_between_the_sheet_and_the_call(story: Story) -> None:
    agreed = story.agrees({REFUGE: ALL_CATEGORIES})
    made, task = read_out(story, agreed)
    unread = story.refers(agreed, REFUGE)
    story.becomes(unread, REFUGE, state="task")
    story.hub.withdraw(agreed)
    assert story.delivery(unread, REFUGE)["state"] == "withdrawn"
    with pytest.raises(gw.ConsentMissing):
        story.hub.sheet(task)
    with pytest.raises(gw.ConsentMissing):
        story.hub.given(task, datetime.now(UTC), "Duty officer", reference="R-7")
    assert story.delivery(made, REFUGE)["state"] == "task"
    done = story.hub.given(task, datetime.now(UTC), "Duty officer", reference="R-7", without_consent=True)
    assert done["code"] == "given_without_consent"  # the call was made before the worker looked
    take_back(story, made, "R-7")

    story.ends(
        holds={},
        told={
            "": ["referral.accepted"] * 2 + ["consent.withdrawn"] * 2,
            REFUGE: [
                TAKEN_BACK.format(code=": given_without_consent"), "task, delivered",
                "task, withdrawn: consent_withdrawn",
            ],
        },
        audited=["referral.open", "consent.withdrawn", "delivery.deliver"],
    )  # fmt: skip


def test_it_was_given_before_she_withdrew_and_is_recorded_after(story: Story) -> None:
    agreed = story.agrees({REFUGE: ALL_CATEGORIES})
    made, task = read_out(story, agreed)
    called = datetime.now(UTC)
    story.hub.withdraw(agreed)
    done = story.hub.given(task, called, "Duty officer", reference="R-8")
    assert (done["state"], "code" in done) == ("delivered", False)
    take_back(story, made, "R-8")
    story.ends(
        holds={},
        told={
            "": ["referral.accepted", "consent.withdrawn"],
            REFUGE: [TAKEN_BACK.format(code=""), "task, delivered"],
        },
        audited=["referral.open", "consent.withdrawn", "delivery.deliver"],
    )
