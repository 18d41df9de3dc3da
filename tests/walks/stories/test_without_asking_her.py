"""Safeguarding: she cannot be asked. It takes two workers, and everybody can see that it happened."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import gateway_client as gw
import pytest

from gateway.store import callers
from tests.support import HEALTH, HOUSING
from tests.walks.stories.telling import TAKEN_BACK, Story
from tests.walks.test_journey import cli

REASON = "CanaryReason: she was found unconscious and cannot be asked."


def basis(story: Story, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "subject": story.subject,
        "basis": "safeguarding",
        "reason": REASON,
        "recorded": {"at": now.isoformat(), "recorded_by": "CanaryRecorder"},
        "permits": [{"recipients": [HEALTH], "purposes": ["health-care"], "categories": ["request", "identity", "health"]}],
        "ends_at": (now + timedelta(days=2)).isoformat(),
        **changes,
    }  # fmt: skip


@pytest.fixture
def second(story: Story) -> gw.Client:
    """Another worker of the same hub, with a key of her own."""
    with story.house.store.begin() as tx:
        return gw.Client(story.house.base, callers.add_hub(tx, "glasgow-hub", by="test"), patience=20)


def test_safeguarding_takes_two_and_is_loud(story: Story, second: gw.Client) -> None:
    with pytest.raises(gw.Forbidden):  # this hub may use safeguarding, and nothing else
        story.hub.record_basis(basis(story, basis="vital-interests"))
    made = story.hub.record_basis(basis(story))
    story.consents.add(made["id"])
    with pytest.raises(gw.ConsentMissing) as refused:
        story.refers(made["id"], HEALTH)
    assert refused.value.missing[0]["reason"] == "not_approved"
    with pytest.raises(gw.Forbidden):  # nobody agrees with herself
        story.hub.approve_basis(made["id"], "CanaryRecorder")
    assert second.basis(made["id"])["record"]["reason"] == REASON
    assert second.approve_basis(made["id"], "CanaryApprover")["approved_at"]

    with pytest.raises(gw.ConsentMissing):  # it names whom it is for
        story.refers(made["id"], HOUSING)
    referral = story.refers(made["id"], HEALTH)
    story.becomes(referral, HEALTH, state="delivered")
    case = story.case(referral, HEALTH)
    held = json.dumps(case and case.document)
    assert "Cannot sleep" in held
    assert not [text for text in ("07700", "Example Street", "Canary") if text in held]  # what it does not name

    [row] = [row for row in story.hub.bases() if row["id"] == made["id"]]
    assert (row["referrals"], row["deliveries"]) == ([referral], {"delivered": 1})
    reported = cli(story.house, "report", "lawful-bases", "--json")
    assert {
        "id": made["id"],
        "hub": "glasgow-hub",
        "referrals": [referral],
        "deliveries": {"delivered": 1},
    }.items() <= next(row for row in json.loads(reported.stdout) if row["id"] == made["id"]).items()
    story.hub.call_off_basis(made["id"])
    story.becomes(referral, HEALTH, status="withdrawn")

    story.ends(
        holds={(referral, HEALTH): TAKEN_BACK},
        told={
            "": ["referral.accepted", "consent.withdrawn"],
            HEALTH: ["delivered, status cancellation-requested, status withdrawn", "delivered"],
        },
        audited=["lawful-basis.record", "lawful-basis.approved", "lawful-basis.send", "lawful-basis.withdrawn"],
    )
    assert warned(story.house.log.read_text(), made["id"], *story.deliveries) == [
        "lawful basis recorded",
        "lawful basis approved",
        "sent without consent",
    ]
    assert "Canary" not in story.house.log.read_text()


def warned(log: str, *identifiers: str) -> list[str]:
    """What the log warns of, about these."""
    lines = [json.loads(line) for line in log.splitlines() if any(one in line for one in identifiers)]
    return [line["event"] for line in lines if line["level"] == "warning"]
