"""Agencies' callbacks: authenticated, fresh, counted once, about their own referrals only."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_housing.simulator import signed
from gateway_sdk import Status

from gateway.delivery.room import PostRoom
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import work
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, referral


@pytest.fixture
def delivered(hub: Hub, room: PostRoom) -> dict[str, str]:
    """``{agency: delivery id}`` of a referral that arrived everywhere."""
    body = hub.submit(referral(hub.consent())).json()
    work(room)
    found: dict[str, str] = body["deliveries"]
    return found


def post(hub: Hub, agency: str, message: tuple[bytes, dict[str, str]]) -> Any:
    body, headers = message
    return hub.client.post(f"/v1/callbacks/{agency}", content=body, headers=headers)


def said(
    key: str, status: str, at: str = "2026-03-02T10:00:00+00:00", identifier: str = "msg_1", **more: str
) -> tuple[bytes, dict[str, str]]:
    message = {
        "id": identifier,
        "type": "referral.status",
        "reference": key,
        "caseId": "HL-1",
        "status": status,
        "at": at,
    }
    return signed(HOUSING, identifier, {**message, **more})


def status(hub: Hub, delivery: str) -> tuple[str, str | None]:
    found = hub.call("GET", f"/v1/deliveries/{delivery}").json()
    return found["status"], found.get("reason")


def test_a_signed_callback_moves_the_status(hub: Hub, delivered: dict[str, str]) -> None:
    key = delivered[HOUSING]
    assert post(hub, HOUSING, said(key, "accepted", at="2099-01-01T00:00:00+00:00")).status_code == 204
    assert status(hub, key) == ("accepted", None)
    later = said(key, "declined", identifier="msg_2", at="2099-01-02T00:00:00+00:00", reason="no-capacity")
    assert post(hub, HOUSING, later).status_code == 204
    assert status(hub, key) == ("declined", "no-capacity")


def test_the_same_callback_counts_once(hub: Hub, delivered: dict[str, str]) -> None:
    key = delivered[HOUSING]
    message = said(key, "accepted", at="2099-01-01T00:00:00+00:00")
    assert [post(hub, HOUSING, message).status_code for _ in range(3)] == [204] * 3
    events = hub.call("GET", "/v1/events").json()["events"]
    assert [event["status"] for event in events if event["type"] == "delivery.status"] == ["accepted"]


def at(minutes: int) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def test_a_callback_that_is_sent_again_later_moves_nothing_back(hub: Hub, delivered: dict[str, str]) -> None:
    key = delivered[HOUSING]
    moment = at(1)  # the agency's clock counts in minutes: both have the same time
    first = said(key, "accepted", at=moment)
    post(hub, HOUSING, first)
    post(hub, HOUSING, said(key, "in-progress", at=moment, identifier="msg_2"))
    assert status(hub, key) == ("in-progress", None)
    assert post(hub, HOUSING, first).status_code == 204
    assert status(hub, key) == ("in-progress", None)


def test_callbacks_out_of_order_leave_the_newest(hub: Hub, delivered: dict[str, str]) -> None:
    key = delivered[HOUSING]
    post(hub, HOUSING, said(key, "in-progress", at=at(2), identifier="msg_2"))
    assert post(hub, HOUSING, said(key, "accepted", at=at(1))).status_code == 204
    assert status(hub, key) == ("in-progress", None)


def test_a_late_callback_changes_nothing(hub: Hub, delivered: dict[str, str]) -> None:
    key = delivered[HOUSING]
    assert post(hub, HOUSING, said(key, "in-progress", at="2001-01-01T00:00:00+00:00")).status_code == 204
    assert status(hub, key) == ("sent", None)


@pytest.mark.parametrize("spoil", ["signature", "age", "body", "nothing"])
def test_an_unproven_callback_is_refused(hub: Hub, delivered: dict[str, str], spoil: str) -> None:
    key = delivered[HOUSING]
    body, headers = said(key, "accepted")
    if spoil == "signature":
        headers["webhook-signature"] = "v1,AAAA"
    elif spoil == "age":
        body, headers = signed(HOUSING, "msg_1", {"reference": key, "status": "accepted"}, at=time.time() - 3600)
    elif spoil == "body":
        body += b" "
    else:
        headers = {"Content-Type": "application/json"}
    problem(post(hub, HOUSING, (body, headers)), 401, "unauthenticated")
    assert status(hub, key) == ("sent", None)


def test_an_agency_moves_only_its_own(hub: Hub, delivered: dict[str, str]) -> None:
    problem(post(hub, HOUSING, said(delivered[HEALTH], "accepted")), 404, "not-found")
    assert status(hub, delivered[HEALTH]) == ("sent", None)


def test_fhir_feedback_needs_its_token(hub: Hub, delivered: dict[str, str], agencies: Agencies) -> None:
    [case] = agencies[HEALTH].cases.values()
    case.status = Status.ACCEPTED
    message = agencies[HEALTH].callback(case)
    assert message is not None
    body, headers = message
    problem(post(hub, HEALTH, (body, {**headers, "Authorization": "Bearer wrong"})), 401, "unauthenticated")
    assert post(hub, HEALTH, (body, headers)).status_code == 204
    assert status(hub, delivered[HEALTH]) == ("accepted", None)


def test_what_does_not_follow_the_contract_is_malformed(hub: Hub, delivered: dict[str, str]) -> None:
    for body in ({"status": "strange"}, {"referrals": []}, [1]):
        problem(post(hub, HOUSING, signed(HOUSING, "msg_9", body)), 400, "malformed")  # type: ignore[arg-type]


def test_agencies_that_post_nothing_have_no_address(hub: Hub) -> None:
    problem(post(hub, SOCIAL_SECURITY, (b"{}", {})), 404, "not-found")
    problem(post(hub, "nobody", (b"{}", {})), 404, "not-found")
