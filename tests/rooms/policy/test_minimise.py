"""Minimisation, for whatever an adapter declares, a woman agreed to, and a referral holds."""

import copy
from collections.abc import Iterable
from typing import Any

import gateway_schemas
from gateway_sdk import Needs, needs
from gateway_sdk.testing import filled
from gateway_sdk.testing.documents import places
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import minimise

REFERRAL: dict[str, Any] = filled(gateway_schemas.load("referral"))
AGENCY = REFERRAL["requests"][0]["agency"]
LEAVES = gateway_schemas.leaves()
FREE = frozenset(gateway_schemas.categories()) - gateway_schemas.consent_categories()
REMOVABLE = sorted(
    place
    for place, _ in places(REFERRAL)
    if not place.startswith(("/contact", "/requests")) and not any(part.isdigit() for part in place.split("/"))
)

leaves = st.frozensets(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=12)
consented = st.frozensets(st.sampled_from(sorted(gateway_schemas.consent_categories())))
removed = st.frozensets(st.sampled_from(REMOVABLE), max_size=12)


def declared(required: Iterable[str], optional: Iterable[str]) -> Needs:
    """As an adapter may ask: for a channel as a whole, and for nothing twice."""
    wanted = [
        {next((c for c in gateway_schemas.channels() if leaf.startswith(c)), leaf) for leaf in some}
        for some in (required, optional)
    ]
    return needs(*sorted(wanted[0]), optional=sorted(wanted[1] - wanted[0]))


def without(document: dict[str, Any], pointers: Iterable[str]) -> dict[str, Any]:
    left = copy.deepcopy(document)
    for pointer in pointers:
        *parents, last = pointer.strip("/").split("/")
        place = left
        for part in parents:
            place = place[part]
        del place[last]
    return left


def template(place: str) -> str:
    return "/".join("*" if part.isdigit() else part for part in place.split("/"))


@given(leaves, leaves, consented, removed)
def test_an_agency_is_given_what_is_declared_agreed_and_there_and_nothing_else(
    required: frozenset[str], optional: frozenset[str], agreed: frozenset[str], gone: frozenset[str]
) -> None:
    wants, referral = declared(required, optional), without(REFERRAL, gone)
    kept = minimise.keep(referral, AGENCY, wants, agreed)
    there = dict(places(gateway_schemas.agency_view(referral, AGENCY)))
    assert dict(places(kept)) == {
        place: value
        for place, value in there.items()
        if any(gateway_schemas.covers(need, template(place)) for need in wants.pointers)
        and LEAVES[template(place)]["dataCategory"] in agreed | FREE
    }


@given(leaves, leaves, removed)
def test_a_need_is_missing_when_it_is_required_and_nothing_is_there(
    required: frozenset[str], optional: frozenset[str], gone: frozenset[str]
) -> None:
    wants, referral = declared(required, optional), without(REFERRAL, gone)
    there = {template(place) for place, _ in places(gateway_schemas.agency_view(referral, AGENCY))}
    empty = [need for need in wants.required if not any(gateway_schemas.covers(need, place) for place in there)]
    assert list(minimise.missing_needs(referral, AGENCY, wants)) == empty


@given(leaves, leaves, leaves)
def test_she_must_agree_to_what_is_required_and_never_for_what_is_optional(
    required: frozenset[str], optional: frozenset[str], other: frozenset[str]
) -> None:
    asked = minimise.required_categories(declared(required, optional))
    assert asked == minimise.required_categories(declared(required, other))
    assert asked <= gateway_schemas.consent_categories()
    assert {LEAVES[leaf]["dataCategory"] for leaf in required} - FREE <= asked
