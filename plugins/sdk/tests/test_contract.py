"""What adapters are given, and what they return."""

from datetime import UTC, datetime

import gateway_sdk as sdk
import pytest

NEEDS = sdk.needs("/person/name", optional=["/household/children/*/birth_date"])
AT = datetime(2026, 1, 1, tzinfo=UTC)
REFERRAL = sdk.Referral(
    "del_1", AT, {"person": {"name": {"family": "F"}}, "household": {"children": [{"birth_date": "2020-01-01"}]}}, NEEDS
)


def test_reading_a_referral() -> None:
    assert REFERRAL["/person/name/family"] == "F"
    assert REFERRAL.get("/person/name/given") is None
    assert REFERRAL["/household/children/*/birth_date"] == ["2020-01-01"]
    with pytest.raises(KeyError):
        REFERRAL["/person/name/given"]
    with pytest.raises(sdk.NotDeclared):
        REFERRAL.get("/health/needs")


@pytest.mark.parametrize("pointer", ["person", "/person/", ""])
def test_a_need_is_a_pointer(pointer: str) -> None:
    with pytest.raises(ValueError, match="JSON Pointer"):
        sdk.needs(pointer)


def test_a_need_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        sdk.needs("/person/name", optional=["/person/name"])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:02:00 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 120.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT", "date": "Thu, 01 Jan 2026 00:02:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert sdk.Reply(503, headers).retry_after == seconds


def test_a_body_is_compact_json_in_utf_8() -> None:
    assert sdk.RestRequest("POST", "/r", json={"a": ["ł", 1]}).body() == '{"a":["ł",1]}'.encode()
    assert sdk.RestRequest("GET", "/r").body() == b""
    with pytest.raises(ValueError, match="JSON"):
        sdk.RestRequest("POST", "/r", json=float("nan")).body()


def test_a_body_that_is_not_json_is_unreadable() -> None:
    for body in (b"", b"<html>", b"[" * 100_000):
        with pytest.raises(sdk.Unreadable):
            _ = sdk.Reply(200, {}, body).json
