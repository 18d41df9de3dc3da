"""What several tests need: the simulators, their configuration, and documents to send."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from gateway_housing import simulator as housing
from gateway_nhs import simulator as nhs
from gateway_sdk.simulator import Simulator
from gateway_social_security import simulator as social_security

from gateway.delivery import attempt, beginning
from gateway.delivery.room import PostRoom
from gateway.delivery.stages import Ask, Send
from gateway.policy.places import Phase
from gateway.store import attempts, directory
from gateway.store.session import Store, Tx
from gateway.vault import Vault, generate

HOUSING, SOCIAL_SECURITY, HEALTH = "glasgow-housing", "social-security", "glasgow-health"
PURPOSES = {HOUSING: "housing", SOCIAL_SECURITY: "social-security", HEALTH: "health-care"}
ALL_CATEGORIES = [
    "request", "identity", "identifier", "communication", "contact", "safety", "household", "children", "address",
    "housing", "immigration", "income", "health", "support", "message",
]  # fmt: skip

CREDENTIALS: dict[str, dict[str, str]] = {
    "housing": {
        "client_id": housing.DEMO_CLIENT_ID,
        "client_secret": housing.DEMO_CLIENT_SECRET,
        "callback_secret": housing.demo_callback_secret(HOUSING),
    },
    "social_security": {
        "username": social_security.DEMO_USERNAME,
        "password": social_security.DEMO_PASSWORD,
    },
    "nhs": {"api_key": nhs.DEMO_API_KEY, "callback_token": nhs.demo_callback_token(HEALTH)},
}
SUBJECT = "GLA-7Q2M"
AREAS = ["edinburgh-and-borders", "highland", "perth-and-kinross", "aberdeen", "dundee", "glasgow", "ayrshire"]


@dataclass(frozen=True)
class Agencies:
    """The simulators, by the agency each plays."""

    simulators: Mapping[str, Simulator]

    def __getitem__(self, agency: str) -> Simulator:
        return self.simulators[agency]

    def forget(self) -> None:
        for simulator in self.simulators.values():
            simulator.forget()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Settings of a gateway for these agencies, with short pauses."""
        adapters = {HOUSING: "housing", SOCIAL_SECURITY: "social_security", HEALTH: "nhs"}
        agencies = {
            name: {
                "adapter": adapter,
                "base_url": self[name].base_url(name),
                "areas": AREAS if name == SOCIAL_SECURITY else ["glasgow"],
                "credentials": CREDENTIALS[adapter],
                "deadline": "3s",
            }
            for name, adapter in adapters.items()
        }
        quick = {
            "retry": ["0.1s", "0.2s", "0.4s"], "retry_least": "0.1s", "retry_most": "0.5s", "jitter": 0,
            "ask": ["0.1s", "0.2s", "0.4s"], "poll": ["0.2s"], "tick": "0.02s", "lease": "10s",
            "webhooks": {"allow_private": True, "deadline": "3s"}, "rates": {"calls_a_minute": 1_000_000},
        }  # fmt: skip
        return {**quick, "agencies": agencies, **changes}


@contextmanager
def agencies_running(**options: Any) -> Iterator[Agencies]:
    """The three simulators on loopback; *options* go to each."""
    kinds = {
        HOUSING: housing.HousingSimulator,
        SOCIAL_SECURITY: social_security.SocialSecuritySimulator,
        HEALTH: nhs.NhsSimulator,
    }
    running = {name: kind((name,), **options).start() for name, kind in kinds.items()}
    try:
        yield Agencies(running)
    finally:
        for simulator in running.values():
            simulator.stop()


def carry_out(room: PostRoom, bell: tuple[str, UUID]) -> None:
    """A worker answers *bell*, whose delivery came alone."""
    alone = attempt.Round(room, [bell])
    alone.run(*bell)
    alone.end()


def begin(room: PostRoom, bell: tuple[str, UUID]) -> Send | Ask | None:
    """A worker takes hold of the delivery of *bell*, and is slow from then on."""
    [look] = attempts.look(room.store, [bell])
    return beginning.begin(room, look) if look else None


def as_owner(tx: Tx) -> None:
    """From here on with what the tables' owner may do, which the gateway's own roles may not."""
    tx.run("SET LOCAL ROLE NONE")


def switch_on(url: str) -> None:
    """The roll-out has reached every area, in the database at *url*."""
    store = Store(url, Vault(generate()), 2).open()
    with closing(store), store.begin() as tx:
        for area in AREAS:
            directory.switch(tx, area, Phase.LIVE, by="test", reason="for the tests")


def consent(recipients: Mapping[str, list[str]] | None = None, **changes: Any) -> dict[str, Any]:
    """A consent record; *recipients*: ``{agency: categories}``, all of everything by default."""
    now = datetime.now(UTC)
    chosen = recipients if recipients is not None else dict.fromkeys(PURPOSES, ALL_CATEGORIES)
    return {
        "subject": SUBJECT,
        "given": {
            "at": (now - timedelta(hours=1)).isoformat(),
            "method": "spoken",
            "recorded_by": "Support worker 12",
            "wording_version": "2026-01",
        },
        "permits": [
            {
                "recipients": [agency],
                "purposes": [PURPOSES.get(agency, "housing")],
                "categories": categories,
                "children": {"parental_responsibility": "hers"},
            }
            for agency, categories in chosen.items()
        ],
        "ends_at": (now + timedelta(days=30)).isoformat(),
        **changes,
    }


REFERRAL: dict[str, Any] = {
    "subject": SUBJECT,
    "area": "glasgow",
    "urgency": "stat",
    "referrer": {"service": "Women's hub, Glasgow", "worker": {"name": "Support worker 12", "phone": "0141 496 0000"}},
    "person": {
        "name": {"given": "Ileana", "family": "Exemplu"},
        "birth_date": "1994-05-17",
        "chi_number": "1705941265",
        "language": {"preferred": "ro", "interpreter_needed": True},
    },
    "contact": {
        "phone": {
            "number": "07700 900123",
            "safe_to_call": True,
            "safe_to_text": False,
            "safe_to_leave_voicemail": False,
            "caller_may_say": "Say you are calling about a parcel.",
        },
        "email": {"address": "unsafe@example.org", "safe_to_use": False},
    },
    "household": {"children": [{"name": "Example Child", "birth_date": "2019-02-03", "lives_with_her": True}]},
    "housing": {"situation": "accommodation-tied-to-exploitation", "areas_to_avoid": ["Example Street"]},
    "income": {"has_own_bank_account": False},
    "health": {"needs": ["A check-up"], "mental_health": "Cannot sleep."},
}


def referral(consent_id: str, *agencies: str, **changes: Any) -> dict[str, Any]:
    """A referral to *agencies*, to all three by default."""
    requests: list[dict[str, Any]] = [
        {"agency": name, "purpose": PURPOSES.get(name, "housing"), "ask": f"Help from {name}."}
        for name in agencies or PURPOSES
    ]
    for request in requests:
        if request["agency"] == SOCIAL_SECURITY:
            request["benefits"] = ["scottish-child-payment"]
    return {**deepcopy(REFERRAL), "consent": consent_id, "requests": requests, **changes}
