"""A whole gateway in processes of its own, and a hub's way to it."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import yaml
from gateway_client import Client
from gateway_client.answers import Referral

from gateway.embedded.supervisor import gateway, wait_ready
from gateway.store import callers
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.support import Agencies


def free_port() -> int:
    """A port that stays free while its server restarts: not one of those that the system gives to clients."""
    while True:
        port = random.randint(12_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
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
        self.run(name, gateway(*arguments))

    def run(self, name: str, command: Sequence[str]) -> None:
        assert name not in self.processes or self.processes[name].poll() is not None, f"{name} is running"
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        self.processes[name].terminate()
        return self.processes[name].wait(30)

    def end(self) -> None:
        """Stop every process; kill what does not listen."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, method: str, path: str, key: str | None = None, **more: Any) -> requests.Response:
        """A request as no hub should make it."""
        headers = {"Authorization": f"Bearer {key or self.key}", **more.pop("headers", {})}
        return requests.request(method, self.base + path, headers=headers, timeout=20, **more)

    @cached_property
    def hub(self) -> Client:
        """What a hub uses."""
        return Client(self.base, self.key, patience=20)

    def consent(self, document: dict[str, Any]) -> str:
        return self.hub.record_consent(document)["id"]

    def submit(self, draft: dict[str, Any]) -> str:
        return self.hub.submit(draft)["id"]

    def referral(self, identifier: str) -> Referral:
        return self.hub.referral(identifier)

    def wait(self, what: str, condition: Callable[[], Any], patience: float = 40) -> Any:
        """What *condition* returns, once it is true."""
        until = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < until, f"not in {patience} s: {what}\n{self.log.read_text()[-2000:]}"
            time.sleep(0.05)
        return found

    def settled(self, identifier: str) -> Referral:
        """The referral once all its deliveries have ended."""
        ends = {"delivered", "refused", "dead", "withdrawn"}
        found: Referral = self.wait(
            f"{identifier} settled",
            lambda: (r := self.referral(identifier)) and all(d["state"] in ends for d in r["deliveries"]) and r,
        )
        return found


@contextmanager
def running(
    database: str,
    agencies: Agencies,
    settings: Mapping[str, Any],
    folder: Path,
    workers: Sequence[str] = ("delivery",),
    reach: str | None = None,
    environment: Mapping[str, str] = os.environ,
    kind: type[Gateway] = Gateway,
) -> Iterator[Any]:
    """A ready gateway: a process ``web``, and one for each name of *workers*; stopped at the end.

    *settings* names its port. *database* is for us; its processes *reach* it at another address, if given.
    """
    base, key = f"http://127.0.0.1:{settings['port']}", generate()
    config = folder / "gateway.yaml"
    config.write_text(yaml.safe_dump(dict(settings)))
    variables = {
        **environment,
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_DATABASE_URL": reach or database,
        "GATEWAY_MASTER_KEY": key,
    }
    with closing(Store(database, Vault(key), 4).open()) as store:
        house = kind(base, store, agencies, variables, log=folder / "gateway.log")
        with store.begin() as tx:
            house.key = callers.add_hub(tx, "glasgow-hub", by="test")
        try:
            house.start("web", "serve")
            for name in workers:
                house.start(name, "worker")
            assert wait_ready(base + "/readyz", 60), house.log.read_text()
            yield house
        finally:
            house.end()
