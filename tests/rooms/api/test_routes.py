"""A hub names the need; the gateway names the agency, and why. Phases of the roll-out at the counter."""

import json
from typing import Any

import pytest

from gateway.delivery.room import PostRoom
from gateway.policy import contract, hsds
from gateway.policy.places import Phase
from gateway.store import directory
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import work
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, consent, referral

NEED = {"need": "emergency-accommodation", "purpose": "housing", "ask": "A bed."}


def document(*services: dict[str, Any]) -> dict[str, Any]:
    """A directory of *services*: ``{agency, need, place, …}``, the rest as in HSDS."""
    made = []
    for number, service in enumerate(services):
        agency, need, place, *urgencies = service.pop("what")
        terms = [(hsds.NEED, need), *((hsds.URGENCY, word) for word in urgencies)]
        organization = {
            "id": agency, "name": agency,
            "organization_identifiers": [{"identifier_scheme": hsds.AGENCY, "identifier": agency}],
        }  # fmt: skip
        made.append({
            "id": f"s{number}", "name": f"Service {number}", "organization": organization,
            "attributes": [{"taxonomy_term": {"taxonomy": t, "code": code}} for t, code in terms],
            "service_areas": [{"uri": place}], **service,
        })  # fmt: skip
    return {"services": made}


@pytest.fixture(autouse=True)
def services(room: PostRoom) -> None:
    wanted = hsds.read(
        document(
            {"what": (HOUSING, "emergency-accommodation", "glasgow", "stat", "asap")},
            {"what": ("refuge", "emergency-accommodation", "glasgow")},
            {"what": (SOCIAL_SECURITY, "benefit-claims", "glasgow"), "minimum_age": 60},
            {"what": (HEALTH, "general-practice", "S08000031")},
            {"what": (HEALTH, "mental-health", "S08000031"), "maximum_age": 17},
        )
    )
    with room.store.begin() as tx:
        directory.apply(tx, directory.changes(directory.lock(tx), wanted.services, []), by="test")


def switch(room: PostRoom, area: str, phase: Phase) -> None:
    with room.store.begin() as tx:
        directory.switch(tx, area, phase, by="test", reason="r")


def needing(hub: Hub, *requests: dict[str, Any], agreed: str | None = None, **changes: Any) -> dict[str, Any]:
    return {**referral(agreed or hub.consent(), HOUSING), "requests": list(requests), **changes}


def test_a_need_finds_its_agency_and_says_why(hub: Hub, room: PostRoom, agencies: Agencies) -> None:
    answer = hub.submit(needing(hub, NEED, {"agency": HEALTH, "purpose": "health-care", "ask": "A doctor."}))
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert set(body["deliveries"]) == {HOUSING, HEALTH}
    route = body["routes"][HOUSING]
    assert (route["need"], route["agency"], route["because"]) == (NEED["need"], HOUSING, "only_one")
    assert [(one["agency"], one["why"]) for one in route["passed_over"]] == [
        ("refuge", ["not_configured", "not_agreed"])
    ]
    found = {one["agency"]: one for one in hub.call("GET", answer.headers["location"]).json()["deliveries"]}
    assert found[HOUSING]["route"] == route
    assert "route" not in found[HEALTH]
    assert contract.problems("delivery", found[HOUSING]) == []
    with room.store.begin() as tx:  # the reasons tell something of her
        whole = str([tx.all("SELECT * FROM deliveries"), tx.all("SELECT * FROM audit"), tx.all("SELECT * FROM events")])
    assert NEED["need"] not in whole
    work(room)
    [case] = agencies[HOUSING].cases.values()
    assert case.key == body["deliveries"][HOUSING]
    assert "A bed." in json.dumps(case.document)


def test_the_same_key_gives_the_first_choice_again(hub: Hub, room: PostRoom) -> None:
    draft = needing(hub, NEED)
    first = hub.submit(draft, "key-1")
    with room.store.begin() as tx:
        directory.apply(tx, directory.changes(directory.lock(tx), {}, [HOUSING]), by="test")
    again = hub.submit(draft, "key-1")
    assert (again.status_code, again.json()) == (202, first.json())
    problem(hub.submit(draft, "key-2"), 422, "nobody-serves-it")


def test_nobody_serves_it(hub: Hub) -> None:
    answer = hub.submit(
        needing(
            hub,
            {"need": "substance-use", "purpose": "health-care", "ask": "Help."},
            {"need": "benefit-claims", "purpose": "social-security", "ask": "Help."},
            {"need": "mental-health", "purpose": "health-care", "ask": "Help."},
        )
    )
    found = problem(answer, 422, "nobody-serves-it")
    assert [one["pointer"] for one in found["errors"]] == [f"/requests/{n}/need" for n in range(3)]
    assert [[over["why"] for over in one["passed_over"]] for one in found["errors"]] == [
        [],
        [["too_young"]],
        [["too_old"]],
    ]
    assert "substance-use in Glasgow: no service in the directory offers it there." in found["detail"]
    for value in ("Ileana", "1994", "GLA-7Q2M"):
        assert value not in answer.text


def test_a_choice_never_widens_consent(hub: Hub, agencies: Agencies) -> None:
    agreed = hub.consent(consent({HEALTH: ["request", "identity"]}))
    found = problem(hub.submit(needing(hub, NEED, agreed=agreed)), 403, "consent-missing")
    assert found["missing"] == [{"agency": HOUSING, "purpose": "housing", "reason": "not_recipient"}]


def test_what_the_agency_needs_is_asked_for_whoever_named_it(hub: Hub) -> None:
    draft = needing(hub, NEED)
    del draft["housing"]
    assert problem(hub.submit(draft), 422, "needs-missing")["missing"] == [
        {"agency": HOUSING, "pointer": "/housing/situation"}
    ]


def test_one_agency_is_asked_once(hub: Hub) -> None:
    named = {"agency": HOUSING, "purpose": "housing", "ask": "A bed."}
    found = problem(hub.submit(needing(hub, NEED, named)), 422, "nobody-serves-it")
    assert "asked_already" in found["errors"][0]["passed_over"][0]["why"]


def test_who_declined_her_is_not_picked_again_until_it_is_named(hub: Hub, other_hub: Hub, room: PostRoom) -> None:
    hers = hub.consent()
    assert hub.submit(needing(hub, NEED, agreed=hers)).status_code == 202
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET status = 'declined'")
    found = problem(hub.submit(needing(hub, NEED, agreed=hers)), 422, "nobody-serves-it")
    over = {one["agency"]: one["why"] for one in found["errors"][0]["passed_over"]}
    assert over[HOUSING] == ["declined"]
    assert "declined her before: to ask it again, name it" in found["detail"]

    other = {**consent(), "subject": "GLA-OTHER"}
    another = needing(hub, NEED, agreed=hub.consent(other), subject="GLA-OTHER")
    assert hub.submit(another).status_code == 202  # another woman
    assert other_hub.submit(needing(other_hub, NEED)).status_code == 202  # another hub's, whatever it calls her

    named = {"agency": HOUSING, "purpose": "housing", "ask": "A bed, please."}
    assert hub.submit(needing(hub, named, agreed=hers)).status_code == 202
    assert hub.submit(needing(hub, NEED, agreed=hers)).status_code == 202  # it has not answered this time


@pytest.mark.parametrize(
    ("request_", "changes", "pointer"),
    [
        ({**NEED, "agency": HOUSING}, {}, "/requests/0"),
        ({"purpose": "housing", "ask": "A bed."}, {}, "/requests/0"),
        ({**NEED, "need": "a-castle"}, {}, "/requests/0/need"),
        (NEED, {"council": "S12000036"}, "/council"),
    ],
)
def test_a_request_names_one_of_the_two(hub: Hub, request_: Any, changes: Any, pointer: str) -> None:
    found = problem(hub.submit(needing(hub, request_, **changes)), 422, "invalid")
    assert [error["pointer"] for error in found["errors"]] == [pointer]


def test_before_she_is_asked(hub: Hub) -> None:
    wanted = {
        "area": "glasgow",
        "urgency": "stat",
        "needs": [{"need": "emergency-accommodation", "purpose": "housing"}],
    }
    [route] = hub.call("POST", "/v1/routes", json=wanted).json()["routes"]
    assert (route["agency"], route["because"]) == (HOUSING, "only_one")
    [route] = hub.call("POST", "/v1/routes", json={**wanted, "urgency": "routine"}).json()["routes"]
    assert "agency" not in route
    assert {over["agency"]: over["why"] for over in route["passed_over"]} == {
        HOUSING: ["urgency"],
        "refuge": ["not_configured"],
    }
    problem(hub.call("POST", "/v1/routes", json={**wanted, "age": "old"}), 422, "invalid")


def test_nothing_is_taken_for_an_area_that_is_planned(hub: Hub, room: PostRoom) -> None:
    switch(room, "glasgow", Phase.PLANNED)
    for draft in (referral(hub.consent()), needing(hub, NEED)):
        assert problem(hub.submit(draft), 409, "area-off")["area"] == "glasgow"
    areas = {one["area"]: one for one in hub.call("GET", "/v1/areas").json()["areas"]}
    assert (areas["glasgow"]["phase"], areas["dundee"]["phase"]) == ("planned", "live")
    assert areas["glasgow"]["councils"] == {"S12000049": "Glasgow City"}
    switch(room, "glasgow", Phase.PILOT)
    assert hub.submit(referral(hub.consent())).status_code == 202
