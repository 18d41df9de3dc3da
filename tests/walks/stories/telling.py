"""How a story is told: what the hub does, and the three things that each story ends with."""

import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import gateway_client as gw
from gateway_client.answers import Delivery, Event, Message
from gateway_sdk import Status
from gateway_sdk.simulator import Case

from gateway.notary import Notary
from gateway.store import audit, checkpoints, health
from gateway.vault import generate
from tests.running import Gateway
from tests.support import consent, referral

CLYDE, REFUGE = "clyde-housing", "glasgow-refuge"
NEVER = None
"""What a simulator holds of a referral that never reached it."""
AUDIT_KEY = generate()

women = count(1)


class Told:
    """A hub's own server for webhooks: it takes only what the gateway signed, and each message once."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}  # by webhook-id
        self.refused = 0
        self.secret = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @contextmanager
    def listening(self, hub: gw.Client) -> Iterator["Told"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            self.secret = hub.webhooks.create(f"http://127.0.0.1:{self._server.server_port}/events")["secret"]
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def after(self, position: int) -> list[Event]:
        """The events after *position* in the feed's order."""
        events = [message["data"] for message in list(self.messages.values())]
        return sorted((one for one in events if int(one["id"]) > position), key=lambda one: int(one["id"]))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    message = gw.verify_webhook([told.secret], dict(self.headers), body)
                    told.messages[self.headers["webhook-id"]] = message
                    self.send_response(204)
                except gw.BadSignature:
                    told.refused += 1
                    self.send_response(400)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@dataclass(frozen=True)
class Held:
    """What an agency holds of her: its word for how it stands, texts that are in it, and texts that are not.

    *times*: how often it was handed over.
    """

    status: Status = Status.SENT
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    times: int = 1


TAKEN_BACK = Held(Status.WITHDRAWN)
"""It was told that she took it back, and keeps nothing."""


@dataclass
class Story:
    """One woman and her hub. Stories share a house, one after another; *since* is where this one begins in the feed."""

    house: Gateway
    told: Told
    subject: str = field(init=False)
    since: int = field(init=False)
    consents: set[str] = field(default_factory=set)
    referrals: set[str] = field(default_factory=set)
    deliveries: set[str] = field(default_factory=set)  # of the referrals, not what follows them

    def __post_init__(self) -> None:
        self.subject = f"GLA-{next(women):04}"
        self.since = int(self._feed(0)[-1]["id"]) if self._feed(0) else 0

    @property
    def hub(self) -> gw.Client:
        return self.house.hub

    def agrees(self, recipients: Mapping[str, list[str]], **changes: Any) -> str:
        """She agrees; the consent's id. *recipients* as in tests.support.consent()."""
        identifier = self.house.consent(self.document(recipients, **changes))
        self.consents.add(identifier)
        return identifier

    def document(self, recipients: Mapping[str, list[str]], **changes: Any) -> dict[str, Any]:
        return consent(recipients, subject=self.subject, **changes)

    def now_agrees(self, identifier: str, document: Mapping[str, Any]) -> str:
        """She agrees to something else; what kind of change it is."""
        return self.hub.change_consent(identifier, document, self.hub.consent(identifier)["version"])["kind"]

    def refers(self, agreed: str, *agencies: str, **changes: Any) -> str:
        """Her hub refers her; the referral's id."""
        return self.submits({**referral(agreed, *agencies), "subject": self.subject, **changes})

    def submits(self, draft: Mapping[str, Any]) -> str:
        accepted = self.hub.submit(draft)
        self.referrals.add(accepted["id"])
        self.deliveries |= set(accepted["deliveries"].values())
        return accepted["id"]

    def delivery(self, identifier: str, agency: str, kind: str = "referral") -> Delivery:
        """The last delivery of that *kind* to *agency*."""
        found = [d for d in self.hub.referral(identifier)["deliveries"] if (d["agency"], d["kind"]) == (agency, kind)]
        assert found, f"no {kind} to {agency}"
        return found[-1]

    def becomes(self, identifier: str, agency: str, *, kind: str = "referral", **wanted: str) -> Delivery:
        """Wait until that delivery is as *wanted*."""

        def found() -> Delivery | None:
            kinds = [
                d for d in self.hub.referral(identifier)["deliveries"] if (d["agency"], d["kind"]) == (agency, kind)
            ]
            return kinds[-1] if kinds and wanted.items() <= kinds[-1].items() else None

        delivery: Delivery = self.house.wait(f"{kind} to {agency} becomes {wanted}", found, 20)
        return delivery

    def case(self, identifier: str, agency: str) -> Case | None:
        """What *agency* holds of the referral."""
        return self.house.agencies[agency].find(agency, key=self.delivery(identifier, agency)["id"])

    @contextmanager
    def away(self, *agencies: str) -> Iterator[None]:
        """While these agencies answer 503 to everything. When they are back, the time for the next call has come."""
        for agency in agencies:
            self.house.agencies[agency].fail_next("unavailable", times=100_000)
        try:
            yield
        finally:
            for agency in agencies:
                with self.house.agencies[agency].lock:
                    self.house.agencies[agency].faults.clear()
            with self.house.store.begin() as tx:
                tx.run("UPDATE agency_health SET probe_at = clock_timestamp() WHERE probe_at IS NOT NULL")
                tx.run(
                    "UPDATE deliveries SET due_at = clock_timestamp() WHERE state = 'waiting' AND due_at IS NOT NULL"
                )

    def is_known_to_be_away(self, agency: str) -> None:
        """Wait until the gateway has noticed: nothing is sent there meanwhile."""

        def noticed() -> bool:
            with self.house.store.begin() as tx:
                return agency in health.picture(tx)[0]

        self.house.wait(f"{agency} is known to be away", noticed, 20)

    def the_clock_overlooks(self, agreed: str) -> None:
        """The clock stops what rests on a consent that ended, before it is sent: from now on, not this one's."""
        with self.house.store.begin() as tx:
            tx.run("UPDATE consents SET look_at = NULL WHERE id = %(id)s", {"id": agreed})

    # The end

    def ends(
        self,
        *,
        holds: Mapping[tuple[str, str], Held | None],
        told: Mapping[str, list[str]],
        audited: Collection[str],
    ) -> None:
        """*holds*: what each agency holds of each referral, ``{(referral, agency): Held or NEVER}``.

        *told*: what the hub was told, by agency: a sentence for each delivery, as sentences() puts it; under ""
        what is of no delivery.
        *audited*: actions that the audit, once verified, has of this story's consents, referrals and deliveries.
        """
        for (identifier, agency), held in holds.items():
            check_case(agency, self.case(identifier, agency), held)
        have = {(agency, key) for one in self.house.agencies.simulators.values() for agency, key in one.cases}
        said = [
            (agency, self.delivery(identifier, agency)["id"]) for (identifier, agency), held in holds.items() if held
        ]
        assert sorted(said) == sorted((agency, key) for agency, key in have if key in self.deliveries), (
            "nobody else has it"
        )
        self._was_told(told)
        self._is_audited(audited)

    def _feed(self, after: int) -> list[Event]:
        return self.hub.events(str(after), limit=1000)["events"]

    def _was_told(self, told: Mapping[str, list[str]]) -> None:
        wanted, until = {agency: sorted(said) for agency, said in told.items()}, time.monotonic() + 10
        while sentences(self._feed(self.since)) != wanted and time.monotonic() < until:
            time.sleep(0.05)
        assert sentences(self._feed(self.since)) == wanted
        self.house.wait(
            "the webhook has it too", lambda: len(self.told.after(self.since)) >= len(self._feed(self.since))
        )
        assert self.told.after(self.since) == self._feed(self.since)
        assert not self.told.refused

    def _is_audited(self, actions: Collection[str]) -> None:
        """By what an auditor has, once the gateway has linked it: the rows, the signed checkpoints, the public key."""

        def linked() -> bool:
            with self.house.store.begin() as tx:
                return audit.reach(tx)["unlinked"] == 0

        self.house.wait("the gateway has linked the audit", linked)
        with self.house.store.begin() as tx:
            verdict = audit.verify(tx, checkpoints.everyone(tx), Notary(AUDIT_KEY).public)
            rows = list(audit.rows(tx))
        assert verdict.holds, verdict
        found = {row["action"] for row in rows if row["object"] in {*self.deliveries, *self.referrals, *self.consents}}
        assert set(actions) <= found, found


def check_case(agency: str, case: Case | None, held: Held | None) -> None:
    if held is NEVER:
        assert case is None, f"{agency} has it"
        return
    assert case is not None, f"{agency} never had it"
    assert (case.status, case.times) == (held.status, held.times), agency
    document = json.dumps(case.document, ensure_ascii=False, default=str)
    assert held.status is not Status.WITHDRAWN or case.document is None, f"{agency} keeps something"
    for text in held.has:
        assert text in document, f"{agency} lacks {text}"
    for text in held.lacks:
        assert text not in document, f"{agency} has {text}"


def sentences(events: list[Event]) -> dict[str, list[str]]:
    """For each agency, what is said of each of its deliveries, in its order: one sentence each."""
    lines: dict[tuple[str, str], list[str]] = {}
    for event in events:
        lines.setdefault((event.get("agency", ""), event.get("delivery", event["id"])), []).append(says(event))
    found: dict[str, list[str]] = {}
    for (agency, _), said in lines.items():
        found.setdefault(agency, []).append(", ".join(said))
    return {agency: sorted(said) for agency, said in found.items()}


def says(event: Event) -> str:
    """``delivered``, ``withdrawn: consent_expired``, ``status accepted``, ``consent.narrowed``."""
    match event["type"]:
        case "delivery.state":
            said = event["state"]
        case "delivery.status":
            said = f"status {event['status']}"
        case other:
            said = other
    code = event.get("reason") or event.get("code")
    return f"{said}: {code}" if code else said
