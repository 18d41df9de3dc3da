"""Whether a callback is really the agency's."""

import time

import gateway_sdk as sdk
import pytest
from gateway_housing.simulator import DEMO_CALLBACK_SECRET, signed

from gateway.wire import verify_callback

SECRET = {"callback_secret": DEMO_CALLBACK_SECRET}


@pytest.mark.parametrize(("age", "good"), [(0, True), (240, True), (400, False), (-400, False)])
def test_a_signature_holds_for_five_minutes(age: float, good: bool) -> None:
    body, headers = signed("m1", {"a": 1}, at=time.time() - age)
    assert verify_callback(sdk.SignedCallback(), SECRET, headers, body) is good


def test_a_signature_binds_id_time_and_body() -> None:
    body, headers = signed("m1", {"a": 1})
    assert not verify_callback(sdk.SignedCallback(), SECRET, headers, body + b" ")
    assert not verify_callback(sdk.SignedCallback(), SECRET, {**headers, "webhook-id": "m2"}, body)
    assert not verify_callback(
        sdk.SignedCallback(), SECRET, {**headers, "webhook-timestamp": str(int(time.time()) - 1)}, body
    )
    assert not verify_callback(sdk.SignedCallback(), SECRET, {}, body)
    assert not verify_callback(sdk.SignedCallback(), {"callback_secret": "whsec_AAAA"}, headers, body)


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("Bearer right", True),
        ("bearer right", True),
        ("Bearer wrong", False),
        ("Basic right", False),
        ("", False),
        ("Bearer é", False),
    ],
)
def test_a_bearer_token_is_compared(header: str, good: bool) -> None:
    assert verify_callback(sdk.BearerCallback(), {"callback_token": "right"}, {"authorization": header}, b"") is good
