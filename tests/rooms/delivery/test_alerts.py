"""One alert when a trouble begins, one when it is over; written with what it tells of, so that no crash loses it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.delivery import alerts, decisions
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.policy.troubles import Kind, Phase
from gateway.settings import AlertSettings
from gateway.store import troubles
from gateway.store.session import StoreUnavailable
from tests.rooms.delivery.test_attempt import make_due, of, submit, until, work
from tests.rooms.delivery.test_breaker import probe_is_due, rung
from tests.rooms.delivery.test_replay import dead
from tests.rooms.delivery.test_standing import changed, closed
from tests.rooms.wire.hostile import Hostile, reply, serving
from tests.rooms.wire.mailbox import receiving
from tests.rooms.wire.test_alerts import box, posted
from tests.support import HEALTH, HOUSING, REFERRAL, SOCIAL_SECURITY, Agencies, carry_out


class Receiver:
    """A webhook's other end. *answers*: what it says next; then it is content."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def __call__(self, stream: Any, request: bytes) -> None:
        stream.sendall(reply(b"", self.answers.pop(0) if self.answers else "204 No Content"))


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def webhook(receiver: Receiver) -> Iterator[Hostile]:
    with serving(receiver) as server:
        yield server


@pytest.fixture
def told(room: PostRoom, webhook: Hostile) -> PostRoom:
    """The room with the webhook in its settings."""
    return telling(room, webhook=webhook.url)


def telling(room: PostRoom, **chosen: Any) -> PostRoom:
    changes = {"alerts": AlertSettings(**chosen), "retry": [timedelta(hours=1)] * 3}
    return replace(room, settings=room.settings.model_copy(update=changes))


def types(server: Hostile) -> list[str]:
    return [posted(server, place)[1]["type"] for place in range(len(server.requests))]


def outage(room: PostRoom, agencies: Agencies) -> None:
    """Enough failures to open the breaker of housing, and some more."""
    agencies[HOUSING].fail_next("unavailable", times=100)
    for _ in range(12):
        submit(room, HOUSING)
    work(room, rounds=3)


def recovery(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].faults.clear()
    make_due(room)
    probe_is_due(room)
    for bell in rung(room):
        carry_out(room, bell)


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_is_over(
    told: PostRoom, webhook: Hostile, agencies: Agencies
) -> None:
    outage(told, agencies)
    assert alerts.send_due(told) == 1
    recovery(told, agencies)
    assert alerts.send_due(told) == 1
    assert alerts.send_due(told) == 0
    assert types(webhook) == ["agency.outage.begins", "agency.outage.over"]
    first, last = posted(webhook, 0)[1], posted(webhook, 1)[1]
    assert set(first["data"]) == {"agency", "count", "began_at", "ended_at", "text"}
    assert (first["data"]["agency"], first["data"]["ended_at"]) == (HOUSING, None)
    assert last["data"]["ended_at"] > last["data"]["began_at"] == first["data"]["began_at"]
    for value in (REFERRAL["subject"], REFERRAL["person"]["name"]["family"]):
        assert value.encode() not in b"".join(webhook.requests)


def test_a_crash_after_the_outage_loses_nothing_and_one_after_the_post_repeats_it_under_its_id(
    told: PostRoom, webhook: Hostile, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage(told, agencies)  # and the process dies: nobody sent anything

    def lost(*args: Any) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(troubles, "sent", lost)
        with pytest.raises(StoreUnavailable):
            alerts.send_due(told)
    assert alerts.send_due(told) == 0  # it is held, for as long as its sender may be at it
    with told.store.begin() as tx:
        tx.run("UPDATE alerts SET due_at = now()")
    assert alerts.send_due(told) == 1
    ids = [posted(webhook, place)[0]["webhook-id"] for place in (0, 1)]
    assert ids[0] == ids[1]


def test_the_alert_is_written_with_the_breaker_or_not_at_all(
    told: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **more: Any) -> None:
        raise StoreUnavailable

    agencies[HOUSING].fail_next("unavailable", times=100)
    hurried = replace(told, settings=told.settings.model_copy(update={"lease": timedelta(seconds=1)}))
    once = changed(hurried, HOUSING, breaker_least=1)  # which insists on settling until its lease ends
    submit(told, HOUSING)
    monkeypatch.setattr(troubles, "change", fails)
    with pytest.raises(StoreUnavailable):
        work(once)
    with told.store.begin() as tx:
        assert tx.all("SELECT 1 FROM agency_health") == tx.all("SELECT 1 FROM troubles") == []


def test_a_receiver_that_is_away_is_tried_again_in_order_and_given_up_in_the_end(
    told: PostRoom, webhook: Hostile, receiver: Receiver, agencies: Agencies
) -> None:
    receiver.answers = ["503 Service Unavailable"] * 2
    outage(told, agencies)
    assert alerts.send_due(told) == 0
    recovery(told, agencies)
    assert alerts.send_due(told) == 0  # the end waits behind the beginning
    for _ in range(2):
        with told.store.begin() as tx:
            tx.run("UPDATE alerts SET due_at = now() WHERE due_at IS NOT NULL")
        alerts.send_due(told)
    assert types(webhook) == ["agency.outage.begins"] * 3 + ["agency.outage.over"]
    receiver.answers = ["500 Oops"] * 99
    outage(told, agencies)
    for _ in range(6):
        with told.store.begin() as tx:
            tx.run("UPDATE alerts SET due_at = now() WHERE due_at IS NOT NULL")
        alerts.send_due(told)
    assert types(webhook)[4:] == ["agency.outage.begins"] * 4  # once, and the three retries of the settings
    with told.store.begin() as tx:
        assert troubles.untold(tx) == 1


def test_by_mail_too_each_channel_by_itself(
    room: PostRoom, webhook: Hostile, receiver: Receiver, agencies: Agencies
) -> None:
    receiver.answers = ["503 Service Unavailable"]
    with receiving() as mailbox:
        both = telling(room, webhook=webhook.url, mail=box(mailbox.port, security="none"))
        outage(both, agencies)
        assert alerts.send_due(both) == 1
        [(_, message)] = mailbox.mails
    assert message["subject"] == f"Referral Gateway: {HOUSING} does not answer"
    assert "Since " in message.get_content()


def test_what_died_is_one_alert_until_an_hour_of_quiet(told: PostRoom, webhook: Hostile, agencies: Agencies) -> None:
    dead(told, agencies, HOUSING, 2)
    alerts.watch(told)
    dead(told, agencies, HOUSING, 1)
    alerts.watch(told)
    with told.store.begin() as tx:
        tx.run("UPDATE deliveries SET updated_at = updated_at - interval '61 minutes' WHERE state = 'dead'")
    alerts.watch(told)
    dead(told, agencies, HOUSING, 1)
    alerts.watch(told)
    assert alerts.send_due(told) == 3
    assert types(webhook) == ["agency.dead.begins", "agency.dead.over", "agency.dead.begins"]
    assert [posted(webhook, place)[1]["data"]["count"] for place in range(3)] == [2, 3, 1]


def test_what_waits_for_a_person_is_told_and_over_when_it_is_decided(
    told: PostRoom, webhook: Hostile, agencies: Agencies
) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=4)
    _, identifier = submit(told, SOCIAL_SECURITY)
    work(told)
    alerts.watch(told)
    assert alerts.send_due(told) == 0  # it is still asked about
    with told.store.begin() as tx:
        tx.run("UPDATE deliveries SET updated_at = updated_at - interval '2 hours'")  # the asking took long
    for _ in range(5):
        make_due(told)
        work(told)
    alerts.watch(told)
    alerts.watch(told)
    waits = of(told, identifier)[SOCIAL_SECURITY]
    assert (waits.state, waits.due_at) == (State.ASKING, None)
    decisions.confirm(told, waits.id, by="admin:a", reason="asked by phone")
    alerts.watch(told)
    assert alerts.send_due(told) == 2
    assert types(webhook) == ["agency.undecided.begins", "agency.undecided.over"]


def test_what_waits_too_long_is_told_but_not_what_opening_hours_hold_back(
    room: PostRoom, webhook: Hostile, agencies: Agencies
) -> None:
    impatient = telling(room, webhook=webhook.url, oldest=timedelta(minutes=10))
    decisions.pause(room, HEALTH, by="admin:a", reason="x")
    _, identifier = submit(room, HEALTH)
    submit(room, HOUSING, urgency="routine")
    alerts.watch(impatient)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET created_at = created_at - interval '11 minutes'")
    shut = closed(impatient, HOUSING, hours_except=["stat"])
    alerts.watch(shut)
    alerts.watch(shut)
    assert alerts.send_due(impatient) == 1
    submit(room, HOUSING)  # for tonight
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET created_at = created_at - interval '11 minutes'")
    alerts.watch(shut)
    decisions.resume(room, HEALTH, by="admin:a", reason="x")
    until(shut, identifier, HEALTH, State.DELIVERED)
    alerts.watch(shut)
    assert alerts.send_due(impatient) == 3
    assert [(one["type"], one["data"]["agency"]) for one in (posted(webhook, place)[1] for place in range(4))] == [
        ("agency.late.begins", HEALTH),
        ("agency.late.begins", HOUSING),
        ("agency.late.over", HEALTH),
        ("agency.late.over", HOUSING),
    ]


def test_two_who_find_the_same_trouble_make_one_alert(told: PostRoom, webhook: Hostile) -> None:
    for phase, new in ((Phase.BEGINS, [True, False]), (Phase.OVER, [True, False])):
        found = []
        for _ in range(2):
            with told.store.begin() as tx:
                found.append(troubles.change(tx, HOUSING, Kind.DEAD, phase, channels=["webhook"], count=1))
        assert found == new
    assert alerts.send_due(told) == 2


def test_nobody_to_tell_is_no_trouble(room: PostRoom, agencies: Agencies) -> None:
    outage(room, agencies)
    alerts.watch(room)
    assert alerts.send_due(room) == 0
    with room.store.begin() as tx:
        assert tx.all("SELECT * FROM alerts") == []
        assert list(troubles.under_way(tx)) == [(HOUSING, Kind.OUTAGE)]
