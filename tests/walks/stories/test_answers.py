"""What agencies answer: no, so that she is sent elsewhere; or everything twice, late and out of order."""

import json
from typing import Any

import gateway_client as gw
import pytest
import requests
from gateway_housing.simulator import signed
from gateway_sdk import Reason, Status
from gateway_sdk.simulator import now

from gateway.policy import hsds
from tests.running import Gateway
from tests.support import ALL_CATEGORIES, HEALTH, HOUSING
from tests.walks.stories.telling import CLYDE, TAKEN_BACK, Held, Story
from tests.walks.test_journey import cli

ASK = {"purpose": "housing", "ask": "Somewhere to sleep tonight."}
NEED = {"need": "emergency-accommodation"}


def directory(*agencies: str) -> dict[str, Any]:
    """After HSDS 3: each takes women in need of a bed, in all of Glasgow."""
    return {
        "organizations": [
            {"id": f"org-{name}", "name": name, "organization_identifiers": [{"identifier_scheme": hsds.AGENCY, "identifier": name}]}
            for name in agencies
        ],
        "services": [
            {"id": f"beds-{name}", "organization_id": f"org-{name}", "name": f"Beds of {name}",
             "attributes": [{"taxonomy_term": {"taxonomy": hsds.NEED, "code": NEED["need"]}}],
             "service_areas": [{"uri": "urn:referral-gateway:area:glasgow"}]}
            for name in agencies
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def beds(house: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The directory knows two agencies that have beds."""
    file = tmp_path_factory.mktemp("directory") / "directory.json"
    file.write_text(json.dumps(directory(HOUSING, CLYDE)))
    done = cli(house, "directory", "import", str(file))
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("beds")
@pytest.mark.parametrize("second", [{"agency": CLYDE}, NEED], ids=["by name", "by need and area"])
def test_an_agency_declines_and_she_is_sent_elsewhere(story: Story, second: dict[str, str]) -> None:
    agreed = story.agrees({HOUSING: ALL_CATEGORIES})
    first = story.refers(agreed, HOUSING, requests=[NEED | ASK])
    story.becomes(first, HOUSING, state="delivered")
    case = story.case(first, HOUSING)
    assert case is not None
    story.house.agencies[HOUSING].advance(case, Status.DECLINED, Reason.NO_CAPACITY)
    story.becomes(first, HOUSING, status="declined", reason="no-capacity")

    question = {"area": "glasgow", "urgency": "stat", "needs": [{"need": NEED["need"], "purpose": "housing"}]}
    [route] = story.hub.routes(question)
    able = [route.get("agency"), *(one["agency"] for one in route["passed_over"] if one["why"] == ["another_first"])]
    assert sorted(map(str, able)) == [CLYDE, HOUSING]
    with pytest.raises(gw.ConsentMissing) as refused:
        story.refers(agreed, CLYDE, requests=[second | ASK])
    assert [one["agency"] for one in refused.value.missing] == [CLYDE], "not the one that declined her"
    elsewhere = story.agrees({HOUSING: ALL_CATEGORIES, CLYDE: ALL_CATEGORIES})
    made = story.refers(elsewhere, CLYDE, requests=[second | ASK])
    found = story.becomes(made, CLYDE, state="delivered")
    assert ("route" in found) == ("need" in second)
    if "route" in found:
        assert [(one["agency"], one["why"]) for one in found["route"]["passed_over"]] == [(HOUSING, ["declined"])]
    assert story.hub.withdraw(agreed)["withdrawn"]  # no use to them any more
    case = story.case(made, CLYDE)
    assert case is not None
    story.house.agencies[CLYDE].advance(case, Status.ACCEPTED)
    story.becomes(made, CLYDE, status="accepted")
    story.becomes(first, HOUSING, status="withdrawn")

    story.ends(
        holds={(first, HOUSING): TAKEN_BACK, (made, CLYDE): Held(Status.ACCEPTED, has=("Ileana",))},
        told={
            "": ["referral.accepted", "referral.accepted", "consent.withdrawn"],
            HOUSING: [
                "delivered, status declined: no-capacity, status cancellation-requested, status withdrawn",
                "delivered",
            ],
            CLYDE: ["delivered, status accepted"],
        },
        audited=["delivery.status", "consent.withdrawn"],
    )


Callback = tuple[bytes, dict[str, str]]


def history(story: Story, identifier: str, agency: str, *statuses: Status) -> list[Callback]:
    """What went on at *agency*, as the messages that tell it, in order; none of them is sent."""
    simulator, case = story.house.agencies[agency], story.case(identifier, agency)
    assert case is not None
    messages = []
    with simulator.lock:
        for status in statuses:
            case.status, case.updated_at, case.updates = status, now(), case.updates + 1
            messages.append(simulator.callback(case))
    return [message for message in messages if message]


def post(story: Story, agency: str, message: Callback) -> int:
    body, headers = message
    return requests.post(
        f"{story.house.base}/v1/callbacks/{agency}", data=body, headers=headers, timeout=10
    ).status_code


def test_callbacks_come_twice_late_and_out_of_order(story: Story) -> None:
    agencies = (HOUSING, HEALTH)
    made = story.refers(story.agrees(dict.fromkeys(agencies, ALL_CATEGORIES)), *agencies)
    for agency in agencies:
        story.becomes(made, agency, state="delivered")
    accepted, working, done = history(story, made, HOUSING, Status.ACCEPTED, Status.IN_PROGRESS, Status.COMPLETED)
    offered, missed = history(story, made, HEALTH, Status.APPOINTMENT_OFFERED, Status.NO_SHOW)

    body, headers = done
    assert post(story, HOUSING, (body + b" ", headers)) == 401, "not what was signed"
    assert post(story, CLYDE, done) == 401, "another agency's signature"
    assert post(story, CLYDE, signed(CLYDE, "msg_0", json.loads(body))) == 404, "another agency's referral"
    assert post(story, HOUSING, (body, {})) == 401
    assert [post(story, HOUSING, one) for one in (working, working, accepted, done, working, accepted, done)] == [
        204
    ] * 7
    assert [post(story, HEALTH, one) for one in (missed, offered, missed, missed)] == [204] * 4

    story.ends(
        holds={(made, HOUSING): Held(Status.COMPLETED), (made, HEALTH): Held(Status.NO_SHOW)},
        told={
            "": ["referral.accepted"],
            HOUSING: ["delivered, status in-progress, status completed"],
            HEALTH: ["delivered, status no-show"],
        },
        audited=["delivery.status", "delivery.status.kept"],
    )
