"""Delivered a second, by REST and by SOAP."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests
import zeep
import zeep.wsse.utils
from gateway_sdk import Adapter, Referral, RestRequest, SoapRequest
from zeep.wsse.username import UsernameToken

from gateway.embedded.supervisor import gateway
from gateway.policy import minimise
from tests.support import CREDENTIALS, HOUSING, SOCIAL_SECURITY, consent, referral

from .load import DELIVERED, DELIVERIES, HAND_WORKER, SENT_BY_HAND, THREADS, by_hand, rate_of
from .servers import Bench, process


def in_threads(send: Callable[[int], Any]) -> float:
    """Calls a second of *send*, on as many threads as the gateway has."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, range(-THREADS, 0)))
        started = time.monotonic()
        list(pool.map(send, range(DELIVERIES)))
        return DELIVERIES / (time.monotonic() - started)


def message(adapter: Adapter, agency: str, number: int) -> Any:
    """What the gateway would send, made without it."""
    whole = referral("con_00000000000000000", agency)
    view = minimise.keep(whole, agency, adapter.needs, frozenset(consent()["permits"][0]["categories"]))
    key = f"del_{number % 10**17:017d}"
    return adapter.translate(Referral(key, datetime.now(UTC), view, adapter.needs))


def bare_rest(bench: Bench) -> float:
    adapter, base, token = bench.agencies[HOUSING].adapter, bench.addresses[HOUSING], bench.token()
    sessions = [requests.Session() for _ in range(THREADS)]

    def send(number: int) -> None:
        request = message(adapter, HOUSING, uuid4().int)
        assert isinstance(request, RestRequest)
        headers = {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json",
            "Idempotency-Key": str(request.idempotency_key),
        }  # fmt: skip
        answer = sessions[number % THREADS].post(base + request.path, data=request.body(), headers=headers, timeout=10)
        assert answer.status_code == 201, answer.status_code

    return in_threads(send)


def bare_soap(bench: Bench) -> float:
    adapter, credentials = bench.agencies[SOCIAL_SECURITY].adapter, CREDENTIALS["social_security"]

    class Fresh(UsernameToken):  # type: ignore[misc]  # zeep has no types; it keeps nonce and time of the first call
        def apply(self, envelope: Any, headers: Any) -> Any:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            stamp = zeep.wsse.utils.WSU.Timestamp(
                zeep.wsse.utils.WSU("Created", now), zeep.wsse.utils.WSU("Expires", now)
            )
            token = UsernameToken(
                credentials["username"], credentials["password"], use_digest=True, timestamp_token=stamp
            )
            return token.apply(envelope, headers)

    client = zeep.Client(str(adapter.wsdl), wsse=Fresh("", ""))
    name = "{https://referral-gateway.example/social-security/v1}ReferralsSoap11"
    port = client.create_service(name, bench.addresses[SOCIAL_SECURITY])

    def send(number: int) -> None:
        request = message(adapter, SOCIAL_SECURITY, uuid4().int)
        assert isinstance(request, SoapRequest)
        port[request.operation](**request.message)

    return in_threads(send)


def hand_delivers(bench: Bench) -> float:
    """Delivered a second by the pipeline written by hand, from a queue that waits for its worker."""
    with by_hand(bench) as (environment, module):
        bodies = bench.bodies(1)
        with module.Session(module.ENGINE) as session:
            rows = [module.Row(id=f"del_{n:017d}", document=json.loads(bodies[0])) for n in range(DELIVERIES)]
            session.add_all(rows)
            session.commit()
            for number in range(DELIVERIES):
                module.send.delay(f"del_{number:017d}")
        with process(HAND_WORKER, environment):
            return rate_of(bench, SENT_BY_HAND, DELIVERIES)


def delivers(bench: Bench, agency: str, number: int = DELIVERIES) -> float:
    """Delivered a second by one delivery process, from a queue that waits for it."""
    bench.clear()
    bench.fill(number, agency)
    with process(gateway("worker"), bench.environment):
        return rate_of(bench, DELIVERED, number)
