"""A consent's whole life over HTTP: versions, withdrawal in part, the receipt; safe contact; other lawful bases."""

import hashlib
import json
import re
from base64 import b64encode
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.room import PostRoom
from gateway.policy import contract
from gateway.settings import HubSettings
from gateway.store import audit, callers
from tests.rooms.api.conftest import Hub
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import work
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, consent, referral
from tests.walks.test_canary import dump


def change(hub: Hub, agreed: str, document: dict[str, Any], version: str | None) -> Any:
    headers = {} if version is None else {"If-Match": version}
    return hub.call("POST", f"/v1/consents/{agreed}/versions", json=document, headers=headers)


def test_a_consent_is_read_changed_and_read_again(hub: Hub) -> None:
    agreed = hub.consent()
    first = hub.call("GET", f"/v1/consents/{agreed}")
    assert first.headers["etag"] == '"1"'
    document = first.json()["consent"]
    narrower = {**document, "permits": document["permits"][:1]}
    answer = change(hub, agreed, narrower, first.headers["etag"])
    assert (answer.status_code, answer.json()["kind"], answer.headers["etag"]) == (201, "narrowed", '"2"')
    told = hub.call("GET", f"/v1/consents/{agreed}/versions").json()
    assert [(one["version"], one["kind"]) for one in told["versions"]] == [(1, "granted"), (2, "narrowed")]
    assert told["versions"][0]["consent"] == document  # never edited
    assert told["versions"][1]["consent"]["given"]["recorded_by"] == "Support worker 12"


def test_a_change_made_from_an_older_version_gives_nothing_back(hub: Hub) -> None:
    agreed = hub.consent()
    document = hub.call("GET", f"/v1/consents/{agreed}").json()["consent"]
    hub.call("POST", f"/v1/consents/{agreed}/withdraw", json={"recipients": [HOUSING]})
    problem(change(hub, agreed, document, '"1"'), 412, "changed")
    problem(change(hub, agreed, document, None), 428, "version-missing")
    problem(change(hub, agreed, document, "*"), 428, "version-missing")
    assert HOUSING not in str(hub.call("GET", f"/v1/consents/{agreed}").json()["consent"])


def test_a_change_that_takes_and_gives_is_told_what_to_do(hub: Hub) -> None:
    agreed = hub.consent(consent({HOUSING: ["request", "identity"]}))
    document = consent({HOUSING: ["request", "housing"]})
    told = problem(change(hub, agreed, document, '"1"'), 422, "invalid")
    assert told["errors"][0]["pointer"] == "/permits"
    assert "record first what ends" in told["detail"]
    problem(change(hub, agreed, {**document, "more": 1}, '"1"'), 422, "invalid")


def test_withdrawal_in_part_and_as_a_whole(hub: Hub) -> None:
    agreed = hub.consent()
    path = f"/v1/consents/{agreed}/withdraw"
    hub.submit(referral(agreed))
    part = hub.call("POST", path, json={"recipients": [HOUSING], "given": {
        "at": datetime.now(UTC).isoformat(), "method": "spoken", "recorded_by": "Support worker 7", "wording_version": "2026-01",
    }}).json()  # fmt: skip
    assert part["withdrawn"] is False
    assert {d["agency"]: d["state"] for d in part["deliveries"]} == {
        HOUSING: "withdrawn", HEALTH: "waiting", SOCIAL_SECURITY: "waiting",
    }  # fmt: skip
    problem(hub.call("POST", path, json={"recipients": []}), 422, "invalid")
    problem(
        hub.call("POST", path, content=b"all of it", headers={"Content-Type": "text/plain"}),
        415,
        "unsupported-media-type",
    )
    whole = hub.call("POST", path).json()
    assert whole["withdrawn"] is True
    assert {d["state"] for d in whole["deliveries"]} == {"withdrawn"}
    assert hub.call("POST", path).json() == whole
    told = hub.call("GET", f"/v1/consents/{agreed}/versions").json()["versions"]
    assert [one["kind"] for one in told] == ["granted", "narrowed", "withdrawn"]
    assert [one["consent"].get("given", {}).get("recorded_by") for one in told] == [
        "Support worker 12",
        "Support worker 7",
        None,
    ]
    problem(hub.submit(referral(agreed, HEALTH)), 403, "consent-missing")


def test_the_receipt_follows_the_standard_and_names_no_worker(hub: Hub) -> None:
    document = consent({HOUSING: ["request", "identity", "health"]})
    agreed = hub.consent(document)
    receipt = hub.call("GET", f"/v1/consents/{agreed}").json()["receipt"]
    assert set(receipt) == {
        "schema_version", "record_id", "pii_principal_id", "pii_processing", "party_identification", "events",
    }  # fmt: skip
    [processing] = receipt["pii_processing"]
    assert processing["recipient_third_parties"] == [HOUSING]
    assert processing["purposes"] == ["housing"]
    assert processing["lawful_basis"] == "consent"
    assert {"pii_type": "health", "special_pii_category": True} in processing["pii_information"]
    assert receipt["events"][0]["event_state"] == "granted"
    assert "Support worker" not in json.dumps(receipt)


@pytest.mark.parametrize("path", ["", "/receipt"])
def test_she_can_be_handed_a_page(hub: Hub, path: str) -> None:
    document = consent({HOUSING: ["identity", "children", "housing"]})
    del document["permits"][0]["children"]
    agreed = hub.consent(document)
    answer = hub.call("GET", f"/v1/consents/{agreed}{path}", headers={"Accept": "text/html"})
    page = answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    for words in (
        "Glasgow housing",
        "To help you with somewhere to live",
        "Your name and date of birth",
        "Tell any worker",
        "Which worker refers you",
        "Two of its workers must agree",
    ):
        assert words in page
    assert "Your children" not in page  # the permit names them and does not open them
    assert "Support worker" not in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    mark = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{mark}'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "@media print" in style
    hub.call("POST", f"/v1/consents/{agreed}/withdraw")
    assert "You withdrew it" in hub.call("GET", f"/v1/consents/{agreed}/receipt").text


def test_nobody_else_reads_or_changes_it(hub: Hub, other_hub: Hub) -> None:
    agreed = hub.consent()
    for path in ("", "/receipt", "/versions"):
        problem(other_hub.call("GET", f"/v1/consents/{agreed}{path}"), 404, "not-found")
    problem(change(other_hub, agreed, consent(), '"1"'), 404, "not-found")
    taken = hub.submit(referral(agreed, HOUSING)).json()["id"]
    answer = other_hub.call("POST", f"/v1/referrals/{taken}/contact", json={}, headers={"Idempotency-Key": "k"})
    problem(answer, 404, "not-found")


# Safe contact


def test_safe_contact_is_changed_once_for_one_key(hub: Hub, room: PostRoom) -> None:
    taken = hub.submit(referral(hub.consent(), HOUSING)).json()["id"]
    work(room)
    path = f"/v1/referrals/{taken}/contact"
    example = hub.client.get("/openapi.json").json()["paths"]["/v1/referrals/{referral}/contact"]["post"]
    document = example["requestBody"]["content"]["application/json"]["example"]
    problem(hub.call("POST", path, json=document), 400, "idempotency-key-missing")
    for _ in range(2):
        answer = hub.call("POST", path, json=document, headers={"Idempotency-Key": "c-1"})
        assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [d["kind"] for d in found["deliveries"]] == ["referral", "update"]
    assert [event["type"] for event in found["timeline"]].count("referral.contact") == 1
    for delivery in found["deliveries"]:
        assert contract.problems("delivery", delivery) == []
    for event in found["timeline"]:
        assert contract.problems("event", event) == []
    reused = hub.call("POST", path, json={}, headers={"Idempotency-Key": "c-1"})
    problem(reused, 422, "idempotency-key-reused")
    wrong = {"phone": {"number": "07700 900666"}}
    answer = hub.call("POST", path, json=wrong, headers={"Idempotency-Key": "c-2"})
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"].startswith("/phone/")
    assert "900666" not in answer.text
    work(room)


# Other lawful bases

REASON = "CanaryReason: she is unconscious, and the ward must know what she was given."


def basis(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "subject": "GLA-7Q2M",
        "basis": "vital-interests",
        "reason": REASON,
        "recorded": {"at": now.isoformat(), "recorded_by": "CanaryRecorder"},
        "permits": [
            {"recipients": [HEALTH], "purposes": ["health-care"], "categories": ["request", "identity", "health"]}
        ],
        "ends_at": (now + timedelta(days=2)).isoformat(),
        **changes,
    }


@pytest.fixture
def may(room: PostRoom) -> None:
    room.settings.hubs["glasgow-hub"] = HubSettings(other_bases=["vital-interests"])


@pytest.fixture
def second(hub: Hub, room: PostRoom) -> Hub:
    """Another worker of the same hub, with a key of her own."""
    with room.store.begin() as tx:
        return Hub(hub.client, callers.add_hub(tx, "glasgow-hub", by="test"))


def approve(hub: Hub, identifier: str) -> Any:
    return hub.call("POST", f"/v1/lawful-bases/{identifier}/approve", json={"approved_by": "CanaryApprover"})


def test_it_is_off_by_default(hub: Hub) -> None:
    told = problem(hub.call("POST", "/v1/lawful-bases", json=basis()), 403, "forbidden")
    assert "Ask her" in told["detail"]


@pytest.mark.usefixtures("may")
def test_a_basis_is_named_allowed_reasoned_and_short(hub: Hub) -> None:
    for wrong, status, slug in (
        (basis(basis="safeguarding"), 403, "forbidden"),
        (basis(basis="convenience"), 422, "invalid"),
        (basis(reason="because"), 422, "invalid"),
        (basis(ends_at=(datetime.now(UTC) + timedelta(days=8)).isoformat()), 422, "invalid"),
    ):
        answer = hub.call("POST", "/v1/lawful-bases", json=wrong)
        problem(answer, status, slug)
        assert "Canary" not in answer.text


@pytest.mark.usefixtures("may")
def test_nothing_is_sent_on_it_until_a_second_worker_agrees(
    hub: Hub, second: Hub, room: PostRoom, agencies: Agencies, caplog: pytest.LogCaptureFixture
) -> None:
    made = hub.call("POST", "/v1/lawful-bases", json=basis())
    assert made.status_code == 201, made.text
    identifier = made.json()["id"]
    draft = referral(identifier, HEALTH)
    told = problem(hub.submit(draft), 403, "consent-missing")
    assert told["missing"] == [{"agency": HEALTH, "purpose": "health-care", "reason": "not_approved"}]
    assert "second worker" in problem(approve(hub, identifier), 403, "forbidden")["detail"]
    problem(hub.submit(draft), 403, "consent-missing")
    assert approve(second, identifier).status_code == 200
    problem(approve(second, identifier), 409, "conflict")
    taken = hub.submit(draft)
    assert taken.status_code == 202, taken.text
    problem(hub.submit(referral(identifier, HOUSING)), 403, "consent-missing")  # it names whom it is for
    work(room)
    [case] = agencies[HEALTH].cases.values()
    assert "Cannot sleep" in json.dumps(case.document)
    assert "07700" not in json.dumps(case.document)  # contact is not in the record
    assert "Canary" not in str(agencies[HEALTH].received)
    assert "No consent: sent to protect vital interests" in json.dumps(case.document)
    with room.store.begin() as tx:
        rows = tx.all("SELECT action, detail FROM audit WHERE action LIKE 'lawful-basis.%%' ORDER BY id")
        assert audit.verify(tx).broken is None
    assert [row["action"] for row in rows] == ["lawful-basis.record", "lawful-basis.approved", "lawful-basis.send"]
    assert all('"basis": "vital-interests"' in row["detail"] for row in rows)
    assert "Canary" not in str(rows)
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 3
    assert "Canary" not in caplog.text
    report = hub.call("GET", "/v1/lawful-bases")
    [row] = report.json()["lawful_bases"]
    assert (row["id"], row["referrals"], row["deliveries"]) == (identifier, [taken.json()["id"]], {"delivered": 1})
    assert "Canary" not in report.text
    assert "Canary" not in dump(room.store.url)
    assert hub.call("GET", f"/v1/lawful-bases/{identifier}").json()["record"]["reason"] == REASON


@pytest.mark.usefixtures("may")
def test_it_ends_and_can_be_called_off(hub: Hub, second: Hub, room: PostRoom, agencies: Agencies) -> None:
    identifier = hub.call("POST", "/v1/lawful-bases", json=basis()).json()["id"]
    approve(second, identifier)
    hub.submit(referral(identifier, HEALTH))
    work(room)
    assert hub.call("POST", f"/v1/lawful-bases/{identifier}/withdraw").json()["withdrawn_at"]
    work(room)
    [case] = agencies[HEALTH].cases.values()
    assert case.document is None
    problem(hub.submit(referral(identifier, HEALTH)), 403, "consent-missing")


@pytest.mark.usefixtures("may")
def test_a_basis_is_no_consent_and_a_consent_no_basis(hub: Hub, second: Hub, other_hub: Hub) -> None:
    agreed = hub.consent()
    identifier = hub.call("POST", "/v1/lawful-bases", json=basis()).json()["id"]
    for path in ("", "/receipt", "/versions"):
        problem(hub.call("GET", f"/v1/consents/{identifier}{path}"), 404, "not-found")
    problem(change(hub, identifier, consent(), '"1"'), 404, "not-found")
    problem(hub.call("POST", f"/v1/consents/{identifier}/withdraw"), 404, "not-found")
    problem(hub.call("GET", f"/v1/lawful-bases/{agreed}"), 404, "not-found")
    problem(approve(second, agreed), 404, "not-found")
    problem(hub.call("POST", f"/v1/lawful-bases/{agreed}/withdraw"), 404, "not-found")
    assert "withdrawn_at" not in hub.call("GET", f"/v1/consents/{agreed}").json()
    problem(approve(other_hub, identifier), 404, "not-found")
    assert other_hub.call("GET", "/v1/lawful-bases").json() == {"lawful_bases": []}


def test_every_new_example_is_valid() -> None:
    from gateway.api import examples

    assert contract.problems("contact", deepcopy(examples.CONTACT)) == []
    assert contract.problems("lawful_basis", deepcopy(examples.BASIS)) == []
    assert (Path(__file__).parents[3] / "gateway/api/templates/receipt.css").is_file()
