"""One trace from the hub's request over two processes to the agencies' replies."""

from typing import Any
from uuid import uuid4

import pytest

from tests.collector import Collector, Seen
from tests.running import Gateway
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, consent, referral

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HUBS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "hub=CanaryState", "baggage": "name=CanaryBaggage"}


@pytest.fixture
def more(collector: Collector) -> dict[str, Any]:
    return {
        "otlp_endpoint": collector.url,
        "of_agencies": {name: {"traceparent": True} for name in (HOUSING, SOCIAL_SECURITY)},
    }


def submit(walk: Gateway, draft: dict[str, Any], **headers: str) -> str:
    answer = walk.call("POST", "/v1/referrals", json=draft, headers={"Idempotency-Key": str(uuid4()), **headers})
    identifier: str = answer.json()["id"]
    return identifier


def named(spans: list[Seen], name: str, trace: str = TRACE) -> list[Seen]:
    return [span for span in spans if (span.name, span.trace) == (name, trace)]


def received(walk: Gateway, agency: str) -> list[dict[str, str]]:
    """The headers of what *agency* was sent, tokens not counted."""
    return [each["headers"] for each in walk.agencies[agency].received if "oauth" not in each["path"]]


@pytest.mark.parametrize("house", ["servers"], indirect=True)
def test_one_trace_from_the_hub_to_the_agencies(walk: Gateway, collector: Collector) -> None:
    walk.agencies[HOUSING].fail_next("unavailable")
    identifier = submit(walk, referral(walk.consent(consent())), **HUBS)
    deliveries = {each["agency"]: each["id"] for each in walk.settled(identifier)["deliveries"]}
    spans = collector.wait(lambda spans: len(named(spans, "attempt")) == 4 and len(named(spans, "accept")) == 1)

    [accept] = named(spans, "accept")
    assert accept.parent == SPAN
    assert accept.told == {"gateway.outcome": "accepted", "gateway.referral": identifier}
    assert [span.parent for span in named(spans, "commit")] == [accept.id]
    assert {span.service for span in (accept, *named(spans, "commit"))} == {"referral-gateway-web"}

    attempts = sorted(named(spans, "attempt"), key=lambda span: span.began)
    for step in ("claim", "queue", "attempt"):
        assert {span.parent for span in named(spans, step)} == {accept.id}, step
        assert {span.service for span in named(spans, step)} == {"referral-gateway-delivery"}
        assert {(s.told["gateway.agency"], s.told["gateway.delivery"]) for s in named(spans, step)} == set(
            deliveries.items()
        )
    sends = {span.parent: span for span in named(spans, "wire.send")}
    assert set(sends) == {span.id for span in attempts}
    for span in attempts:
        send = sends[span.id]
        assert span.told["gateway.outcome"] == send.told["gateway.outcome"]
        assert span.began <= send.began <= send.ended <= span.ended
        assert (span.told["gateway.kind"], span.told["gateway.state"]) == ("referral", "sending")
    outcomes = [
        (s.told["gateway.outcome"], s.told.get("gateway.code")) for s in attempts if s.told["gateway.agency"] == HOUSING
    ]
    assert outcomes == [("unavailable", "HTTP 503"), ("delivered", None)]
    assert not [span for span in spans if span.failed]
    mine = [span for span in spans if span.told.get("gateway.delivery") == deliveries[HEALTH] and span.trace == TRACE]
    way = [span for step in ("claim", "queue", "attempt") for span in mine if span.name == step]
    assert [span.name for span in sorted(way, key=lambda span: span.began)] == ["claim", "queue", "attempt"]

    for agency in (HOUSING, SOCIAL_SECURITY):
        [took] = [
            s for s in sends.values() if (s.told["gateway.agency"], s.told["gateway.outcome"]) == (agency, "delivered")
        ]
        assert f"00-{TRACE}-{took.id}-01" in {headers.get("traceparent") for headers in received(walk, agency)}
    assert not [headers for headers in received(walk, HEALTH) if "traceparent" in headers]  # its settings do not say so
    everything = str([simulator.received for simulator in walk.agencies.simulators.values()])
    for mark in ("tracestate", "baggage", "CanaryState", "CanaryBaggage"):
        assert mark not in everything
        assert mark.encode() not in collector.raw
    assert SPAN not in everything  # an agency learns nothing that the hub chose but the trace's id


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
def test_what_is_not_asked_for_is_a_trace_of_its_own(walk: Gateway, collector: Collector) -> None:
    agreed = walk.consent(consent())
    odd = [{}, {"traceparent": "00-CanaryTrace"}, {"traceparent": f"00-{'0' * 22}1705941265-{SPAN}-01"}]
    for headers in odd:
        walk.settled(submit(walk, referral(agreed, SOCIAL_SECURITY), **headers))
    refused = walk.call(
        "POST", "/v1/referrals", json=referral(agreed, subject="GLA-8888"), headers={"Idempotency-Key": "k", **HUBS}
    )
    assert refused.status_code == 403
    spans = collector.wait(
        lambda spans: (
            len([s for s in spans if s.name == "accept"]) == 4
            and {"delivered"} <= {s.told.get("gateway.state") for s in spans}
        )
    )
    accepts = [span for span in spans if span.name == "accept"]
    assert len({span.trace for span in accepts}) == 4
    assert [span.told for span in accepts if span.trace == TRACE] == [
        {"gateway.outcome": "refused", "gateway.code": "consent-missing"}
    ]
    assert all(not span.parent for span in accepts if span.trace != TRACE)
    polls = [span for span in spans if span.told.get("gateway.state") == "delivered"]
    assert all(not span.parent and span.trace not in {accept.trace for accept in accepts} for span in polls)
    assert b"1705941265" not in collector.raw
