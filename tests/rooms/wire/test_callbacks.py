"""Whether a callback is really the agency's."""

import time
from datetime import UTC, datetime, timedelta

import gateway_sdk as sdk
import pytest
from gateway_housing.simulator import demo_callback_secret, signed

from gateway.wire import verify_callback

SECRET = {"callback_secret": demo_callback_secret("a-council")}


@pytest.mark.parametrize(("age", "good"), [(0, True), (240, True), (400, False), (-400, False)])
def test_a_signature_holds_for_five_minutes(age: float, good: bool) -> None:
    body, headers = signed("a-council", "m1", {"a": 1}, at=time.time() - age)
    assert verify_callback(sdk.SignedCallback(), SECRET, headers, body, datetime.now(UTC)) is good


def test_the_time_is_the_one_that_is_given() -> None:
    """It is the database's: this machine's clock may be wrong."""
    body, headers = signed("a-council", "m1", {"a": 1}, at=time.time() + 7200)
    assert verify_callback(sdk.SignedCallback(), SECRET, headers, body, datetime.now(UTC) + timedelta(hours=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "1e30"},
        {"webhook-timestamp": "nan"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,é v2,x"},
    ],
    ids=str,
)
def test_a_strange_header_is_no_signature(wrong: dict[str, str]) -> None:
    body, headers = signed("a-council", "m1", {"a": 1})
    assert not verify_callback(sdk.SignedCallback(), SECRET, {**headers, **wrong}, body, datetime.now(UTC))


def test_one_of_several_signatures_is_enough() -> None:
    """While a secret is exchanged, an agency signs with both."""
    body, headers = signed("a-council", "m1", {"a": 1})
    both = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert verify_callback(sdk.SignedCallback(), SECRET, both, body, datetime.now(UTC))


def test_a_signature_binds_id_time_and_body() -> None:
    now = datetime.now(UTC)
    body, headers = signed("a-council", "m1", {"a": 1})
    assert verify_callback(sdk.SignedCallback(), SECRET, headers, body, now)
    assert not verify_callback(sdk.SignedCallback(), SECRET, headers, body + b" ", now)
    assert not verify_callback(sdk.SignedCallback(), SECRET, {**headers, "webhook-id": "m2"}, body, now)
    assert not verify_callback(
        sdk.SignedCallback(), SECRET, {**headers, "webhook-timestamp": str(int(time.time()) - 1)}, body, now
    )
    assert not verify_callback(sdk.SignedCallback(), SECRET, {}, body, now)
    assert not verify_callback(sdk.SignedCallback(), {"callback_secret": "whsec_AAAA"}, headers, body, now)


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
    assert (
        verify_callback(
            sdk.BearerCallback(), {"callback_token": "right"}, {"authorization": header}, b"", datetime.now(UTC)
        )
        is good
    )
