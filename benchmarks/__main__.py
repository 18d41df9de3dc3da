"""``make bench``: how fast referrals are accepted and delivered, beside the bare libraries in the same run."""

import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests
import yaml
import zeep
import zeep.wsse.utils
from gateway_sdk import Adapter, Referral, RestRequest, SoapRequest
from rich.console import Console
from rich.table import Table
from zeep.wsse.username import UsernameToken

from gateway import intake, plugins, settings
from gateway.embedded import Postgres
from gateway.embedded.supervisor import gateway, wait_ready
from gateway.policy import minimise
from gateway.store import callers, consents, schema
from gateway.store.callers import Caller
from gateway.store.session import Store
from gateway.vault import Vault, generate
from samples.demo import CREDENTIALS, free_port
from tests.support import HOUSING, SOCIAL_SECURITY, consent, referral

THREADS = 16
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
DELIVERIES = int(os.environ.get("BENCH_DELIVERIES", "600"))
HUB = Caller("glasgow-hub")


@contextmanager
def process(command: list[str], environment: Mapping[str, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(command, env=dict(environment), text=True, **more)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)
        if running.stdout:
            running.stdout.close()


def simulators(stack: ExitStack) -> dict[str, str]:
    """Addresses of one council and one social security agency, each in a process of its own."""
    found = {}
    for module, site in (
        ("gateway_housing.simulator", HOUSING),
        ("gateway_social_security.simulator", SOCIAL_SECURITY),
    ):
        command = [sys.executable, "-m", module, "--site", site]
        running = stack.enter_context(process(command, os.environ, stdout=subprocess.PIPE))
        assert running.stdout is not None
        found[site] = running.stdout.readline().split(" on ")[1].split(",")[0] + f"/{site}"
    return found


def rate(port: int, path: str, headers: Mapping[str, str], body: bytes) -> float:
    """Answers a second, from eight connections, for some seconds."""

    def pull(_: int) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", port), 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            connection.request("POST", path, body, {**headers, "Idempotency-Key": uuid4().hex})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        return sum(pool.map(pull, range(8))) / (time.monotonic() - started)


def accepts(environment: Mapping[str, str], store: Store) -> dict[str, float]:
    """Accepted a second: the gateway, and the bare framework without and with a row."""
    with store.begin() as tx:
        key = callers.add_hub(tx, HUB.hub, by="bench")
        agreed = consents.save(tx, consent(), hub=HUB.hub)
        tx.run("CREATE TABLE IF NOT EXISTS one_row (id bigint GENERATED ALWAYS AS IDENTITY, document text)")
    body = json.dumps(referral(agreed, HOUSING)).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    found = {}
    bare, port = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.bare:app",
        "--port",
        str(bare),
        "--no-access-log",
        "--log-level",
        "error",
    ]
    with process(command, environment):
        wait_ready(f"http://127.0.0.1:{bare}/openapi.json", 20)
        found["bare FastAPI, parses only"] = rate(bare, "/parse", headers, body)
        found["bare FastAPI, commits one row"] = rate(bare, "/row", headers, body)
    with process(gateway("serve"), {**environment, "GATEWAY_PORT": str(port)}):
        wait_ready(f"http://127.0.0.1:{port}/readyz", 20)
        found["the gateway"] = rate(port, "/v1/referrals", headers, body)
    return found


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


def bare_rest(base: str, adapter: Adapter) -> float:
    credentials = CREDENTIALS["housing"]
    form = {"grant_type": "client_credentials"}
    auth = (credentials["client_id"], credentials["client_secret"])
    token = requests.post(f"{base}/oauth/token", data=form, auth=auth, timeout=5).json()["access_token"]
    sessions = [requests.Session() for _ in range(THREADS)]

    def send(number: int) -> None:
        request = message(adapter, HOUSING, uuid4().int)
        assert isinstance(request, RestRequest)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(request.idempotency_key),
        }
        answer = sessions[number % THREADS].post(base + request.path, data=request.body(), headers=headers, timeout=10)
        assert answer.status_code == 201, answer.status_code

    return in_threads(send)


def bare_soap(base: str, adapter: Adapter) -> float:
    credentials = CREDENTIALS["social_security"]

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
    port = client.create_service("{https://referral-gateway.example/social-security/v1}ReferralsSoap11", base)

    def send(number: int) -> None:
        request = message(adapter, SOCIAL_SECURITY, uuid4().int)
        assert isinstance(request, SoapRequest)
        port[request.operation](**request.message)

    return in_threads(send)


def delivers(
    environment: Mapping[str, str], store: Store, agency: str, agencies: Mapping[str, plugins.Agency]
) -> float:
    """Delivered a second by one delivery process, from a queue that waits for it."""
    with store.begin() as tx:
        callers.add_hub(tx, HUB.hub, by="bench")
        agreed = consents.save(tx, consent(), hub=HUB.hub)
    for _ in range(DELIVERIES):
        draft = referral(agreed, agency)
        intake.submit(store, agencies, draft, json.dumps(draft).encode(), uuid4().hex, HUB)

    def delivered() -> tuple[int, Any, Any]:
        with store.begin() as tx:
            row = tx.one(
                "SELECT count(*) AS n, min(at) AS first, max(at) AS last FROM attempts WHERE outcome = 'delivered'"
            )
        assert row is not None
        return row["n"], row["first"], row["last"]

    before = delivered()[0]
    with store.begin() as tx:
        since = tx.now()
    with process(gateway("worker"), environment):
        while delivered()[0] < before + DELIVERIES:
            time.sleep(0.05)
    with store.begin() as tx:
        row = tx.one("SELECT min(at) AS first, max(at) AS last FROM attempts WHERE at > %(since)s", {"since": since})
    assert row is not None
    return DELIVERIES / float((row["last"] - row["first"]).total_seconds())


def table(title: str, found: Mapping[str, float], against: str) -> None:
    shown = Table(title=title, title_justify="left")
    for column in ("", "a second", "the gateway against it"):
        shown.add_column(column, justify="left" if not column else "right")
    for name, value in found.items():
        shown.add_row(name, f"{value:,.0f}", "" if name == against else f"{found[against] / value:.2f}")
    Console(width=90).print(shown)


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-bench-")))
        server = Postgres(folder)
        stack.callback(server.destroy)
        server.start()
        schema.upgrade(server.url)
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        print(
            f"PostgreSQL {row[0] if row else '?'}, fsync on; the servers, the clients and the simulators share these cores"
        )
        addresses = simulators(stack)
        adapters = {HOUSING: "housing", SOCIAL_SECURITY: "social_security"}
        agencies = {
            name: {
                "adapter": adapters[name],
                "base_url": url,
                "areas": ["glasgow"],
                "credentials": CREDENTIALS[adapters[name]],
                "window": 64,
            }
            for name, url in addresses.items()
        }
        config = folder / "gateway.yaml"
        config.write_text(yaml.safe_dump({"agencies": agencies, "log_level": "ERROR", "tick": "0.02s", "poll": ["1h"]}))
        key = generate()
        environment = {
            **os.environ,
            "GATEWAY_CONFIG": str(config),
            "GATEWAY_DATABASE_URL": server.url,
            "GATEWAY_MASTER_KEY": key,
        }
        os.environ["GATEWAY_CONFIG"] = str(config)
        loaded = plugins.load(settings.load())
        store = Store(server.url, Vault(key), 4).open()
        stack.callback(store.close)
        table(
            "Accepted: validated, consent-checked, sealed, audited, committed",
            accepts(environment, store),
            "the gateway",
        )
        with store.begin() as tx:
            tx.run("TRUNCATE deliveries, attempts, idempotency CASCADE")
        for agency, bare, what in (
            (HOUSING, bare_rest, "REST: bare requests"),
            (SOCIAL_SECURITY, bare_soap, "SOAP: bare zeep"),
        ):
            found = {f"{what}, {THREADS} threads": bare(addresses[agency], loaded[agency].adapter)}
            found["the gateway"] = delivers(environment, store, agency, loaded)
            table(
                "Delivered: claimed, consent checked again, opened, minimised, sent, settled, audited",
                found,
                "the gateway",
            )


if __name__ == "__main__":
    main()
