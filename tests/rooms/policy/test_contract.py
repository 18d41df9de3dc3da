"""The quick validator and the explaining one agree; explanations quote nothing."""

import json
import re
from typing import Any

import gateway_schemas
import pytest
from gateway_sdk import needs
from gateway_sdk.testing import changed, filled
from gateway_sdk.testing.documents import places
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.policy import contract, minimise

REFERRAL: dict[str, Any] = filled(gateway_schemas.load("referral"))
PLACES = sorted(pointer for pointer, _ in places(REFERRAL))
VALUES = st.one_of(
    st.booleans(), st.integers(-5, 10**6), st.text(max_size=30), st.just([]), st.just({}),
    st.sampled_from(["1990-02-30", "1990-02-28", "0000000000", "a@b", "stat", "GLA-1", "QQ123456C", "2026-01-01T00:00:00"]),
)  # fmt: skip


@given(st.sampled_from(PLACES), VALUES)
def test_the_two_validators_agree(pointer: str, value: Any) -> None:
    spoilt = changed(REFERRAL, pointer, value)
    assert contract._quick("referral").is_valid(spoilt) == (not contract.problems("referral", spoilt))


@given(st.sampled_from(PLACES), st.text("CANARY", min_size=6, max_size=400))
def test_explanations_name_the_place_and_never_the_value(pointer: str, value: str) -> None:
    spoilt = changed(REFERRAL, pointer, f"<{value}>")
    found = contract.problems("referral", spoilt)
    if found:
        assert {entry["pointer"] for entry in found} == {pointer}
        assert f"<{value}>" not in json.dumps(found)


def test_a_right_document_is_returned_as_it_is() -> None:
    assert contract.check("referral", REFERRAL) is REFERRAL


@pytest.mark.parametrize(
    ("change", "pointer", "expected"),
    [
        (lambda d: d.pop("subject"), "/subject", "a value; it is required"),
        (lambda d: d["person"].update({"shoe/size": 7}), "/person/shoe~1size", "no such property; known are name"),
        (lambda d: d["person"].update(birth_date="02/03/1990"), "/person/birth_date", "a date, YYYY-MM-DD"),
        (lambda d: d.update(urgency="soon"), "/urgency", "one of routine, urgent, asap, stat"),
        (lambda d: d.update(requests=[]), "/requests", "at least 1 entry"),
        (
            lambda d: d["person"].update(communication_needs=[""]),
            "/person/communication_needs/0",
            "at least 1 character",
        ),
        (lambda d: d["household"].update(children="two"), "/household/children", "an array"),
        (lambda d: d["income"].update(weekly_income_pounds=-1), "/income/weekly_income_pounds", "0 or more"),
    ],
)
def test_each_mistake_is_told_in_words(change: Any, pointer: str, expected: str) -> None:
    document = json.loads(json.dumps(REFERRAL))
    change(document)
    [entry] = contract.problems("referral", document)
    assert entry["pointer"] == pointer
    assert entry["expected"].startswith(expected)
    with pytest.raises(Invalid) as caught:
        contract.check("referral", document)
    assert caught.value.detail.startswith(f"At {pointer}: expected {expected}")


@given(st.text(min_size=1, max_size=60))
def test_a_name_that_is_not_plain_is_not_repeated(name: str) -> None:
    """It may be a value in the wrong place, or half a document."""
    [found] = contract.problems("referral", {**REFERRAL, name: True}) if name not in REFERRAL else [{"pointer": ""}]
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_/-]{0,39}", name)
    assert found["pointer"] == ("/" + name.replace("/", "~1") if plain and name not in REFERRAL else "")


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_what_is_no_object_is_told(document: Any) -> None:
    assert contract.problems("referral", document) == [{"pointer": "", "expected": "an object"}]


NEEDS = needs("/urgency", "/person/name", "/request/ask", optional=["/contact/phone", "/health/needs", "/household"])


@given(st.frozensets(st.sampled_from(sorted(gateway_schemas.consent_categories()))))
def test_an_agency_gets_what_it_needs_and_she_agreed_to(consented: frozenset[str]) -> None:
    agency = REFERRAL["requests"][0]["agency"]
    kept = minimise.keep(REFERRAL, agency, NEEDS, consented)
    leaves = gateway_schemas.leaves()
    for place, _ in places(kept):
        template = "/".join("*" if part.isdigit() else part for part in place.split("/"))
        assert any(gateway_schemas.covers(need, template) for need in NEEDS.pointers)
        category = leaves[template]["dataCategory"]
        assert category in consented or category not in gateway_schemas.consent_categories()
    assert ("contact" in kept) == ("contact" in consented)


def test_required_categories_come_from_required_needs_only() -> None:
    assert minimise.required_categories(NEEDS) == {"identity", "request"}


def test_a_need_that_holds_only_an_unsafe_channel_is_missing() -> None:
    unsafe = changed(changed(REFERRAL, "/contact/phone/safe_to_call", False), "/contact/phone/safe_to_text", False)
    agency = REFERRAL["requests"][0]["agency"]
    wants_phone = needs("/contact/phone", "/person/name")
    assert minimise.missing_needs(REFERRAL, agency, wants_phone) == ()
    assert minimise.missing_needs(unsafe, agency, wants_phone) == ("/contact/phone",)
