"""What a hub can do."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import uuid4

from .answers import (
    Accepted,
    Agency,
    Area,
    Consent,
    ConsentVersion,
    Delivery,
    Event,
    Feed,
    LawfulBasis,
    LawfulBasisUse,
    Referral,
    Route,
    Said,
    Sheet,
    Webhook,
    Withdrawal,
    Words,
)
from .credentials import ApiKey, ClientCredentials
from .errors import NoAnswer, Unavailable
from .transport import Transport

log = logging.getLogger("gateway_client")


class Client:
    """A hub's way in. Each method raises NoAnswer and Problem (see ``gateway_client.errors``). One for each thread.

    *who*: an API key, or ClientCredentials, which several threads may share.

    What does no harm when repeated is repeated until *patience*, in seconds, ends: after a lost connection and
    the answers 429, 502, 503 and 504, with growing pauses, and at least those the gateway asks for. *timeout*:
    seconds of silence that end one try.
    """

    def __init__(
        self, base_url: str, who: str | ClientCredentials, *, timeout: float = 10.0, patience: float = 60.0
    ) -> None:
        self._transport = Transport(base_url, ApiKey(who) if isinstance(who, str) else who, timeout, patience)
        self._call = self._transport.call
        self.webhooks = Webhooks(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def record_consent(self, document: Mapping[str, Any]) -> Consent:
        """Record what she agreed to; *document* follows the consent schema. Never repeated by itself."""
        found: Consent = self._call("POST", "/v1/consents", json=document)
        return found

    def consent(self, identifier: str) -> Consent:
        found: Consent = self._call("GET", f"/v1/consents/{identifier}")
        return found

    def change_consent(self, identifier: str, document: Mapping[str, Any], version: int) -> ConsentVersion:
        """What she agrees to now, as a whole, in place of the *version* you have read. Raises Changed: read it again."""
        found: ConsentVersion = self._call(
            "POST", f"/v1/consents/{identifier}/versions", json=document, headers={"If-Match": f'"{version}"'}
        )
        return found

    def withdraw(self, consent: str, *, recipients: Sequence[str] = (), categories: Sequence[str] = ()) -> Withdrawal:
        """She withdrew all of it, or what is named. What has not left stops now; agencies that have it are told."""
        named = {"recipients": list(recipients), "categories": list(categories)}
        part = {name: values for name, values in named.items() if values}
        found: Withdrawal = self._call("POST", f"/v1/consents/{consent}/withdraw", json=part or None, repeat=True)
        return found

    def record_basis(self, document: Mapping[str, Any]) -> LawfulBasis:
        """Record why something may be sent without her consent; *document* follows the schema ``lawful_basis``.

        Nothing is sent on it before a second worker approves it. Never repeated by itself.
        """
        found: LawfulBasis = self._call("POST", "/v1/lawful-bases", json=document)
        return found

    def basis(self, identifier: str) -> LawfulBasis:
        """What was recorded, for the worker who is to approve it."""
        found: LawfulBasis = self._call("GET", f"/v1/lawful-bases/{identifier}")
        return found

    def approve_basis(self, identifier: str, approved_by: str) -> LawfulBasis:
        """A second worker agrees: with a client of her own, whose API key is not the one it was recorded with."""
        document = {"approved_by": approved_by}
        found: LawfulBasis = self._call("POST", f"/v1/lawful-bases/{identifier}/approve", json=document)
        return found

    def call_off_basis(self, identifier: str) -> LawfulBasis:
        """What has not left stops now; agencies that have it are told."""
        found: LawfulBasis = self._call("POST", f"/v1/lawful-bases/{identifier}/withdraw", repeat=True)
        return found

    def bases(self) -> list[LawfulBasisUse]:
        """Every use of another basis than consent, newest first: ids and counts."""
        found: list[LawfulBasisUse] = self._call("GET", "/v1/lawful-bases")["lawful_bases"]
        return found

    def submit(self, draft: Mapping[str, Any], key: str | None = None) -> Accepted:
        """Submit a referral; *draft* follows the referral schema.

        *key*: the Idempotency-Key, at most 255 characters. Give one that is kept with the draft, and submitting again
        after a crash gives the first answer again; without one a new one is made for this call and its repeats.
        """
        found: Accepted = self._call("POST", "/v1/referrals", json=draft, key=key or str(uuid4()))
        return found

    def referral(self, identifier: str) -> Referral:
        found: Referral = self._call("GET", f"/v1/referrals/{identifier}")
        return found

    def change_contact(self, referral: str, contact: Mapping[str, Any], key: str | None = None) -> Referral:
        """How she can be reached safely from now on, as a whole; agencies that know another way are told at once."""
        path = f"/v1/referrals/{referral}/contact"
        found: Referral = self._call("POST", path, json=contact, key=key or str(uuid4()))
        return found

    def say(self, referral: str, agency: str, text: str, *, answers: str | None = None, key: str | None = None) -> Said:
        """Answer *agency*, or tell it more about a referral that it has; she must agree to the category ``message``.

        *answers*: the id of the agency's message. Where the agency takes no messages it is a task, see sheet().
        """
        document = {"agency": agency, "text": text, **({"answers": answers} if answers else {})}
        path = f"/v1/referrals/{referral}/messages"
        found: Said = self._call("POST", path, json=document, key=key or str(uuid4()))
        return found

    def messages(self, referral: str) -> list[Words]:
        """What was said about a referral, oldest first. Reading it is audited."""
        found: list[Words] = self._call("GET", f"/v1/referrals/{referral}/messages")["messages"]
        return found

    def agencies(self) -> list[Agency]:
        found: list[Agency] = self._call("GET", "/v1/agencies")["agencies"]
        return found

    def delivery(self, identifier: str) -> Delivery:
        found: Delivery = self._call("GET", f"/v1/deliveries/{identifier}")
        return found

    def decide(self, delivery: str, contradiction: int, *, believe: bool) -> Delivery:
        """Believe what an agency said against what is recorded, or leave what stands. Raises NotFound: it is settled."""
        path = f"/v1/deliveries/{delivery}/contradictions/{contradiction}"
        found: Delivery = self._call("POST", path, json={"believe": believe})
        return found

    def deliveries(self, *, agency: str | None = None, states: Sequence[str] = ()) -> Iterator[Delivery]:
        """All of them, newest first; pages are fetched as they are needed. *agency* may be a webhook's id."""
        after = None
        while True:
            query = {"agency": agency, "state": list(states), "after": after, "limit": 200}
            page = self._call("GET", "/v1/deliveries", query=query)
            yield from page["deliveries"]
            after = page.get("next")
            if after is None:
                return

    def areas(self) -> list[Area]:
        """The hub areas, and how far the roll-out is in each."""
        found: list[Area] = self._call("GET", "/v1/areas")["areas"]
        return found

    def routes(self, question: Mapping[str, Any]) -> list[Route]:
        """Who would take each need of *question*, which follows the route schema. Nothing of it is kept."""
        found: list[Route] = self._call("POST", "/v1/routes", json=question, repeat=True)["routes"]
        return found

    def sheet(self, delivery: str) -> Sheet:
        """What a person tells an agency that has no interface, or none for this. Opening it is audited."""
        found: Sheet = self._call("GET", f"/v1/deliveries/{delivery}/sheet")
        return found

    def given(self, delivery: str, at: datetime, to: str, **more: Any) -> Delivery:
        """It was given by hand, *at* a time with a zone, *to* somebody: a role, not a name.

        *more*: ``reference``, the agency's own; ``without_consent``, see the schema ``given``.
        """
        document = {"at": at.isoformat(), "to": to, **more}
        found: Delivery = self._call("POST", f"/v1/deliveries/{delivery}/given", json=document)
        return found

    def answered(self, delivery: str, status: str, **more: Any) -> bool:
        """An agency that is reached by hand said how it stands. *more*: ``reason``, ``at``. False: not believed."""
        found: bool = self._call("POST", f"/v1/deliveries/{delivery}/status", json={"status": status, **more})[
            "believed"
        ]
        return found

    def events(self, after: str = "0", limit: int = 500) -> Feed:
        """What happened after a place in the feed, ``0`` being its beginning."""
        found: Feed = self._call("GET", "/v1/events", query={"after": after, "limit": limit})
        return found

    def follow(self, after: str = "0", *, pause: float = 2.0, stop: threading.Event | None = None) -> Iterator[Event]:
        """Every event after a place in the feed, in its order, for ever, or until *stop* is set.

        Keep each event's ``id`` once you have dealt with it, and follow from there the next time: nothing is missed.
        While the gateway does not answer this waits, and says so in the log; any other problem is raised.
        """
        stop = stop or threading.Event()
        while not stop.is_set():
            try:
                feed = self.events(after)
            except (NoAnswer, Unavailable) as error:
                log.warning("the gateway does not answer, following goes on: %s", error)
                stop.wait(pause)
                continue
            for event in feed["events"]:
                yield event
                if stop.is_set():
                    return
            after = feed["next"]
            if not feed["events"]:
                stop.wait(pause)


class Webhooks:
    """A hub's webhooks, as ``client.webhooks``."""

    def __init__(self, transport: Transport) -> None:
        self._call = transport.call

    def create(self, url: str, types: Sequence[str] = ()) -> Webhook:
        """Be told at *url*, of the events of these *types* (none: of all). Keep ``secret``: it is told only now."""
        found: Webhook = self._call("POST", "/v1/webhooks", json={"url": url, "types": list(types)})
        return found

    def list(self) -> "list[Webhook]":
        found: list[Webhook] = self._call("GET", "/v1/webhooks")["webhooks"]
        return found

    def get(self, identifier: str) -> Webhook:
        found: Webhook = self._call("GET", f"/v1/webhooks/{identifier}")
        return found

    def change(self, identifier: str, **changes: Any) -> Webhook:
        """*changes*: ``url``, ``types``, ``enabled``."""
        found: Webhook = self._call("PATCH", f"/v1/webhooks/{identifier}", json=changes)
        return found

    def remove(self, identifier: str) -> None:
        self._call("DELETE", f"/v1/webhooks/{identifier}")

    def rotate(self, identifier: str) -> Webhook:
        """A new ``secret``. The one before signs along until ``old_secret_until``: accept both till then."""
        found: Webhook = self._call("POST", f"/v1/webhooks/{identifier}/rotate")
        return found

    def test(self, identifier: str) -> str:
        """Have a ``webhook.test`` sent. Returns the delivery's id; see ``Client.delivery()`` for what comes of it."""
        found: str = self._call("POST", f"/v1/webhooks/{identifier}/test", repeat=True)["delivery"]
        return found
