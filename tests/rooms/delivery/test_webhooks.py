"""Hubs are told of events by the stairs that everything takes: signed, thin, again until it arrives, once for each event."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from gateway import doctor, metrics
from gateway.delivery import alerts, changes, decisions, outbox, replay, webhooks
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict
from gateway.policy import contract
from gateway.policy.lifecycle import State
from gateway.settings import Settings
from gateway.store import events
from gateway.store import webhooks as stored
from gateway.store.deliveries import Delivery
from gateway.store.selections import Selection
from tests.rooms.delivery.test_attempt import HUB, make_due, submit, work
from tests.rooms.wire.hostile import Hostile, reply, serving
from tests.support import HOUSING, Agencies, begin, carry_out


@dataclass
class Inbox:
    """A hub's receiver. *answers*: what the next requests get, then 204."""

    server: Hostile
    answers: list[bytes] = field(default_factory=list)

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        """Headers, names in lower case, and body of each request."""
        found = []
        for request in self.server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
            found.append(({name.lower(): value for name, _, value in lines}, body))
        return found

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body)["data"] for _, body in self.messages()]


@contextmanager
def receiving() -> Iterator[Inbox]:
    answers: list[bytes] = []

    def act(stream: Any, request: bytes) -> None:
        stream.sendall(answers.pop(0) if answers else reply(b"", "204 No Content"))

    with serving(act) as server:
        yield Inbox(server, answers)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as found:
        yield found


def open_to(room: PostRoom, url: str, *types: str) -> tuple[str, str]:
    found, secret = webhooks.create(room, HUB, url, types)
    return found.id, secret


def settled(room: PostRoom) -> list[Delivery]:
    """Let everything that can happen happen. Returns what became of the events' deliveries, in their order."""
    for _ in range(12):
        work(room)
        make_due(room)
    with room.store.begin() as tx:
        rows = tx.all("SELECT * FROM deliveries WHERE kind = 'event' ORDER BY event, agency")
    return [Delivery.of_row(row) for row in rows]


def feed(room: PostRoom) -> list[dict[str, Any]]:
    with room.store.begin() as tx:
        events.place(tx)
        return [events.told(row) for row in events.after(tx, HUB.hub, 0, 1000)]


def hook(room: PostRoom, identifier: str) -> stored.Webhook:
    with room.store.begin() as tx:
        return stored.get(tx, identifier, hub=HUB.hub)


def no_trouble(room: PostRoom) -> None:
    """Nothing that operators are alerted to: a webhook's troubles are its hub's."""
    alerts.watch(room)
    with room.store.begin() as tx:
        assert tx.all("SELECT * FROM troubles") == []


def test_it_is_told_what_the_feed_says_signed_and_thin(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    submit(room, HOUSING)  # before the webhook: not its business
    work(room)
    before = len(feed(room))
    identifier, secret = open_to(room, inbox.server.url + "/events")
    submit(room, HOUSING)
    assert {delivery.state for delivery in settled(room)} == {State.DELIVERED}
    expected = feed(room)[before:]
    assert [event["type"] for event in expected] == ["referral.accepted", "delivery.state"]
    for event, (headers, body) in zip(expected, inbox.messages(), strict=True):
        message = Verifier(secret).verify(body, headers)
        assert list(message) == ["type", "timestamp", "data"]
        assert message["type"] == event["type"]
        assert contract.problems("event", message["data"]) == []
        assert {**message["data"], "at": None} == {**event, "at": None}
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(body.replace(b"ref_", b"reF_"), headers)
    assert all(request.startswith(b"POST /events HTTP/1.1\r\n") for request in inbox.server.requests)
    assert hook(room, identifier).delivered_at is not None


def test_telling_makes_no_events_and_no_consent_is_asked(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    open_to(room, inbox.server.url, "referral.accepted", "delivery.state")
    inbox.answers += [reply(b"", "503 Service Unavailable")] * 40
    agreed, _ = submit(room, HOUSING)
    changes.withdraw_consent(room, agreed, HUB)  # before anything left
    dead = settled(room)
    assert [delivery.state for delivery in dead] == [State.DEAD] * 2
    assert [event["type"] for event in feed(room)] == ["referral.accepted", "delivery.state", "consent.withdrawn"]
    inbox.answers.clear()
    decisions.replay(room, dead[1].id, by="admin:a", reason="they are back")
    assert settled(room)[1].state is State.DELIVERED
    assert inbox.told()[-1]["state"] == "withdrawn"


def test_each_webhook_gets_the_types_it_chose(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    with receiving() as other:
        open_to(room, inbox.server.url)
        open_to(room, other.server.url, "delivery.state")
        submit(room)
        settled(room)
        assert Counter(event["type"] for event in inbox.told()) == {"referral.accepted": 1, "delivery.state": 3}
        assert Counter(event["type"] for event in other.told()) == {"delivery.state": 3}


@pytest.mark.parametrize(
    "first",
    [
        reply(b"", "503 Service Unavailable"),
        reply(b"", "404 Not Found"),
        reply(b"", "307 Temporary Redirect", "text/plain", "Location: http://127.0.0.1:1/"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",  # and no more: was it taken?
    ],
    ids=["503", "404", "redirect", "half a reply"],
)
def test_what_fails_or_is_in_doubt_is_told_again_under_the_same_id(
    room: PostRoom, agencies: Agencies, inbox: Inbox, first: bytes
) -> None:
    object.__setattr__(room.settings.webhooks, "deadline", timedelta(seconds=0.5))
    open_to(room, inbox.server.url, "referral.accepted")
    inbox.answers.append(first)
    submit(room, HOUSING)
    [delivery] = settled(room)
    assert (delivery.state, delivery.attempts, delivery.asks) == (State.DELIVERED, 2, 0)
    assert [headers["webhook-id"] for headers, _ in inbox.messages()] == [delivery.id] * 2
    assert len({body for _, body in inbox.messages()}) == 1


def test_a_long_reply_is_as_good_as_a_short_one(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    open_to(room, inbox.server.url, "referral.accepted")
    inbox.answers.append(reply(b"x" * 300_000, "200 OK", "text/html"))
    submit(room, HOUSING)
    assert [delivery.attempts for delivery in settled(room)] == [1]


def test_a_secret_is_replaced_with_overlap(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    identifier, old = open_to(room, inbox.server.url)

    def told(*good: str, bad: str | None = None) -> None:
        webhooks.test(room, HUB, identifier)
        settled(room)
        headers, body = inbox.messages()[-1]
        assert len(headers["webhook-signature"].split(" ")) == len(good)
        for secret in good:
            Verifier(secret).verify(body, headers)
        if bad:
            with pytest.raises(WebhookVerificationError):
                Verifier(bad).verify(body, headers)

    told(old)
    _, new = webhooks.rotate(room, HUB, identifier)
    told(new, old)
    with room.store.begin() as tx:
        tx.run("UPDATE webhooks SET old_until = clock_timestamp()")
    told(new, bad=old)


def test_a_webhook_that_is_gone_is_switched_off_and_nothing_old_comes_back(
    room: PostRoom, agencies: Agencies, inbox: Inbox
) -> None:
    identifier, _ = open_to(room, inbox.server.url)
    inbox.answers.append(reply(b"", "410 Gone"))
    submit(room)
    found = settled(room)
    assert {delivery.state for delivery in found} <= {State.REFUSED, State.WITHDRAWN, State.DELIVERED}
    assert hook(room, identifier).disabled_code == "webhook_gone"
    [notice] = [event for event in feed(room) if event["type"] == "webhook.disabled"]
    assert (notice["webhook"], notice["code"]) == (identifier, "webhook_gone")
    assert contract.problems("event", {**notice, "at": notice["at"].isoformat()}) == []
    with pytest.raises(Conflict, match="switched off"):
        decisions.replay(room, found[0].id, by="admin:a", reason="try")
    with pytest.raises(Conflict, match="switched off"):
        webhooks.test(room, HUB, identifier)
    [finding] = [finding for finding in doctor.examine(room) if identifier in finding.what]
    assert (finding.ok, finding.says) == (False, "was switched off: webhook_gone")
    told = len(inbox.server.requests)
    submit(room, HOUSING)
    settled(room)
    assert len(inbox.server.requests) == told
    webhooks.change(room, HUB, identifier, None, None, True)
    settled(room)
    assert len(inbox.server.requests) == told
    submit(room, HOUSING)
    settled(room)
    assert len(inbox.server.requests) > told


def test_days_of_nothing_but_failures_switch_it_off(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    identifier, _ = open_to(room, inbox.server.url, "referral.accepted")

    def fail() -> stored.Webhook:
        inbox.answers.append(reply(b"", "500 Internal Server Error"))
        submit(room, HOUSING)
        work(room)
        return hook(room, identifier)

    def days_pass(days: int) -> None:
        with room.store.begin() as tx:
            tx.run(f"UPDATE webhooks SET failing_since = failing_since - interval '{days} days'")  # type: ignore[arg-type]

    assert fail().failing_since is not None
    days_pass(4)
    assert fail().disabled_at is None
    settled(room)  # what failed is told again, and arrives
    assert hook(room, identifier).failing_since is None
    assert fail().disabled_at is None
    days_pass(5)
    assert fail().disabled_code == "webhook_failing"
    states = Counter(delivery.state for delivery in settled(room))
    assert states == {State.DELIVERED: 2, State.REFUSED: 1, State.WITHDRAWN: 1}  # the last try, and what waited for one
    assert [event["code"] for event in feed(room) if event["type"] == "webhook.disabled"] == ["webhook_failing"]


def test_a_webhook_that_moved_is_told_at_its_new_address(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    identifier, secret = open_to(room, inbox.server.url, "referral.accepted")
    submit(room, HOUSING)
    settled(room)
    with receiving() as new:
        webhooks.change(room, HUB, identifier, new.server.url + "/new", None, None)
        submit(room, HOUSING)
        settled(room)
        [(headers, body)] = new.messages()
    Verifier(secret).verify(body, headers)
    assert len(inbox.messages()) == 1


def test_dead_ones_are_sent_again_in_a_range_but_not_to_a_webhook_that_is_off(
    room: PostRoom, agencies: Agencies, inbox: Inbox
) -> None:
    identifier, _ = open_to(room, inbox.server.url, "referral.accepted")
    inbox.answers += [reply(b"", "503 Service Unavailable")] * 8
    for _ in range(2):
        submit(room, HOUSING)
    assert [delivery.state for delivery in settled(room)] == [State.DEAD] * 2
    no_trouble(room)
    webhooks.change(room, HUB, identifier, None, None, False)
    [held] = replay.preview(room, Selection())
    assert (held.agency, held.held_back) == (identifier, "webhook_off")
    webhooks.change(room, HUB, identifier, None, None, True)
    assert list(replay.carry_out(room, Selection(), by="admin:a", reason="they are back").values()) == [2]
    assert [delivery.state for delivery in settled(room)] == [State.DELIVERED] * 2


def test_what_waits_for_a_removed_webhook_ends(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    identifier, _ = open_to(room, inbox.server.url, "referral.accepted")
    submit(room, HOUSING)
    outbox.tidy(room)
    claimed: list[Any] = []
    outbox.claim(room, claimed.extend)
    webhooks.remove(room, HUB, identifier)
    for bell in claimed:
        carry_out(room, bell)
    assert [delivery.state for delivery in settled(room)] == [State.WITHDRAWN]
    assert inbox.server.requests == []


def test_a_worker_that_dies_while_telling_is_told_for_again(room: PostRoom, agencies: Agencies, inbox: Inbox) -> None:
    open_to(room, inbox.server.url, "referral.accepted")
    submit(room, HOUSING)
    outbox.tidy(room)
    claimed: list[Any] = []
    outbox.claim(room, claimed.extend)
    stages = [begin(room, bell) for bell in claimed]
    assert any(stage and stage.delivery.kind == "event" for stage in stages)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = clock_timestamp() WHERE kind = 'event'")
    assert [(delivery.state, delivery.attempts) for delivery in settled(room)] == [(State.DELIVERED, 2)]


def at_once(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_each_event_is_queued_once_for_each_webhook_whoever_ticks(room: PostRoom) -> None:
    hooks = [open_to(room, "http://127.0.0.1:9/")[0] for _ in range(2)]

    def write() -> None:
        for number in range(60):
            with room.store.begin() as tx:
                events.write(tx, "referral.accepted", hub=("glasgow-hub", "highland-hub")[number % 3 == 0])
                tx.now()

    def tick() -> None:
        for _ in range(60):
            with room.store.begin() as tx:
                events.place(tx)
            with room.store.begin() as tx:
                stored.queue_events(tx, most=7)

    at_once(write, write, write, tick, tick, tick)
    tick()
    with room.store.begin() as tx:
        rows = tx.all("SELECT agency, event FROM deliveries WHERE kind = 'event' ORDER BY event")
        known = [row["id"] for row in tx.all("SELECT id FROM events WHERE hub = 'glasgow-hub' ORDER BY id")]
    assert len(known) == 120
    for identifier in hooks:
        assert [row["event"] for row in rows if row["agency"] == identifier] == known


def test_a_breaker_spares_a_webhook_that_is_down_and_agencies_go_on(
    room: PostRoom, agencies: Agencies, inbox: Inbox
) -> None:
    open_to(room, inbox.server.url, "referral.accepted")
    inbox.answers += [reply(b"", "500 Internal Server Error")] * 500
    for _ in range(12):
        submit(room, HOUSING)
    settled(room)
    asked = len(inbox.server.requests)
    assert asked <= 14  # and not four times each
    with room.store.begin() as tx:
        states = Counter(row["state"] for row in tx.all("SELECT state FROM deliveries WHERE kind = 'referral'"))
    assert states == {"delivered": 12}
    no_trouble(room)
    with room.store.begin() as tx:
        scraped = metrics.text(tx, room.agencies).decode()
    assert 'agency="hub webhooks"' in scraped
    assert "whe_" not in scraped
    assert "gateway_oldest_undelivered_age_seconds 0.0" in scraped


def test_slow_hubs_hold_up_no_referral(room: PostRoom) -> None:
    for _ in range(6):
        open_to(room, "http://127.0.0.1:9/")
    for _ in range(3):
        submit(room)
    outbox.tidy(room)  # 18 events' deliveries are due, and 9 referrals'

    def claimed() -> Counter[str]:
        rung: list[Any] = []
        outbox.claim(room, rung.extend)
        with room.store.begin() as tx:
            rows = tx.all("SELECT kind FROM deliveries WHERE id = ANY(%(ids)s)", {"ids": [one for one, _ in rung]})
        return Counter(row["kind"] for row in rows)

    assert claimed() == {"referral": 9, "event": 4}  # a quarter of 16 threads
    assert claimed() == {}  # while these are in flight
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET state = 'delivered', token = NULL, due_at = NULL WHERE token IS NOT NULL")
    assert set(claimed()) == {"event"}  # others have their turn


def test_an_address_that_leads_inside_is_refused_when_it_is_used(
    room: PostRoom, agencies: Agencies, inbox: Inbox
) -> None:
    open_to(room, f"https://localhost:{inbox.server.port}/", "referral.accepted")
    strict = replace(room, settings=Settings(**agencies.settings(webhooks={"allow_private": False})))
    submit(strict, HOUSING)
    [delivery] = settled(strict)
    assert (delivery.state, delivery.code, inbox.server.connections) == (State.DEAD, "address_refused", 0)


def test_its_secret_is_sealed(room: PostRoom) -> None:
    _, secret = open_to(room, "http://127.0.0.1:9/")
    with room.store.begin() as tx:
        row = tx.one("SELECT webhooks::text AS text FROM webhooks")
    assert row is not None
    assert secret not in row["text"]
    assert secret.encode().hex() not in row["text"]
