"""The schemas follow their meta-schema; cutting a document down keeps its promises."""

import copy
import json
from typing import Any

import gateway_schemas
import pytest
from gateway_sdk.testing import changed, filled, full_view
from gateway_sdk.testing.documents import places
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

DOCUMENTS = [gateway_schemas.load(name) for name in ("meta", *gateway_schemas.NAMES)]
REGISTRY = Registry().with_resources(
    (document["$id"], Resource.from_contents(document, default_specification=DRAFT202012)) for document in DOCUMENTS
)
META = Draft202012Validator(gateway_schemas.load("meta"), registry=REGISTRY)
LEAVES = gateway_schemas.leaves()
CATEGORIES = sorted(gateway_schemas.categories())
VIEW = full_view()


def template(pointer: str) -> str:
    return "/".join("*" if part.isdigit() else part for part in pointer.split("/"))


@pytest.mark.parametrize("name", gateway_schemas.NAMES)
def test_every_schema_follows_the_meta_schema(name: str) -> None:
    assert [error.json_path for error in META.iter_errors(gateway_schemas.load(name))] == []


@pytest.mark.parametrize("name", gateway_schemas.NAMES)
def test_every_leaf_has_a_category_that_exists(name: str) -> None:
    found = gateway_schemas.leaves(name)
    assert found
    assert {leaf["dataCategory"] for leaf in found.values()} <= set(CATEGORIES)


def channel_of(pointer: str) -> str:
    channel = next((c for c in gateway_schemas.channels() if gateway_schemas.covers(c, pointer)), None)
    return channel or pointer


def spoilt(change: Any) -> list[str]:
    schema = copy.deepcopy(gateway_schemas.load("referral"))
    change(schema["properties"]["person"])
    return [error.json_path for error in META.iter_errors(schema)]


def test_the_build_notices_a_leaf_without_a_category() -> None:
    assert spoilt(lambda person: person["properties"]["known_as"].pop("dataCategory")) == [
        "$.properties.person.properties.known_as"
    ]
    assert spoilt(lambda person: person["properties"].update(new={"enum": ["a"]}))
    assert spoilt(lambda person: person["properties"].update(new={"type": "string", "dataCategory": "gossip"}))


def test_the_build_notices_an_object_that_takes_anything() -> None:
    assert spoilt(lambda person: person.pop("additionalProperties")) == ["$.properties.person"]
    assert spoilt(lambda person: person.update(additionalProperties=True))


def test_meta_schema_and_list_of_categories_agree() -> None:
    assert set(gateway_schemas.load("meta")["properties"]["dataCategory"]["enum"]) == set(CATEGORIES)
    consent = gateway_schemas.load("consent")["properties"]["permits"]["items"]["properties"]["categories"]
    assert set(consent["items"]["enum"]) == gateway_schemas.consent_categories()


@pytest.mark.parametrize("name", gateway_schemas.NAMES)
def test_a_filled_document_is_valid(name: str) -> None:
    validator = Draft202012Validator(
        gateway_schemas.load(name), registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.json_path for error in validator.iter_errors(filled(gateway_schemas.load(name)))] == []


@given(st.sets(st.sampled_from(sorted(LEAVES)), min_size=1), st.sets(st.sampled_from(CATEGORIES)))
def test_what_is_kept_was_named_and_is_allowed(pointers: set[str], allowed: set[str]) -> None:
    pointers = {channel_of(pointer) for pointer in pointers}  # channels are asked for whole
    before = json.dumps(VIEW)
    kept = gateway_schemas.keep(VIEW, pointers, frozenset(allowed))
    original = dict(places(VIEW))
    found = {template(place) for place, _ in places(kept)}
    named = {leaf for leaf in LEAVES if any(gateway_schemas.covers(pointer, leaf) for pointer in pointers)}
    assert found == {leaf for leaf in named if LEAVES[leaf]["dataCategory"] in allowed}
    assert {value for _, value in places(kept)} <= set(original.values())
    assert gateway_schemas.keep(kept, pointers, frozenset(allowed)) == kept
    assert json.dumps(VIEW) == before


@given(st.sampled_from(["phone", "email", "post"]), st.sets(st.sampled_from(sorted(LEAVES))))
def test_an_unsafe_channel_is_never_kept(channel: str, pointers: set[str]) -> None:
    view = VIEW
    flags = gateway_schemas.view_schema()["properties"]["contact"]["properties"][channel]["safeWhen"]
    for flag in flags:
        view = changed(view, f"/contact/{channel}/{flag}", False)
    assert channel not in gateway_schemas.keep(view, pointers | {"/contact"}).get("contact", {})
    one_safe = changed(view, f"/contact/{channel}/{flags[-1]}", True)
    assert channel in gateway_schemas.keep(one_safe, {"/contact"})["contact"]


def test_everything_allowed_keeps_everything() -> None:
    assert gateway_schemas.keep(VIEW, [f"/{name}" for name in VIEW]) == VIEW


def test_what_the_schema_does_not_know_is_never_kept() -> None:
    view = {**VIEW, "extra": "x", "person": {**VIEW["person"], "extra": "x", "name": "not an object"}}
    kept = gateway_schemas.keep(view, ["/person", "/extra"])
    assert "extra" not in kept
    assert "extra" not in kept["person"]
    assert "name" not in kept["person"]


def test_an_agency_sees_its_own_request_only() -> None:
    referral = filled(gateway_schemas.load("referral"))
    first, second = referral["requests"]
    view = gateway_schemas.agency_view(referral, first["agency"])
    assert view["request"] == first
    assert "requests" not in view
    assert second["ask"] not in json.dumps(view)
    with pytest.raises(LookupError, match="nobody"):
        gateway_schemas.agency_view(referral, "nobody")


def test_an_unknown_place_is_told() -> None:
    with pytest.raises(gateway_schemas.UnknownPointer, match="shoe_size"):
        gateway_schemas.categories_under("/person/shoe_size")
