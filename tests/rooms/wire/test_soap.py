"""SOAP against a service that is not built on zeep, and against hostile XML."""

import re
from importlib.resources import files
from typing import Any

import gateway_sdk as sdk
import pytest
from gateway_social_security import SocialSecurity
from gateway_social_security.simulator import (
    DEMO_PASSWORD,
    DEMO_USERNAME,
    NS,
    SocialSecuritySimulator,
    element,
    envelope,
)

from gateway import wire
from gateway.errors import MaybeSent, NotSent
from gateway.wire import Target
from tests.rooms.wire.hostile import always, reply, serving

ASK = sdk.SoapRequest("GetReferralStatus", {"reference": "del_0000000000000000A"})
GOOD = element("GetReferralStatusResponse", reference="del_0000000000000000A", found="false")
DEEP = "<a>" * 5000 + "</a>" * 5000


def target(url: str, password: str = DEMO_PASSWORD) -> Target:
    credentials = {"username": DEMO_USERNAME, "password": password}
    return Target("agency", url, SocialSecurity.auth, credentials, SocialSecurity.wsdl, deadline=2, max_reply=200_000)


def answered(body: bytes, status: str = "200 OK", kind: str = "text/xml; charset=utf-8") -> sdk.Reply:
    with serving(always(reply(body, status, kind))) as server:
        return wire.send(ASK, target(server.url))


def test_a_call_is_understood_by_another_stack() -> None:
    with SocialSecuritySimulator() as simulator:
        found = wire.send(ASK, target(simulator.base_url()))
    assert (found.status, found.message) == (200, {"reference": "del_0000000000000000A", "found": "false"})


def test_a_wrong_password_is_a_security_fault() -> None:
    with SocialSecuritySimulator() as simulator:
        found = wire.send(ASK, target(simulator.base_url(), "wrong"))
    assert found.fault == sdk.Fault("FailedAuthentication")


def test_every_call_has_a_nonce_of_its_own_and_no_password() -> None:
    with serving(always(reply(envelope(GOOD), "200 OK", "text/xml"))) as server:
        for _ in range(3):
            wire.send(ASK, target(server.url))
    nonces = {re.search(rb"Nonce[^>]*>([^<]+)<", request)[1] for request in server.requests}  # type: ignore[index]
    assert len(nonces) == 3
    assert all(DEMO_PASSWORD.encode() not in request and b"PasswordDigest" in request for request in server.requests)
    assert all(f'SOAPAction: "{NS}/GetReferralStatus"'.encode() in request for request in server.requests)


def test_a_typed_fault_keeps_code_and_fields_and_drops_its_text() -> None:
    detail = element("ValidationFault", code="UNDER_16", path="/person")
    fault = (
        f"<s:Fault><faultcode>s:Client</faultcode><faultstring>CANARY</faultstring><detail>{detail}</detail></s:Fault>"
    )
    found = answered(envelope(fault), "500 Internal Server Error")
    assert found.fault == sdk.Fault("Client", "ValidationFault", {"code": "UNDER_16", "path": "/person"})
    assert "CANARY" not in repr(found.fault)


def test_a_soap_1_2_fault_is_read() -> None:
    soap12 = "http://www.w3.org/2003/05/soap-envelope"
    body = (
        f'<e:Envelope xmlns:e="{soap12}"><e:Body><e:Fault><e:Code><e:Value>e:Receiver</e:Value></e:Code>'
        "<e:Reason><e:Text>CANARY</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"
    )
    assert answered(body.encode(), "500 Error", "application/soap+xml").fault == sdk.Fault("Receiver")


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_a_page_of_html_is_no_fault_and_no_message(status: str) -> None:
    found = answered(b"<html><body>Down</body></html>", status, "text/html")
    assert (found.message, found.fault) == (None, None)


HOSTILE: dict[str, bytes] = {
    "entity": b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + envelope(GOOD.replace("false", "&e;"))[21:],
    "billion laughs": b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + envelope(GOOD)[21:],
    "external DTD": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">' + envelope(GOOD)[21:],
    "XInclude": envelope(
        '<x xmlns="urn:x"><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/></x>'
    ),
    "deep nesting": envelope(DEEP),
    "wrong namespace": envelope(GOOD.replace(NS, "urn:other")),
    "missing element": envelope(element("GetReferralStatusResponse", reference="del_0000000000000000A")),
    "unknown element": envelope(
        element("GetReferralStatusResponse", reference="del_0000000000000000A", found="true", extra="x")
    ),
    "wrong type": envelope(element("GetReferralStatusResponse", reference="del_0000000000000000A", found="perhaps")),
    "two contents": envelope(GOOD + GOOD),
    "no content": envelope(""),
    "truncated": envelope(GOOD)[:-20],
    "not XML": b"hello",
    "empty": b"",
    "not an envelope": GOOD.encode(),
    "huge text": envelope(GOOD.replace("false", "x" * 150_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_replies_are_unreadable(name: str) -> None:
    with pytest.raises(MaybeSent) as caught:
        answered(HOSTILE[name])
    assert caught.value.code == "reply_unreadable"


@pytest.mark.parametrize(
    "request_",
    [
        sdk.SoapRequest("NoSuchOperation", {}),
        sdk.SoapRequest("GetReferralStatus", {"no_such_part": "CANARY"}),
        sdk.SoapRequest("SubmitReferral", {"reference": "x"}),
    ],
    ids=["operation", "part", "incomplete"],
)
def test_what_the_wsdl_does_not_know_is_not_sent(request_: sdk.SoapRequest) -> None:
    with serving(always(reply())) as server:
        with pytest.raises(NotSent) as caught:
            wire.send(request_, target(server.url))
        assert (caught.value.code, server.connections) == ("request_unbuildable", 0)
        assert "CANARY" not in str(caught.value)


def test_a_wsdl_is_never_fetched(tmp_path: Any) -> None:
    text = files("gateway_social_security").joinpath("wsdl", "referrals-v1.wsdl").read_text()
    with serving(always(reply())) as server:
        away = tmp_path / "away.wsdl"
        away.write_text(text.replace("referrals-v1.xsd", f"{server.url}/stolen.xsd"))
        spoilt = Target("agency", server.url, wsdl=away)
        with pytest.raises(NotSent):
            wire.send(ASK, spoilt)
        assert server.connections == 0
