"""What every benchmark needs: a durable PostgreSQL of its own, agencies, processes, and referrals to send."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import kombu
import requests
import yaml

from gateway import intake, plugins, settings
from gateway.embedded import Postgres
from gateway.store import audit, callers, consents, events, figures, schema
from gateway.store.callers import Caller
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.support import CREDENTIALS, HOUSING, SOCIAL_SECURITY, consent, referral, switch_on

HUB = Caller("glasgow-hub")
BROKER = os.environ.get("GATEWAY_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")
ADAPTERS = {HOUSING: "housing", SOCIAL_SECURITY: "social_security"}


def broker_answers() -> bool:
    parts = urlsplit(BROKER)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 5672), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def queue(name: str) -> Iterator[None]:
    """Removed at the end."""
    try:
        yield
    finally:
        with kombu.Connection(BROKER) as connection:
            connection.default_channel.queue_delete(name)


@contextmanager
def process(command: list[str], environment: Mapping[str, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
    running = subprocess.Popen(command, env=dict(environment), text=True, **more)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)
        if running.stdout:
            running.stdout.close()


@dataclass
class Bench:
    """A gateway's surroundings. *addresses*: ``{agency: base_url}``."""

    server: Postgres
    folder: Path
    addresses: Mapping[str, str]
    environment: dict[str, str]
    agencies: Mapping[str, plugins.Agency]
    store: Store
    key: str  # of the hub

    def consents(self, count: int) -> dict[str, str]:
        """As many women, each with a consent of her own: ``{subject: consent}``."""
        subjects = [f"GLA-{number}" for number in range(count)]
        with self.store.begin() as tx:
            return {one: consents.save(tx, consent(subject=one), hub=HUB.hub) for one in subjects}

    def bodies(self, count: int, agency: str = HOUSING) -> list[bytes]:
        return [
            json.dumps(referral(agreed, agency, subject=subject)).encode()
            for subject, agreed in self.consents(count).items()
        ]

    def fill(self, count: int, agency: str) -> None:
        """Accept *count* referrals to *agency*, to wait for a delivery process."""
        submissions = [
            intake.read(self.agencies, json.loads(body), body, uuid4().hex, HUB) for body in self.bodies(count, agency)
        ]
        for place in range(0, count, 64):
            intake.take(self.store, submissions[place : place + 64])

    def clear(self) -> None:
        """Forget what there is to deliver, and do what the clock would have done of what was measured before."""
        with self.store.begin() as tx:
            while audit.link(tx):
                pass
            events.place(tx)
            figures.fold(tx)
            tx.run("SET LOCAL ROLE NONE")  # as the tables' owner
            tx.run("TRUNCATE deliveries, attempts, idempotency CASCADE")

    def token(self) -> str:
        """Of the council's interface."""
        credentials = CREDENTIALS["housing"]
        answer = requests.post(
            f"{self.addresses[HOUSING]}/oauth/token", data={"grant_type": "client_credentials"}, timeout=5,
            auth=(credentials["client_id"], credentials["client_secret"]),
        )  # fmt: skip
        return str(answer.json()["access_token"])


@contextmanager
def running() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-bench-")))
        server = Postgres(folder)
        stack.callback(server.destroy)
        server.start()
        schema.upgrade(server.url)
        switch_on(server.url)
        addresses = _simulators(stack)
        agencies = {
            name: {
                "adapter": ADAPTERS[name], "base_url": url, "areas": ["glasgow"],
                "credentials": CREDENTIALS[ADAPTERS[name]], "window": 64,
            }
            for name, url in addresses.items()
        }  # fmt: skip
        config = folder / "gateway.yaml"
        chosen = {"agencies": agencies, "log_level": "ERROR", "tick": "0.05s", "poll": ["1h"]}
        config.write_text(yaml.safe_dump({**chosen, "rates": {"calls_a_minute": 10**9}}))
        os.environ["GATEWAY_CONFIG"] = str(config)
        secret = generate()
        environment = {**os.environ, "GATEWAY_DATABASE_URL": server.url, "GATEWAY_MASTER_KEY": secret}
        store = Store(server.url, Vault(secret), 4).open()
        stack.callback(store.close)
        with store.begin() as tx:
            key = callers.add_hub(tx, HUB.hub, by="bench")
            tx.run("SET LOCAL ROLE NONE")
            tx.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO gateway_work")  # of what is compared with, too
            tx.run("CREATE TABLE one_row (id bigint GENERATED ALWAYS AS IDENTITY, document text)")
        yield Bench(server, folder, addresses, environment, plugins.load(settings.load()), store, key)


def _simulators(stack: ExitStack) -> dict[str, str]:
    """One council and one social security agency, each in a process of its own."""
    found = {}
    for module, site in (
        ("gateway_housing.simulator", HOUSING),
        ("gateway_social_security.simulator", SOCIAL_SECURITY),
    ):
        command = [sys.executable, "-m", module, "--site", site]
        simulator = stack.enter_context(process(command, os.environ, stdout=subprocess.PIPE))
        assert simulator.stdout is not None
        found[site] = simulator.stdout.readline().split(" on ")[1].split(",")[0] + f"/{site}"
    return found
