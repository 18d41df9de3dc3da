"""What a directory in the shape of HSDS says, and what is wrong with one that does not."""

import copy
import json
from collections.abc import Callable
from typing import Any

import gateway_schemas
import pytest

from gateway.errors import Invalid
from gateway.policy import hsds, places
from gateway.policy.routing import Eligibility
from samples.demo import DIRECTORY

DOCUMENT: dict[str, Any] = {
    "organizations": [
        {
            "id": "o1",
            "name": "A refuge",
            "organization_identifiers": [{"identifier_scheme": hsds.AGENCY, "identifier": "refuge"}],
        }
    ],
    "services": [
        {
            "id": "s1",
            "organization_id": "o1",
            "name": "Rooms",
            "minimum_age": 16,
            "maximum_age": 25,
            "email": "not-kept@example.org",
            "attributes": [
                {"taxonomy_term": {"taxonomy": hsds.NEED, "code": "emergency-accommodation"}},
                {"taxonomy_term": {"taxonomy": hsds.URGENCY, "code": "stat"}},
                {"taxonomy_term": {"taxonomy": hsds.ELIGIBILITY, "code": "with-children"}},
                {"taxonomy_term": {"taxonomy": "somebody-else's", "code": "anything"}},
            ],
            "service_areas": [{"uri": hsds.GEOGRAPHY + "S12000049"}],
            "service_at_locations": [{"service_areas": [{"uri": "urn:referral-gateway:area:dundee"}]}],
            "schedules": [{"freq": "WEEKLY", "byday": "MO,TU", "opens_at": "09:00", "closes_at": "17:00"}],
            "phones": [{"number": "0141 496 0000"}],
        }
    ],
}


def test_a_service_is_read() -> None:
    found = hsds.read(DOCUMENT)
    service = found.services["s1"]
    assert (found.agencies, service.agency, service.organization) == ({"refuge"}, "refuge", "A refuge")
    assert service.needs == {"emergency-accommodation"}
    assert service.urgency == {"stat"}
    assert service.places == {"S12000049", "dundee"}
    assert service.rules == Eligibility(16, 25, True)
    assert service.schedules == ({"freq": "WEEKLY", "byday": "MO,TU", "opens_at": "09:00", "closes_at": "17:00"},)


def test_what_is_written_is_read_again() -> None:
    for document in (DOCUMENT, json.loads(DIRECTORY.read_text("utf-8"))):
        found = hsds.read(document)
        assert hsds.read(json.loads(json.dumps(hsds.write(found.services)))) == found


def test_without_an_urgency_any_is_taken_and_the_inactive_are_left_out() -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["services"][0]["attributes"][1]
    assert hsds.read(document).services["s1"].urgency == set(hsds.URGENCIES)
    document["services"][0]["status"] = "defunct"
    assert hsds.read(document) == hsds.Import({}, frozenset({"refuge"}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d.pop("services"), "At /services: "),
        (lambda d: d.update(services="many"), "At /services: "),
        (lambda d: d["services"][0].pop("name"), "At /services/0/name: "),
        (lambda d: d["services"][0].update(minimum_age="old"), "At /services/0/minimum_age: "),
        (lambda d: d["services"][0].update(minimum_age=26), "At /services/0/minimum_age: expected no more"),
        (lambda d: d["services"][0].update(organization_id="o2"), "At /services/0/organization_id: "),
        (lambda d: d["services"].append(d["services"][0]), "At /services/1/id: "),
        (
            lambda d: d["services"][0].update(service_areas=[], service_at_locations=[]),
            "At /services/0/service_areas: ",
        ),
        (lambda d: d["services"][0].update(service_areas=[{"uri": "S12000099"}]), "S12000099 is no hub area"),
        (lambda d: d["services"][0]["attributes"].pop(0), "At /services/0/attributes: expected at least one term"),
        (lambda d: d["services"][0]["attributes"][0]["taxonomy_term"].update(code="x"), "has no term x; known are"),
        (lambda d: d["services"][0]["schedules"][0].update(opens_at="9 am"), "At /services/0/schedules/0/opens_at: "),
        (lambda d: d["services"][0]["schedules"][0].update(byday="Monday"), "At /services/0/schedules/0/byday: "),
        (
            lambda d: d["organizations"][0].pop("organization_identifiers"),
            "At /organizations/0/organization_identifiers",
        ),
    ],
)
def test_the_first_wrong_place_is_named_in_one_line(spoil: Callable[[Any], Any], says: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    with pytest.raises(Invalid) as caught:
        hsds.read(document)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_schema_and_the_geography_know_the_same_councils() -> None:
    assert gateway_schemas.load("referral")["$defs"]["council"]["enum"] == sorted(places.COUNCILS)
