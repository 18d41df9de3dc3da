"""A whole gateway in processes of its own, on the embedded parts or on PostgreSQL and RabbitMQ."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import yaml

from gateway.embedded.supervisor import gateway, wait_ready
from gateway.store import callers
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests import servers
from tests.support import Agencies, agencies_running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Gateway:
    """The running processes, and a hub's way to them."""

    base: str
    store: Store
    agencies: Agencies
    environment: dict[str, str]
    key: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    log: Path = Path(os.devnull)

    def start(self, name: str, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(gateway(*arguments), env=self.environment, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        self.processes[name].terminate()
        return self.processes[name].wait(30)

    def call(self, method: str, path: str, key: str | None = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", **more.pop("headers", {})}
        return requests.request(method, self.base + path, headers=headers, timeout=20, **more)

    def consent(self, document: dict[str, Any]) -> str:
        answer = self.call("POST", "/v1/consents", json=document)
        assert answer.status_code == 201, answer.text
        identifier: str = answer.json()["id"]
        return identifier

    def submit(self, draft: dict[str, Any]) -> str:
        answer = self.call("POST", "/v1/referrals", json=draft, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 202, answer.text
        identifier: str = answer.json()["id"]
        return identifier

    def referral(self, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/referrals/{identifier}").json()
        return found

    def wait(self, what: str, condition: Callable[[], Any], patience: float = 40) -> Any:
        """What *condition* returns, once it is true."""
        until = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < until, f"not in {patience} s: {what}\n{self.log.read_text()[-2000:]}"
            time.sleep(0.05)
        return found

    def settled(self, identifier: str) -> dict[str, Any]:
        """The referral once all its deliveries have ended."""
        ends = {"delivered", "refused", "dead", "withdrawn"}
        found: dict[str, Any] = self.wait(
            f"{identifier} settled",
            lambda: (r := self.referral(identifier)) and all(d["state"] in ends for d in r["deliveries"]) and r,
        )
        return found


@pytest.fixture(params=["embedded", "servers"])
def house(request: pytest.FixtureRequest) -> str:
    """Which parts: the embedded ones, or PostgreSQL and RabbitMQ with two workers."""
    kind: str = request.param
    if kind == "servers":
        servers.require(servers.POSTGRES, servers.RABBITMQ)
    return kind


@pytest.fixture
def walk(house: str, new_database: Callable[[], str], tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with its web process and its delivery processes running, and simulators that call back."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        agencies = stack.enter_context(agencies_running(callback_base=base))
        if house == "embedded":
            url, broker, workers = new_database(), {}, ["delivery"]
        else:
            url = stack.enter_context(servers.database())
            broker = {"broker_url": servers.RABBITMQ, "broker_queue": stack.enter_context(servers.queue())}
            workers = ["delivery", "delivery-2"]
        config = tmp_path / "gateway.yaml"
        config.write_text(yaml.safe_dump(agencies.settings(port=port, lease="4s", **broker)))
        key = generate()
        environment = {
            **os.environ,
            "GATEWAY_CONFIG": str(config),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_MASTER_KEY": key,
        }
        store = stack.enter_context(closing(Store(url, Vault(key), 4).open()))
        running = Gateway(base, store, agencies, environment, log=tmp_path / "gateway.log")
        with store.begin() as tx:
            running.key = callers.add_hub(tx, "glasgow-hub", by="test")
        running.start("web", "serve")
        stack.callback(end, running)
        for name in workers:
            running.start(name, "worker")
        assert wait_ready(base + "/readyz", 20), running.log.read_text()
        yield running


def end(running: Gateway) -> None:
    for process in running.processes.values():
        process.terminate()
    for process in running.processes.values():
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
