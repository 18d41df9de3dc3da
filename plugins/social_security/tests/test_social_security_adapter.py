"""The service understands zeep, and zeep understands the service."""

from datetime import UTC, datetime
from typing import Any

import gateway_sdk as sdk
import pytest
import zeep
import zeep.wsse.utils
from gateway_schemas import keep
from gateway_sdk.testing import full_view
from gateway_social_security import SocialSecurity
from gateway_social_security.contract import CODES, VALIDATION
from gateway_social_security.simulator import DEMO_PASSWORD, DEMO_USERNAME, NS, SocialSecuritySimulator
from zeep.wsse.username import UsernameToken

AT = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
KEY = "del_0000000000000000A"
ADAPTER = SocialSecurity()


def referral(pointers: tuple[str, ...] = SocialSecurity.needs.pointers, **person: Any) -> sdk.Referral:
    view = full_view()
    view["person"].update(person)
    view["urgency"] = "stat"
    return sdk.Referral(KEY, AT, keep(view, pointers), SocialSecurity.needs)


class Service:
    """A simulator behind a plain zeep client, as another caller would use it."""

    def __init__(self, simulator: SocialSecuritySimulator, password: str = DEMO_PASSWORD) -> None:
        utils = zeep.wsse.utils
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stamp = utils.WSU.Timestamp(utils.WSU("Created", now), utils.WSU("Expires", now))
        token = UsernameToken(DEMO_USERNAME, password, use_digest=True, timestamp_token=stamp)
        client = zeep.Client(str(SocialSecurity.wsdl), wsse=token)
        self.port = client.create_service(f"{{{NS}}}ReferralsSoap11", simulator.base_url())

    def call(self, request: sdk.SoapRequest | None) -> Any:
        assert request is not None
        return self.port[request.operation](**request.message)


@pytest.mark.parametrize(
    "pointers", [SocialSecurity.needs.pointers, SocialSecurity.needs.required], ids=["everything", "only the required"]
)
def test_a_referral_is_valid_by_the_xsd(pointers: tuple[str, ...]) -> None:
    with SocialSecuritySimulator() as simulator:
        answer = Service(simulator).call(ADAPTER.translate(referral(pointers)))
        [case] = simulator.cases.values()
    assert (answer.reference, answer.caseReference) == (KEY, case.reference)


def test_again_ask_and_withdraw() -> None:
    sent = sdk.Sent(KEY, AT, "del_0000000000000000B")
    with SocialSecuritySimulator() as simulator:
        assert Service(simulator).call(ADAPTER.ask(sent)).found is False
        Service(simulator).call(ADAPTER.translate(referral()))
        with pytest.raises(zeep.exceptions.Fault):
            Service(simulator).call(ADAPTER.translate(referral()))
        found = Service(simulator).call(ADAPTER.ask(sent))
        assert (found.found, found.status) == (True, "RECEIVED")
        assert Service(simulator).call(ADAPTER.withdraw(sent)).withdrawn is True
        [case] = simulator.cases.values()
        assert (case.status, case.document, case.times) == (sdk.Status.WITHDRAWN, None, 2)


@pytest.mark.parametrize("person", [{"birth_date": "2025-01-01"}], ids=["under 16"])
def test_what_is_refused_is_not_kept(person: dict[str, str]) -> None:
    with SocialSecuritySimulator() as simulator:
        with pytest.raises(zeep.exceptions.Fault):
            Service(simulator).call(ADAPTER.translate(referral(**person)))
        with pytest.raises(zeep.exceptions.Fault):
            Service(simulator, "wrong").call(ADAPTER.translate(referral()))
        assert not simulator.cases


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (sdk.Fault("Client", "DuplicateFault", {"caseReference": "SSR-1"}), sdk.Delivered("SSR-1", duplicate=True)),
        (sdk.Fault("Client", "ValidationFault", {"code": "UNDER_16"}), sdk.Refused("under_16")),
        (sdk.Fault("Client", "ValidationFault", {"code": "NEW"}), sdk.Refused("invalid")),
        (
            sdk.Fault("Server", "ServiceUnavailableFault", {"retryAfterSeconds": "9"}),
            sdk.Unavailable("service_unavailable", 9.0),
        ),
        (sdk.Fault("FailedAuthentication"), sdk.Unavailable("not_authorised")),
        (sdk.Fault("Server"), sdk.Uncertain("server_fault")),
        (sdk.Fault("Client"), sdk.Refused("rejected")),
    ],
)
def test_what_a_fault_means(fault: sdk.Fault, outcome: sdk.Outcome) -> None:
    assert ADAPTER.classify(sdk.Reply(500, {}, b"", fault=fault)) == outcome


def test_every_validation_code_has_a_sentence() -> None:
    assert set(VALIDATION.values()) <= set(CODES)


def test_a_polled_status_is_read() -> None:
    message = {
        "reference": KEY,
        "found": "true",
        "caseReference": "SSR-1",
        "status": "DECLINED",
        "declinedReason": "NO_CAPACITY",
        "updatedAt": "2026-03-02T10:30:00+00:00",
    }
    assert ADAPTER.read_update(sdk.Reply(200, message=message)) == sdk.Update(
        sdk.Status.DECLINED, delivery_key=KEY, reference="SSR-1", reason=sdk.Reason.NO_CAPACITY, at=AT
    )
