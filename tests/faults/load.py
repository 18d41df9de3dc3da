"""What good hubs do, whatever happens: the same Idempotency-Key again until there is an answer."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self
from uuid import uuid4

import requests

from tests.running import Gateway

from .agencies import BENEFITS, COUNCIL, PLAIN, agreed, draft

HUBS = 4
WOMEN = 5  # who are referred again and again
PAUSE = 0.4  # seconds between two referrals of a hub
PATIENCE = 90.0  # seconds for which a hub tries
ASKED = [(COUNCIL,), (BENEFITS,), (PLAIN,), (COUNCIL, BENEFITS, PLAIN)]
WEATHER = [
    (COUNCIL, "unavailable"),
    (BENEFITS, "drop"),
    (PLAIN, "unavailable"),
    (COUNCIL, "drop"),
    (BENEFITS, "unavailable"),
]


class NoAnswer(Exception):
    """A hub tried for long enough."""


@dataclass
class Submitted:
    """A referral that a hub has a 202 for. *deliveries*: ``{agency: id}``. *withdrawn*: she was told that it is."""

    mark: str
    id: str
    deliveries: dict[str, str]
    withdrawn: bool = False


@dataclass
class Load:
    """Hubs that submit while the block runs; at its end each has an answer for what it began.

    Each referral is told by a mark of its own, goes to one agency or to all three, and every sixth
    consent is withdrawn on the way. The agencies have bad moments of their own.
    """

    gateway: Gateway
    submitted: list[Submitted] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    _agreed: dict[str, str] = field(default_factory=dict)  # {woman: the consent that is hers}
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._numbers, self._agreed = count(1), {}
        self._threads = [threading.Thread(target=self._hub, daemon=True, name=f"hub {n}") for n in range(HUBS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _hub(self) -> None:
        while not self._over.is_set():
            number, mark = next(self._numbers), f"mark-{uuid4().hex[:12]}"
            try:
                self._refer(number, mark)
            except (NoAnswer, AssertionError) as error:
                self.unanswered.append(f"{mark}: {error}")
            self._over.wait(PAUSE)

    def _refer(self, number: int, mark: str) -> None:
        if number % 4 == 0:
            agency, fault = WEATHER[number // 4 % len(WEATHER)]
            if not self.gateway.agencies[agency].faults:
                self.gateway.agencies[agency].fail_next(fault)
        withdraws = number % 6 == 0
        woman = f"GLA-{number}" if withdraws else f"GLA-EVERY{number % WOMEN}"
        consent = self._agreed.get(woman) or self._consent(woman)
        body = draft(consent, ASKED[number % len(ASKED)], mark, woman)
        answer = self._insist("POST", "/v1/referrals", 202, json=body, headers={"Idempotency-Key": mark})
        taken = Submitted(mark, answer["id"], answer["deliveries"])
        self.submitted.append(taken)
        if withdraws:
            time.sleep(random.random() * 0.3)
            self._insist("POST", f"/v1/consents/{consent}/withdraw", 200)
            taken.withdrawn = True

    def _consent(self, woman: str) -> str:
        identifier: str = self._insist("POST", "/v1/consents", 201, json=agreed(woman))["id"]
        self._agreed[woman] = identifier
        return identifier

    def _insist(self, method: str, path: str, wanted: int, **more: Any) -> Any:
        """The answer, as JSON. Raises NoAnswer, and AssertionError for one that more patience would not mend."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                answer = self.gateway.call(method, path, **more)
            except requests.RequestException:
                time.sleep(0.1)
                continue
            if answer.status_code == wanted:
                return answer.json()
            assert answer.status_code >= 500, f"{method} {path} answered {answer.status_code}: {answer.text}"
            time.sleep(0.1)
        raise NoAnswer(f"{method} {path}: no answer in {PATIENCE:.0f} s")


def under_way(load: Load, least: int, patience: float = 30) -> None:
    """Wait until *least* referrals of *load* are taken."""
    wait_for(lambda: len(load.submitted) >= least, f"{least} referrals taken", patience)


def wait_for(condition: Callable[[], Any], what: str, patience: float) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"not in {patience:.0f} s: {what}"
        time.sleep(0.05)
