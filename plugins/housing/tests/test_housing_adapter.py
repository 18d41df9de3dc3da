"""What the adapter says is in the contract, and so is what the simulator answers."""

import json
from datetime import UTC, datetime
from typing import Any

import gateway_sdk as sdk
import pytest
import requests
from gateway_housing import Housing
from gateway_housing.contract import openapi
from gateway_housing.simulator import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, HousingSimulator, validator
from gateway_schemas import keep
from gateway_sdk.testing import full_view
from jsonschema import Draft202012Validator

AT = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
KEY = "del_0000000000000000A"
ADAPTER = Housing()


def referral(pointers: tuple[str, ...] = Housing.needs.pointers, **housing: Any) -> sdk.Referral:
    view = full_view()
    view["housing"].update({"lost_on": "2020-01-01", **housing})
    return sdk.Referral(KEY, AT, keep(view, pointers), Housing.needs)


@pytest.mark.parametrize(
    "pointers", [Housing.needs.pointers, Housing.needs.required], ids=["everything", "only the required"]
)
def test_a_request_follows_the_contract(pointers: tuple[str, ...]) -> None:
    found = [error.json_path for error in validator("Referral").iter_errors(ADAPTER.translate(referral(pointers)).json)]
    assert found == []


def test_the_contract_is_openapi_3_1_with_sound_schemas() -> None:
    contract = openapi()
    assert contract["openapi"].startswith("3.1")
    for schema in contract["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert "application" not in contract["paths"]["/referrals"]["post"]["summary"]


class Council:
    """A simulator, spoken to as the contract says."""

    def __init__(self, simulator: HousingSimulator) -> None:
        self.base = simulator.base_url()
        form = {"grant_type": "client_credentials"}
        answer = requests.post(
            f"{self.base}/oauth/token", data=form, auth=(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET), timeout=5
        )
        assert validator("Token").is_valid(answer.json())
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def send(self, request: sdk.RestRequest | None, **headers: str) -> sdk.Reply:
        assert request is not None
        key = {"Idempotency-Key": request.idempotency_key} if request.idempotency_key else {}
        kind = {"Content-Type": "application/json"} if request.json else {}
        answer = requests.request(
            request.method, self.base + request.path, params=dict(request.query), data=request.body(),
            headers={**self.headers, **key, **kind, **headers}, timeout=5,
        )  # fmt: skip
        return sdk.Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)


def test_refer_again_ask_and_withdraw() -> None:
    with HousingSimulator() as simulator:
        council = Council(simulator)
        sent = sdk.Sent(KEY, AT, "del_0000000000000000B")
        assert ADAPTER.read_update(council.send(ADAPTER.ask(sent))) == sdk.NotFound()
        first = council.send(ADAPTER.translate(referral()))
        assert validator("Case").is_valid(first.json)
        [case] = simulator.cases.values()
        assert ADAPTER.classify(first) == sdk.Delivered(case.reference)
        again = council.send(ADAPTER.translate(referral()))
        assert ADAPTER.classify(again) == sdk.Delivered(case.reference, duplicate=True)
        other = council.send(ADAPTER.translate(referral(detail="Changed")))
        assert (other.status, ADAPTER.classify(other)) == (422, sdk.Delivered(duplicate=True))
        assert case.document["accommodation"]["detail"] != "Changed"  # what it has is put right by an update
        updated = council.send(ADAPTER.update(referral(detail="Changed"), sent))
        assert ADAPTER.classify(updated) == sdk.Delivered(case.reference, duplicate=True)
        assert case.document["accommodation"]["detail"] == "Changed"
        listed = council.send(ADAPTER.ask(sent))
        assert validator("StatusList").is_valid(listed.json)
        update = ADAPTER.read_update(listed)
        assert isinstance(update, sdk.Update)
        assert (update.status, update.delivery_key, update.reference) == (sdk.Status.SENT, KEY, case.reference)
        asked = simulator.ask(case, "Has she a passport?")
        body, headers = simulator.question(case, asked)
        assert validator("CouncilMessage").is_valid(json.loads(body))
        question = ADAPTER.read_update(sdk.Reply(200, headers, body))
        assert isinstance(question, sdk.Message)
        assert (question.text, question.delivery_key) == ("Has she a passport?", KEY)
        answer = ADAPTER.message(sdk.Message("msg_0000000000000000A", "Yes.", AT, question.id), sent)
        assert validator("HubMessage").is_valid(answer.json)
        assert ADAPTER.classify(council.send(answer)) == sdk.Delivered(case.reference)
        assert [said.text for said in case.messages] == ["Has she a passport?", "Yes."]
        assert ADAPTER.classify(council.send(ADAPTER.withdraw(sent))) == sdk.Delivered()
        assert ADAPTER.classify(council.send(answer)) == sdk.Refused("unknown_reference")
        assert (case.status, case.document) == (sdk.Status.WITHDRAWN, None)


def test_what_is_refused_and_why() -> None:
    with HousingSimulator() as simulator:
        council = Council(simulator)
        later = council.send(ADAPTER.translate(referral(lost_on="2099-01-01")))
        assert ADAPTER.classify(later) == sdk.Refused("not_threatened")
        spoilt = sdk.RestRequest("POST", "/referrals", json={"name": "x"}, idempotency_key="k")
        assert ADAPTER.classify(council.send(spoilt)) == sdk.Refused("invalid")
        assert ADAPTER.classify(council.send(spoilt, Authorization="Bearer old")) == sdk.Unavailable("not_authorised")
        nothing = sdk.Sent(KEY, AT, "del_0000000000000000B")
        for request in (ADAPTER.withdraw(nothing), ADAPTER.update(referral(), nothing)):
            unknown = council.send(request)
            assert (unknown.status, ADAPTER.classify(unknown)) == (410, sdk.Delivered())
        assert not simulator.cases
