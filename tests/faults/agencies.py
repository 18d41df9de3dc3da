"""Three agencies of three characters, which remember what they were handed, and by which mark.

``COUNCIL`` honours the delivery key and calls back, ``BENEFITS`` can be asked, ``PLAIN`` has neither.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gateway_housing.simulator import HousingSimulator
from gateway_sdk import Status
from gateway_sdk.simulator import Case, Incoming, Response, Simulator
from gateway_social_security.simulator import SocialSecuritySimulator

from tests.support import (
    ALL_CATEGORIES,
    AREAS,
    CREDENTIALS,
    HOUSING,
    SOCIAL_SECURITY,
    SUBJECT,
    Agencies,
    consent,
    referral,
)

from .plain import PlainSimulator

COUNCIL, BENEFITS, PLAIN = HOUSING, SOCIAL_SECURITY, "night-shelter"
ADAPTERS = {COUNCIL: "housing", BENEFITS: "social_security", PLAIN: "plain"}
DEADLINE = 2  # seconds
MARK = re.compile(r"mark-[0-9a-f]{12}")


class Noting(Simulator):
    """Remembers each case by the mark in its text, also when the document is forgotten later."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.noted: dict[str, list[Case]] = defaultdict(list)
        self.slow = 0.0  # seconds it takes over an answer

    def respond(self, request: Incoming) -> tuple[Response, str | None]:
        answer = super().respond(request)
        time.sleep(self.slow)
        return answer

    def take(self, site: str, key: str, reference: str, document: Any) -> tuple[Case, bool]:
        case, new = super().take(site, key, reference, document)
        if new:
            [mark] = set(MARK.findall(json.dumps(document)))
            self.noted[mark].append(case)
        return case, new

    def held(self, mark: str) -> int:
        """How many cases it opened for one referral."""
        return len(self.noted[mark])


class Council(Noting, HousingSimulator):
    """A resend under the same key is the same case to it. It calls back until it is heard."""

    pauses = (0.2,) * 500


class Benefits(Noting, SocialSecuritySimulator):
    """A resend is told from the first by its reference, and counted: nobody should need to resend."""

    def held(self, mark: str) -> int:
        return sum(case.times for case in self.noted[mark])


class Plain(Noting, PlainSimulator):
    """A resend is another case to it."""


@contextmanager
def running(callback_base: str) -> Iterator[Agencies]:
    """The three on loopback; the council accepts what it gets, and says so by callback."""
    with ExitStack() as stack:
        council = Council((COUNCIL,), callback_base, auto=(Status.ACCEPTED,), auto_delay=0.1)
        found = {COUNCIL: council, BENEFITS: Benefits((BENEFITS,)), PLAIN: Plain((PLAIN,))}
        for simulator in found.values():
            stack.enter_context(simulator)
        yield Agencies(found)


def settings(agencies: Agencies, addresses: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """Settings for them with short pauses, but patient enough that nothing is given up. *addresses*: other than their own."""
    configured = {
        name: {
            "adapter": adapter,
            "base_url": addresses.get(name, agencies[name].base_url(name)),
            "areas": AREAS,
            "credentials": CREDENTIALS.get(adapter, {}),
            "deadline": f"{DEADLINE}s",
            "breaker_pause": "1s",
        }
        for name, adapter in ADAPTERS.items()
    }
    patient = ["0.3s"] * 10 + ["1s"] * 60
    quick = {
        "retry": patient, "retry_least": "0.3s", "retry_most": "1s", "ask": patient, "poll": ["0.5s", "1h"],
        "tick": "0.05s", "lease": "2.5s", "webhooks": {"deadline": f"{DEADLINE}s"},
        "rates": {"calls_a_minute": 1_000_000},
    }  # fmt: skip
    return {**quick, "agencies": configured, **changes}


def install(folder: Path) -> None:
    """The plain adapter as an installed distribution: the gateway loads adapters by entry point only."""
    info = folder / "gateway_plain-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-plain\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[referral_gateway.adapters]\nplain = tests.faults.plain\n")


def agreed(subject: str = SUBJECT) -> dict[str, Any]:
    """A consent record for all three."""
    record = consent(subject=subject)
    shelter = {"recipients": [PLAIN], "purposes": ["housing"], "categories": ALL_CATEGORIES}
    return {**record, "permits": [*record["permits"], shelter]}


def draft(consent_id: str, asked: tuple[str, ...], mark: str, subject: str = SUBJECT) -> dict[str, Any]:
    """A referral to *asked*, told by its *mark*."""
    whole = referral(consent_id, *ADAPTERS.keys() - {PLAIN}, subject=subject)
    plain = {"agency": PLAIN, "purpose": "housing"}
    whole["requests"] = [
        {**request, "ask": f"A safe place ({mark})."}
        for request in [*whole["requests"], plain]
        if request["agency"] in asked
    ]
    return whole
