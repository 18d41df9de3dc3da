"""What a hub can do, and what it is told."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.policy import contract
from gateway.store import callers
from tests.rooms.api.conftest import Hub
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, consent, referral


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    """The problem document, if *answer* is that one (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["type"].endswith(f"/problems/{slug}")
    assert document["title"]
    assert document["detail"]
    return document


def test_a_referral_is_accepted_and_read(hub: Hub) -> None:
    answer = hub.submit(referral(hub.consent()))
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"/v1/referrals/{body['id']}"
    assert set(body["deliveries"]) == {HOUSING, SOCIAL_SECURITY, HEALTH}
    found = hub.call("GET", answer.headers["location"]).json()
    assert {delivery["state"] for delivery in found["deliveries"]} == {"waiting"}
    assert [event["type"] for event in found["timeline"]] == ["referral.accepted"]
    for delivery in found["deliveries"]:
        assert contract.problems("delivery", delivery) == []
    for event in found["timeline"]:
        assert contract.problems("event", event) == []


def test_the_same_key_gives_the_first_answer(hub: Hub) -> None:
    draft = referral(hub.consent())
    first, second = hub.submit(draft, "key-1"), hub.submit(draft, "key-1")
    assert (second.status_code, second.json()) == (202, first.json())
    problem(hub.submit({**draft, "urgency": "routine"}, "key-1"), 422, "idempotency-key-reused")
    assert hub.submit(draft, "key-2").json()["id"] != first.json()["id"]


def test_the_same_key_at_the_same_time_makes_one_referral(hub: Hub) -> None:
    draft = referral(hub.consent())
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: hub.submit(draft, "key-1").json()["id"], range(6)))
    assert len(set(answers)) == 1
    assert len(hub.call("GET", "/v1/deliveries").json()["deliveries"]) == 3


def test_a_refused_submission_leaves_its_key_free(hub: Hub) -> None:
    agreed = hub.consent(consent({HOUSING: ["request"]}))
    problem(hub.submit(referral(agreed, HOUSING), "key-1"), 403, "consent-missing")
    assert hub.submit(referral(hub.consent(), HOUSING), "key-1").status_code == 202


def test_a_key_is_required(hub: Hub) -> None:
    draft = referral(hub.consent())
    problem(hub.call("POST", "/v1/referrals", json=draft), 400, "idempotency-key-missing")
    problem(hub.submit(draft, "x" * 256), 400, "idempotency-key-missing")


def test_missing_consent_lists_exactly_what_is_missing(hub: Hub) -> None:
    agreed = hub.consent(consent({HOUSING: ["request", "identity"], HEALTH: ["request", "identity"]}))
    document = problem(hub.submit(referral(agreed)), 403, "consent-missing")
    assert document["missing"] == [
        {
            "agency": HOUSING, "purpose": "housing", "reason": "not_category", "category": "housing",
            "pointers": ["/housing/situation"],
        },
        {"agency": SOCIAL_SECURITY, "purpose": "social-security", "reason": "not_recipient"},
    ]  # fmt: skip
    assert "glasgow-housing: she did not agree to this kind of data (housing)" in document["detail"]


def test_empty_needs_are_listed(hub: Hub) -> None:
    draft = referral(hub.consent(), HOUSING, HEALTH)
    del draft["person"]["birth_date"]
    document = problem(hub.submit(draft), 422, "needs-missing")
    assert document["missing"] == [
        {"agency": HOUSING, "pointer": "/person/birth_date"},
        {"agency": HEALTH, "pointer": "/person/birth_date"},
    ]


def test_errors_name_the_pointer_and_the_rule_and_never_the_value(hub: Hub) -> None:
    draft = referral(hub.consent())
    draft["person"]["chi_number"] = "SECRETVALUE"
    draft["person"]["surname"] = "SECRETVALUE"
    draft["urgency"] = "SECRETVALUE"
    draft["requests"][0]["agency"] = HOUSING
    answer = hub.submit(draft)
    document = problem(answer, 422, "invalid")
    assert [entry["pointer"] for entry in document["errors"]] == ["/person/chi_number", "/person/surname", "/urgency"]
    assert document["errors"][2]["expected"] == "one of routine, urgent, asap, stat"
    assert "SECRETVALUE" not in answer.text


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"agency": "nobody"}, "/requests/0/agency"),
        ({"purpose": "statistics"}, "/requests/0/purpose"),
    ],
)
def test_a_request_names_an_agency_and_its_purpose(hub: Hub, change: dict[str, str], pointer: str) -> None:
    draft = referral(hub.consent(), HOUSING)
    draft["requests"][0].update(change)
    assert problem(hub.submit(draft), 422, "invalid")["errors"][0]["pointer"] == pointer


def test_an_agency_outside_the_area_and_one_asked_twice(hub: Hub) -> None:
    draft = referral(hub.consent(), HOUSING, HOUSING)
    assert problem(hub.submit(draft), 422, "invalid")["errors"][0]["pointer"] == "/requests/1/agency"
    elsewhere = {**referral(hub.consent(), HOUSING), "area": "highland"}
    found = problem(hub.submit(elsewhere), 422, "invalid")["errors"][0]
    assert found == {"pointer": "/requests/0/agency", "expected": "an agency of the area: social-security"}


def test_a_hub_sees_only_its_own(hub: Hub, other_hub: Hub) -> None:
    agreed = hub.consent()
    body = hub.submit(referral(agreed)).json()
    delivery = body["deliveries"][HOUSING]
    for path in (f"/v1/referrals/{body['id']}", f"/v1/consents/{agreed}", f"/v1/deliveries/{delivery}"):
        assert hub.call("GET", path).status_code == 200
        problem(other_hub.call("GET", path), 404, "not-found")
    problem(other_hub.call("POST", f"/v1/consents/{agreed}/withdraw"), 404, "not-found")
    problem(other_hub.submit(referral(agreed)), 404, "not-found")
    assert other_hub.call("GET", "/v1/deliveries").json() == {"deliveries": []}
    assert other_hub.call("GET", "/v1/events").json()["events"] == []


def test_who_is_calling(hub: Hub) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer gw_wrong"}):
        answer = hub.client.get("/v1/agencies", headers=headers)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_opens_nothing(hub: Hub, room: Any) -> None:
    with room.store.begin() as tx:
        for row in callers.list_hubs(tx):
            callers.revoke_key(tx, str(row["key"]), by="test")
    problem(hub.call("GET", "/v1/agencies"), 401, "unauthenticated")


def test_deliveries_are_listed_in_pages(hub: Hub) -> None:
    agreed = hub.consent()
    made = {hub.submit(referral(agreed, HOUSING)).json()["deliveries"][HOUSING] for _ in range(5)}
    seen: list[str] = []
    path = "/v1/deliveries?limit=2"
    while path:
        page = hub.call("GET", path).json()
        seen += [delivery["id"] for delivery in page["deliveries"]]
        path = f"/v1/deliveries?limit=2&after={page['next']}" if "next" in page else ""
    assert (len(seen), set(seen)) == (5, made)
    problem(hub.call("GET", "/v1/deliveries?after=nonsense"), 400, "malformed")
    assert hub.call("GET", f"/v1/deliveries?agency={HEALTH}").json() == {"deliveries": []}


def test_agencies_say_what_they_need(hub: Hub) -> None:
    found = {agency["name"]: agency for agency in hub.call("GET", "/v1/agencies").json()["agencies"]}
    assert found[HOUSING]["purpose"] == "housing"
    assert "/housing/situation" in found[HOUSING]["required"]
    assert found[HOUSING]["required_categories"] == ["housing", "identity", "request"]


def test_the_examples_of_the_openapi_document_work(hub: Hub) -> None:
    document = hub.client.get("/openapi.json").json()

    def example(path: str) -> Any:
        return document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]

    agreed = hub.consent(example("/v1/consents"))
    answer = hub.submit({**example("/v1/referrals"), "consent": agreed})
    assert answer.status_code == 202, answer.text
    assert "dataCategory" not in json.dumps(document)
