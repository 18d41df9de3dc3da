"""Her consent or her safe contact changes: what stops, what is taken back, what is brought up to date, in which order."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import gateway_sdk as sdk
import pytest
from gateway_sdk import Status

from gateway.delivery import attempt, changes, decisions, outbox, settle
from gateway.delivery.changes import Part
from gateway.delivery.room import PostRoom
from gateway.delivery.stages import Send
from gateway.errors import Changed, Conflict, Invalid
from gateway.policy.changes import Kind
from gateway.policy.lifecycle import State
from gateway.store import audit, consents, deliveries, events
from gateway.store.contradictions import Source
from gateway.store.deliveries import Delivery
from tests.rooms.delivery.test_attempt import HUB, begun, doubted, make_due, of, submit, work
from tests.support import (
    ALL_CATEGORIES,
    HEALTH,
    HOUSING,
    PURPOSES,
    SOCIAL_SECURITY,
    Agencies,
    begin,
    carry_out,
    consent,
)

NEW_NUMBER = "07700 900777"
SAFE = {
    "phone": {
        "number": NEW_NUMBER,
        "safe_to_call": True,
        "safe_to_text": True,
        "safe_to_leave_voicemail": False,
    }
}
OLD_NUMBER = "07700 900123"


def rung(room: PostRoom) -> list[tuple[str, UUID]]:
    bells: list[tuple[str, UUID]] = []
    outbox.tick(room, bells.extend)
    return bells


def record(room: PostRoom, identifier: str) -> consents.Record:
    with room.store.begin() as tx:
        return consents.get(tx, identifier, hub=HUB.hub)


def line(room: PostRoom, original: Delivery) -> list[Delivery]:
    with room.store.begin() as tx:
        return deliveries.line(tx, original.id)[1]


def kinds(room: PostRoom, identifier: str) -> list[Kind]:
    with room.store.begin() as tx:
        return [one.kind for one in consents.versions(tx, identifier)]


def told(room: PostRoom) -> list[str]:
    with room.store.begin() as tx:
        events.place(tx)
        return [event["type"] for event in events.after(tx, HUB.hub, 0, 1000)]


def holds(agencies: Agencies, agency: str) -> str:
    """What the agency has on file now."""
    [case] = agencies[agency].cases.values()
    return json.dumps(case.document, default=str)


def less(room: PostRoom, identifier: str, **gone: tuple[str, ...]) -> None:
    changes.withdraw_consent(room, identifier, HUB, Part(**gone))


def test_withdrawing_one_agency_touches_no_other(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room)
    work(room)
    less(room, agreed, recipients=(HEALTH,))
    work(room, rounds=2)
    found = of(room, identifier)
    assert {agency: found[agency].status for agency in found} == {
        HEALTH: Status.WITHDRAWN, HOUSING: Status.SENT, SOCIAL_SECURITY: Status.SENT,
    }  # fmt: skip
    assert set(of(room, identifier, "withdrawal")) == {HEALTH}
    assert not of(room, identifier, "update")
    assert holds(agencies, HEALTH) == "null"
    less(room, agreed, recipients=(HEALTH,))  # the same again
    assert kinds(room, agreed) == [Kind.GRANTED, Kind.NARROWED]
    less(room, agreed)
    work(room, rounds=2)
    assert {delivery.status for delivery in of(room, identifier).values()} == {Status.WITHDRAWN}
    assert len(line(room, found[HEALTH])) == 1
    assert kinds(room, agreed) == [Kind.GRANTED, Kind.NARROWED, Kind.WITHDRAWN]


def test_withdrawing_a_category_takes_back_where_it_is_needed_and_updates_where_not(
    room: PostRoom, agencies: Agencies
) -> None:
    agreed, identifier = submit(room)
    work(room)
    assert "Example Child" in holds(agencies, SOCIAL_SECURITY)
    less(room, agreed, categories=("children", "housing"))  # housing cannot do without the second
    work(room, rounds=2)
    assert set(of(room, identifier, "withdrawal")) == {HOUSING}
    assert {agency: d.state for agency, d in of(room, identifier, "update").items()} == {
        SOCIAL_SECURITY: State.DELIVERED  # health has neither
    }
    assert "Example Child" not in holds(agencies, SOCIAL_SECURITY)
    assert "2019-02-03" not in holds(agencies, SOCIAL_SECURITY)
    assert "Ileana" in holds(agencies, SOCIAL_SECURITY)
    assert of(room, identifier)[SOCIAL_SECURITY].status is Status.SENT
    assert "consent.narrowed" in told(room)


def test_what_has_not_left_simply_carries_less(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, SOCIAL_SECURITY)
    less(room, agreed, categories=("children",))
    work(room)
    assert not of(room, identifier, "update")
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.DELIVERED
    assert "Example Child" not in holds(agencies, SOCIAL_SECURITY)


def a_narrowing_by_another_way(room: PostRoom, agreed: str) -> None:
    """As if by a path that does not touch deliveries."""
    old = record(room, agreed)
    document = {
        **old.document,
        "permits": [{**p, "categories": ["request", "identity"]} for p in old.document["permits"]],
    }
    with room.store.begin() as tx:
        locked = consents.lock(tx, agreed, hub=HUB.hub)
        consents.add_version(tx, locked, Kind.NARROWED, document, by="test")


@pytest.mark.parametrize("change", [less, a_narrowing_by_another_way], ids=["properly", "by another way"])
def test_a_narrowing_a_moment_after_the_look_is_not_missed(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    agreed, identifier = submit(room, SOCIAL_SECURITY)
    look = attempt.attempts.look

    def looked_and_then(*args: Any) -> Any:
        found = look(*args)
        monkeypatch.setattr(attempt.attempts, "look", look)
        if change is less:
            less(room, agreed, categories=("children",))
        else:
            change(room, agreed)
        return found

    [bell] = rung(room)
    monkeypatch.setattr(attempt.attempts, "look", looked_and_then)
    carry_out(room, bell)
    assert not agencies[SOCIAL_SECURITY].received
    with room.store.begin() as tx:  # the lease of one that was left as it was
        tx.run("UPDATE deliveries SET due_at = now()")
    work(room)
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.DELIVERED
    assert "Example Child" not in str(agencies[SOCIAL_SECURITY].received)


def test_a_change_is_named_for_what_it_does(room: PostRoom) -> None:
    agreed, _ = submit(room)
    first = dict(record(room, agreed).document)
    narrower = {**first, "permits": first["permits"][:2]}
    longer = {**narrower, "ends_at": (datetime.now(UTC) + timedelta(days=60)).isoformat()}
    wider = {**longer, "permits": first["permits"]}
    for number, document in enumerate([narrower, longer, wider], start=1):
        changes.change_consent(room, agreed, HUB, document, based_on=number)
    assert kinds(room, agreed) == [Kind.GRANTED, Kind.NARROWED, Kind.RENEWED, Kind.WIDENED]
    with pytest.raises(Changed, match="version 4"):
        changes.change_consent(room, agreed, HUB, wider, based_on=1)
    with pytest.raises(Invalid, match="not both"):
        changes.change_consent(room, agreed, HUB, {**narrower, "ends_at": "2099-01-01T00:00:00Z"}, based_on=4)
    with pytest.raises(Invalid, match="/subject"):
        changes.change_consent(room, agreed, HUB, {**wider, "subject": "GLA-OTHER"}, based_on=4)
    later = {**wider, "given": {**first["given"], "at": longer["ends_at"]}}
    with pytest.raises(Invalid, match="/given/at"):
        changes.change_consent(room, agreed, HUB, later, based_on=4)
    assert told(room).count("consent.narrowed") == 1
    less(room, agreed)
    with pytest.raises(Conflict, match="new one"):
        changes.change_consent(room, agreed, HUB, wider, based_on=5)


def test_renewing_one_permit_takes_nothing_back_where_another_had_ended(room: PostRoom) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    old = record(room, agreed)
    ended = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    permits = [{**p, "ends_at": ended} if HOUSING in p["recipients"] else p for p in old.document["permits"]]
    with room.store.begin() as tx:  # as time passes
        now = consents.lock(tx, agreed, hub=HUB.hub)
        consents.add_version(tx, now, Kind.RENEWED, {**old.document, "permits": permits}, by="test")
    longer = {**old.document, "permits": permits, "ends_at": (datetime.now(UTC) + timedelta(days=60)).isoformat()}
    _, kind = changes.change_consent(room, agreed, HUB, longer, based_on=2)
    assert kind is Kind.RENEWED
    less(room, agreed, recipients=(HEALTH,))
    assert of(room, identifier)[HOUSING].status is Status.SENT
    assert not of(room, identifier, "withdrawal")


# Expiry


def soon_ended(room: PostRoom, agreed: str) -> None:
    """Let the consent's end pass."""
    old = record(room, agreed)
    document = {**old.document, "ends_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
    with room.store.begin() as tx:
        consents.add_version(tx, consents.lock(tx, agreed, hub=HUB.hub), Kind.RENEWED, document, by="test")
        tx.run("UPDATE consents SET look_at = now()")


def test_a_referral_held_by_an_outage_past_its_consents_end_stops_and_tells_the_hub(
    room: PostRoom, agencies: Agencies
) -> None:
    agreed, identifier = submit(room, HOUSING)
    decisions.pause(room, HOUSING, by="admin:a", reason="they are closed")
    assert not rung(room)
    soon_ended(room, agreed)
    assert not rung(room)
    stopped = of(room, identifier)[HOUSING]
    assert (stopped.state, stopped.code, stopped.attempts) == (State.WITHDRAWN, "consent_expired", 0)
    outbox.tidy(room)
    assert told(room).count("consent.expired") == 1
    assert told(room)[-2:] == ["delivery.state", "consent.expired"]
    assert kinds(room, agreed)[-1] is Kind.EXPIRED
    assert not agencies[HOUSING].received


def test_an_end_is_checked_at_the_instant_of_sending(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    [bell] = rung(room)
    soon_ended(room, agreed)
    carry_out(room, bell)
    assert (of(room, identifier)[HOUSING].state, of(room, identifier)[HOUSING].code) == (
        State.WITHDRAWN,
        "consent_expired",
    )
    assert not agencies[HOUSING].received


def test_what_was_delivered_stays_when_consent_ends_and_can_be_renewed(room: PostRoom) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    soon_ended(room, agreed)
    outbox.tidy(room)
    assert of(room, identifier)[HOUSING].state is State.DELIVERED
    assert not of(room, identifier, "withdrawal")
    version = record(room, agreed).version
    _, kind = changes.change_consent(room, agreed, HUB, consent(), based_on=version)
    assert kind is Kind.RENEWED


def test_nobody_is_told_of_the_end_of_a_consent_nothing_rests_on(room: PostRoom) -> None:
    with room.store.begin() as tx:
        consents.save(tx, consent(), hub=HUB.hub)
        tx.run("UPDATE consents SET look_at = now()")
    outbox.tidy(room)
    assert told(room) == []


# Safe contact


def new_contact(room: PostRoom, identifier: str, contact: Any = None, key: str = "c-1") -> None:
    document = SAFE if contact is None else contact
    changes.change_contact(room, identifier, HUB, document, key, json.dumps(document).encode())


def test_a_new_safe_contact_reaches_every_agency_that_has_the_old_one(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room)
    work(room)
    assert all(OLD_NUMBER in holds(agencies, agency) for agency in PURPOSES)
    new_contact(room, identifier)
    work(room)
    for agency in PURPOSES:
        assert of(room, identifier, "update")[agency].state is State.DELIVERED
        assert NEW_NUMBER in holds(agencies, agency)
        assert OLD_NUMBER not in holds(agencies, agency)
    new_contact(room, identifier)  # the same key again
    new_contact(room, identifier, key="c-2")  # the same details again
    assert len(of(room, identifier, "update")) == 3
    assert told(room).count("referral.contact") == 1
    with room.store.begin() as tx:
        assert audit.verify(tx).broken is None


def test_it_reaches_her_other_referrals_as_well(room: PostRoom, agencies: Agencies) -> None:
    _, first = submit(room, HOUSING)
    _, second = submit(room, HEALTH)
    _, hers_not = submit(room, SOCIAL_SECURITY)
    with room.store.begin() as tx:
        tx.run("UPDATE referrals SET subject_index = 'other' WHERE id = %(id)s", {"id": hers_not})
    work(room)
    new_contact(room, first)
    work(room)
    assert NEW_NUMBER in holds(agencies, HOUSING)
    assert NEW_NUMBER in holds(agencies, HEALTH)
    assert OLD_NUMBER in holds(agencies, SOCIAL_SECURITY)
    assert of(room, second, "update")


def test_what_has_not_left_carries_the_new_contact_only(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room)
    bells = rung(room)  # claimed a moment ago
    new_contact(room, identifier)
    for bell in bells:
        carry_out(room, bell)
    assert not any(simulator.received for simulator in agencies.simulators.values())
    work(room, rounds=2)
    assert not of(room, identifier, "update")
    for agency in PURPOSES:
        assert NEW_NUMBER in holds(agencies, agency)
        assert OLD_NUMBER not in str(agencies[agency].received)


def test_a_contact_change_while_it_is_on_the_wire_is_followed_by_an_update(room: PostRoom, agencies: Agencies) -> None:
    _, stage = begun(room, HEALTH)
    new_contact(room, stage.delivery.referral)
    [update] = line(room, stage.delivery)
    assert (update.kind, update.state) == ("update", State.HELD)
    result = attempt._exchange(room, stage, time.monotonic())
    settle.outcome(room, stage.delivery, stage.agency, result, 0.1, stage.content.referral).settle()  # type: ignore[arg-type]
    assert OLD_NUMBER in holds(agencies, HEALTH)
    work(room, rounds=2)
    assert NEW_NUMBER in holds(agencies, HEALTH)
    assert OLD_NUMBER not in holds(agencies, HEALTH)


@pytest.mark.parametrize("agency", list(PURPOSES))
def test_an_uncertain_referral_is_settled_first_and_never_repeats_the_old_contact(
    room: PostRoom, agencies: Agencies, agency: str
) -> None:
    agencies[agency].fail_next("drop")
    _, identifier = submit(room, agency)
    work(room)
    new_contact(room, identifier)
    for _ in range(6):
        make_due(room)
        work(room)
    [update] = line(room, of(room, identifier)[agency])
    assert update.state is State.DELIVERED
    assert NEW_NUMBER in holds(agencies, agency)
    assert OLD_NUMBER not in holds(agencies, agency)
    first, *later = [message for message in agencies[agency].received if "07700" in message["body"]]
    assert OLD_NUMBER in first["body"]
    assert not [message for message in later if OLD_NUMBER in message["body"]]


def test_updates_and_withdrawals_keep_their_order(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    agencies[HOUSING].fail_next("unavailable", times=2)
    new_contact(room, identifier)
    work(room)
    new_contact(room, identifier, {"through_hub": True}, key="c-2")
    work(room)
    original = of(room, identifier)[HOUSING]
    assert [one.state for one in line(room, original)] == [State.WAITING, State.HELD]
    less(room, agreed)
    states = [(one.kind, one.state) for one in line(room, original)]
    assert states == [("update", State.WITHDRAWN), ("update", State.WITHDRAWN), ("withdrawal", State.WAITING)]
    for _ in range(4):
        make_due(room)
        work(room)
    assert of(room, identifier)[HOUSING].status is Status.WITHDRAWN
    assert [message["method"] for message in agencies[HOUSING].received if message["path"] != "/oauth/token"] == [
        "POST", "POST"
    ]  # fmt: skip


def test_a_later_update_waits_for_an_earlier_one_on_the_wire(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HEALTH)
    work(room)
    new_contact(room, identifier)
    [bell] = rung(room)
    stage = begin(room, bell)
    assert isinstance(stage, Send)
    new_contact(room, identifier, {"through_hub": True}, key="c-2")
    new_contact(room, identifier, {}, key="c-3")
    assert [one.state for one in line(room, of(room, identifier)[HEALTH])] == [State.SENDING, State.HELD, State.HELD]
    assert not rung(room)
    settle.outcome(room, stage.delivery, stage.agency, attempt._exchange(room, stage, time.monotonic()), 0.1).settle()  # type: ignore[arg-type]
    assert [one.state for one in line(room, of(room, identifier)[HEALTH])] == [
        State.DELIVERED,
        State.WAITING,
        State.HELD,
    ]
    work(room, rounds=2)
    assert [one.state for one in line(room, of(room, identifier)[HEALTH])] == [State.DELIVERED] * 3
    assert "07700" not in holds(agencies, HEALTH)


def test_an_update_in_doubt_is_told_again(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, SOCIAL_SECURITY)
    work(room)
    agencies[SOCIAL_SECURITY].fail_next("drop")
    new_contact(room, identifier)
    work(room)
    [update] = line(room, of(room, identifier)[SOCIAL_SECURITY])
    assert update.state is State.ASKING
    make_due(room)
    work(room)
    [update] = line(room, of(room, identifier)[SOCIAL_SECURITY])
    assert (update.state, update.attempts) == (State.DELIVERED, 2)


def test_confirming_a_doubtful_referral_lets_its_withdrawal_go(room: PostRoom, agencies: Agencies) -> None:
    agreed, stage = begun(room, HOUSING)
    doubted(room)
    less(room, agreed)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = NULL, token = NULL WHERE state = 'asking'")
    decisions.confirm(room, stage.delivery.id, by="admin:a", reason="asked by phone")
    work(room)
    [withdrawal] = line(room, stage.delivery)
    assert withdrawal.state is State.DELIVERED


def test_a_callback_that_resolves_a_doubt_lets_its_withdrawal_go(room: PostRoom) -> None:
    agreed, stage = begun(room, HOUSING)
    doubted(room)
    less(room, agreed)
    from gateway.delivery import feedback

    with room.store.begin() as tx:
        found = deliveries.lock(tx, stage.delivery.id)
        feedback.apply(tx, found, sdk.Update(Status.ACCEPTED), by="agency:x", source=Source.CALLBACK)
    [withdrawal] = line(room, stage.delivery)
    assert withdrawal.state is State.WAITING


def test_a_completed_referral_is_taken_back_too(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    with room.store.begin() as tx:
        found = deliveries.lock(tx, of(room, identifier)[HOUSING].id)
        deliveries.set_status(tx, found, Status.COMPLETED, reason=None, at=tx.now(), by="agency:x")
    less(room, agreed)
    work(room)
    assert holds(agencies, HOUSING) == "null"
    assert of(room, identifier)[HOUSING].status is Status.COMPLETED


def test_her_childrens_data_leaves_only_with_its_own_consent(room: PostRoom, agencies: Agencies) -> None:
    document = consent()
    for permit in document["permits"]:
        assert set(permit["categories"]) == set(ALL_CATEGORIES)
        del permit["children"]
    with room.store.begin() as tx:
        agreed = consents.save(tx, document, hub=HUB.hub)
    from gateway import intake
    from tests.support import referral

    draft = referral(agreed, SOCIAL_SECURITY, HOUSING)
    intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), "k", HUB)
    work(room)
    for agency in (SOCIAL_SECURITY, HOUSING):
        assert "2019-02-03" not in holds(agencies, agency)
        assert "Ileana" in holds(agencies, agency)


def test_what_was_abandoned_is_locked_in_the_order_of_everybody(room: PostRoom) -> None:
    """The referral before what follows it: the other way round, two who lock the same line wait for each other."""
    agreed, identifier = submit(room, HOUSING)
    work(room)
    less(room, agreed)
    [bell] = rung(room)
    assert begin(room, bell) is not None  # the withdrawal is on the wire, and its worker dies
    first, follower = of(room, identifier)[HOUSING], of(room, identifier, "withdrawal")[HOUSING]
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE id = %(id)s", {"id": follower.id})
    clock = threading.Thread(target=outbox._doubt_abandoned, args=(room,))
    with room.store.begin() as tx:
        tx.run("SELECT FROM deliveries WHERE id = %(id)s FOR UPDATE", {"id": first.id})
        clock.start()
        while not tx.one("SELECT pid FROM pg_locks WHERE NOT granted"):
            time.sleep(0.01)
        tx.put("SET LOCAL lock_timeout = '300ms'")
        tx.run("SELECT FROM deliveries WHERE id = %(id)s FOR UPDATE", {"id": follower.id})
    clock.join(10)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.ASKING
