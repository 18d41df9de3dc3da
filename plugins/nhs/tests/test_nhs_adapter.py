"""Bundles as FHIR reads them, CHI numbers, and what answers mean."""

import json
from datetime import UTC, date, datetime
from typing import Any

import gateway_sdk as sdk
import pytest
from fhir.resources.R4B import get_fhir_model_class
from gateway_nhs import Nhs, chi
from gateway_nhs.simulator import DEMO_API_KEY, NhsSimulator, operation_outcome
from gateway_schemas import keep
from gateway_sdk.testing import full_view
from hypothesis import given
from hypothesis import strategies as st

AT = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
KEY = "del_0000000000000000A"
ADAPTER = Nhs()


def referral(**person: Any) -> sdk.Referral:
    view = full_view()
    view["person"].update(
        {"chi_number": "1705941265", "language": {"preferred": "ro", "interpreter_needed": True}}, **person
    )
    view["urgency"] = "urgent"
    return sdk.Referral(KEY, AT, keep(view, Nhs.needs.pointers), Nhs.needs)


def sent() -> sdk.Sent:
    return sdk.Sent(KEY, AT, "del_0000000000000000B", "their-1")


@pytest.mark.parametrize(
    "request_",
    [
        ADAPTER.translate(referral()),
        ADAPTER.update(referral(), sent()),
        ADAPTER.withdraw(sent()),
        ADAPTER.message(sdk.Message("msg_0000000000000000A", "On Monday.", AT, "question-1"), sent()),
    ],
    ids=["referral", "update", "revocation", "message"],
)
def test_every_resource_is_fhir_r4(request_: sdk.RestRequest) -> None:
    bundle = request_.json
    get_fhir_model_class("Bundle").model_validate(bundle)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_the_message_follows_bars() -> None:
    request = ADAPTER.translate(referral())
    resources = [entry["resource"] for entry in request.json["entry"]]
    assert resources[0]["resourceType"] == "MessageHeader"
    kinds = [resource["resourceType"] for resource in resources]
    assert kinds.count("Organization") == 2
    for kind in ("ServiceRequest", "Patient", "Encounter", "CarePlan"):
        assert kinds.count(kind) == 1
    assert {"X-Request-Id", "X-Correlation-Id", "NHSD-Target-Identifier", "use-context"} <= set(request.headers)
    assert '"gender"' not in json.dumps(request.json)


def test_a_revocation_says_nothing_of_her_and_keeps_the_thread() -> None:
    first, second = ADAPTER.translate(referral()), ADAPTER.withdraw(sent())
    assert first.headers["X-Correlation-Id"] == second.headers["X-Correlation-Id"]
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    patient = next(e["resource"] for e in second.json["entry"] if e["resource"]["resourceType"] == "Patient")
    assert set(patient) == {"resourceType", "id"}


def test_without_chi_number_there_is_no_identifier() -> None:
    view = full_view()
    given_ = sdk.Referral(KEY, AT, keep(view, [p for p in Nhs.needs.pointers if p != "/person/chi_number"]), Nhs.needs)
    patient = next(
        e["resource"] for e in ADAPTER.translate(given_).json["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    assert "identifier" not in patient


def outcome(status: int, issue: str, error: str = "X") -> sdk.Outcome:
    return ADAPTER.classify(sdk.Reply(status, {}, operation_outcome(status, issue, error).body))


@pytest.mark.parametrize(
    ("status", "issue", "kind", "code"),
    [
        (409, "duplicate", sdk.Delivered, None),
        (408, "timeout", sdk.Uncertain, "proxy_timeout"),
        (429, "throttled", sdk.Unavailable, "transient"),
        (500, "transient", sdk.Unavailable, "transient"),
        (500, "exception", sdk.Uncertain, "server_fault"),
        (503, "transient", sdk.Unavailable, "transient"),
        (422, "code-invalid", sdk.Refused, "chi_invalid"),
        (422, "structure", sdk.Refused, "rejected"),
        (404, "not-found", sdk.Refused, "not_found"),
        (401, "security", sdk.Unavailable, "not_authorised"),
        (200, "exception", sdk.Uncertain, "not_acknowledged"),
    ],
)
def test_what_an_operation_outcome_means(status: int, issue: str, kind: type, code: str | None) -> None:
    found = outcome(status, issue)
    assert isinstance(found, kind)
    assert getattr(found, "code", None) == code


def test_a_success_must_acknowledge_a_message() -> None:
    with NhsSimulator() as simulator:
        import requests

        request = ADAPTER.translate(referral())
        headers = {**request.headers, "apikey": DEMO_API_KEY}
        url = simulator.base_url() + request.path
        answer = requests.post(url, data=request.body(), headers=headers, timeout=5)
        again = requests.post(url, data=request.body(), headers=headers, timeout=5)
        [case] = simulator.cases.values()
    found = ADAPTER.classify(sdk.Reply(answer.status_code, {}, answer.content))
    assert found == sdk.Delivered(case.reference)
    assert answer.headers["X-Request-Id"] == headers["X-Request-Id"]
    assert ADAPTER.classify(sdk.Reply(again.status_code, {}, again.content)) == sdk.Delivered(duplicate=True)
    late = json.loads(answer.content)
    del late["entry"][0]["resource"]["response"]
    assert isinstance(ADAPTER.classify(sdk.Reply(200, {}, json.dumps(late).encode())), sdk.Uncertain)


@given(st.dates(date(1930, 1, 1), date(2029, 12, 31)), st.integers(0, 999))
def test_a_check_digit_by_either_modulus_is_valid(day: Any, number: int) -> None:
    nine = f"{day:%d%m%y}{number:03d}"
    right = {chi.check_11(nine), chi.check_10(nine)}
    for last in range(10):
        assert chi.valid(f"{nine}{last}") == (last in right)


@pytest.mark.parametrize("number", ["", "123", "3002901234", "9999999999", "170594126x", "१७०५९४१२६५"])
def test_what_is_no_chi_number(number: str) -> None:
    assert not chi.valid(number)
