"""One attempt after another, driven by hand: no Celery here, real servers everywhere."""

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import gateway_sdk as sdk
import pytest
from gateway_sdk import Status
from gateway_social_security import SocialSecurity

from gateway import intake
from gateway.delivery import attempt, changes, decisions, feedback, outbox, settle
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict
from gateway.policy.lifecycle import State
from gateway.policy.places import Phase
from gateway.store import audit, consents, deliveries, directory, listings
from gateway.store.callers import Caller
from gateway.store.contradictions import Source
from gateway.store.deliveries import Delivery
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, as_owner, begin, carry_out, consent, referral

HUB = Caller("glasgow-hub")


def submit(room: PostRoom, *agencies: str, **changes: Any) -> tuple[str, str]:
    """Returns the ids of consent and referral."""
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent(), hub=HUB.hub)
    draft = referral(agreed, *agencies, **changes)
    taken = intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), f"key {agreed}", HUB)
    return agreed, taken.id


def work(room: PostRoom, rounds: int = 1) -> int:
    """Tick, and carry out at once what is rung for. Returns how many."""
    rung: list[Any] = []
    for _ in range(rounds):
        outbox.tick(room, rung.extend)
        while rung:
            carry_out(room, rung.pop(0))
    return len(rung)


def make_due(room: PostRoom) -> None:
    """Let the time pass that anything waits for."""
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() WHERE due_at IS NOT NULL AND token IS NULL")


def of(room: PostRoom, identifier: str, kind: str = "referral") -> dict[str, Delivery]:
    with room.store.begin() as tx:
        found = listings.of_referral(tx, identifier, hub=HUB.hub)
    return {delivery.agency: delivery for delivery in found if delivery.kind == kind}


def until(room: PostRoom, identifier: str, agency: str, *states: State) -> Delivery:
    for _ in range(12):
        work(room)
        found = of(room, identifier)[agency]
        if found.state in states:
            return found
        make_due(room)
    raise AssertionError(f"{agency} stays {found.state} ({found.code})")


def test_a_referral_reaches_all_three_once(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room)
    work(room)
    found = of(room, identifier)
    assert {agency: delivery.state for agency, delivery in found.items()} == {
        HOUSING: State.DELIVERED,
        SOCIAL_SECURITY: State.DELIVERED,
        HEALTH: State.DELIVERED,
    }
    for agency, delivery in found.items():
        [case] = agencies[agency].cases.values()
        assert (case.key, case.times) == (delivery.id, 1)
        with room.store.begin() as tx:
            assert deliveries.reference(tx, delivery) == case.reference


@pytest.mark.parametrize("agency", [HOUSING, SOCIAL_SECURITY, HEALTH])
@pytest.mark.parametrize("fault", ["unavailable", "busy"])
def test_an_agency_that_is_closed_is_tried_again(room: PostRoom, agencies: Agencies, agency: str, fault: str) -> None:
    agencies[agency].fail_next(fault, times=2)
    _, identifier = submit(room, agency)
    work(room)
    assert of(room, identifier)[agency].state is State.WAITING
    delivered = until(room, identifier, agency, State.DELIVERED)
    assert delivered.attempts == 3
    assert len(agencies[agency].cases) == 1


def test_an_answer_about_another_referral_counts_for_none(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = submit(room, SOCIAL_SECURITY)
    work(room)
    there = of(room, first)[SOCIAL_SECURITY]
    assert there.state is State.DELIVERED
    agencies[SOCIAL_SECURITY].fail_next("drop")
    _, second = submit(room, SOCIAL_SECURITY)
    work(room)
    assert of(room, second)[SOCIAL_SECURITY].state is State.ASKING
    confused = sdk.SoapRequest("GetReferralStatus", {"reference": there.id})
    monkeypatch.setattr(SocialSecurity, "ask", lambda self, sent: confused)
    make_due(room)
    work(room)
    found = of(room, second)[SOCIAL_SECURITY]
    assert (found.state, found.asks) == (State.ASKING, 1)


@pytest.mark.parametrize("agency", [HOUSING, SOCIAL_SECURITY, HEALTH])
@pytest.mark.parametrize("fault", ["drop", "truncate", "garbage"])
def test_an_uncertain_send_is_resolved_and_held_once(
    room: PostRoom, agencies: Agencies, agency: str, fault: str
) -> None:
    agencies[agency].fail_next(fault)
    _, identifier = submit(room, agency)
    work(room)
    assert of(room, identifier)[agency].state is State.ASKING
    until(room, identifier, agency, State.DELIVERED)
    [case] = agencies[agency].cases.values()
    assert case.times == (1 if agency == SOCIAL_SECURITY else 2)  # asked about, or sent again under its key


def test_a_send_that_never_arrived_is_sent_again_after_asking(room: PostRoom, agencies: Agencies) -> None:
    agencies[SOCIAL_SECURITY].fail_next("error")  # a page of HTML with status 503: not a business fault
    _, identifier = submit(room, SOCIAL_SECURITY)
    work(room)
    assert of(room, identifier)[SOCIAL_SECURITY].code == "HTTP 503"
    until(room, identifier, SOCIAL_SECURITY, State.DELIVERED)
    assert len(agencies[SOCIAL_SECURITY].cases) == 1


def test_when_every_retry_fails_it_is_dead_and_can_be_replayed(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    _, identifier = submit(room, HOUSING)
    dead = until(room, identifier, HOUSING, State.DEAD)
    assert (dead.attempts, dead.code, dead.due_at) == (4, "HTTP 503", None)
    assert decisions.replay(room, dead.id, by="admin:a", reason="they are back", dry_run=True).state is State.DEAD
    decisions.replay(room, dead.id, by="admin:a", reason="they are back")
    assert until(room, identifier, HOUSING, State.DELIVERED).attempts == 5
    assert len(agencies[HOUSING].cases) == 1


def test_a_refusal_tells_why(room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING, housing={"situation": "own-tenancy-at-risk", "lost_on": "2099-01-01"})
    work(room)
    refused = of(room, identifier)[HOUSING]
    assert (refused.state, refused.code, refused.status) == (State.REFUSED, "not_threatened", Status.DECLINED)


def test_consent_is_asked_again_at_the_moment_of_sending(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    rung: list[Any] = []
    outbox.tick(room, rung.extend)
    with room.store.begin() as tx:  # as if withdrawn by a path that does not touch deliveries
        tx.run("UPDATE consents SET withdrawn_at = now() WHERE id = %(id)s", {"id": agreed})
    for bell in rung:
        carry_out(room, bell)
    stopped = of(room, identifier)[HOUSING]
    assert (stopped.state, stopped.code, stopped.attempts) == (State.WITHDRAWN, "consent_withdrawn", 0)
    assert not agencies[HOUSING].received


@pytest.mark.parametrize("state", [State.WAITING, State.ASKING])
def test_an_area_that_is_switched_off_waits_and_goes_on(room: PostRoom, agencies: Agencies, state: State) -> None:
    if state is State.ASKING:
        agencies[HOUSING].fail_next("drop")
    agreed, identifier = submit(room, HOUSING)
    if state is State.ASKING:
        work(room)  # it may have it: sending it again is sending, too
    received = len(agencies[HOUSING].received)
    switch(room, Phase.PLANNED)
    for _ in range(3):
        make_due(room)
        work(room, rounds=2)
    waits = of(room, identifier)[HOUSING]
    assert (waits.state, waits.due_at is not None, waits.token) == (state, True, None)
    assert waits.code == ("area_off" if state is State.WAITING else "connection_lost")
    assert len(agencies[HOUSING].received) == received
    switch(room, Phase.PILOT)
    if state is State.ASKING:
        make_due(room)
    work(room)
    assert of(room, identifier)[HOUSING].state is State.DELIVERED
    switch(room, Phase.PLANNED)
    changes.withdraw_consent(room, agreed, HUB)  # whatever the phase: the agency must be told
    work(room)
    [case] = agencies[HOUSING].cases.values()
    assert case.status is Status.WITHDRAWN


def switch(room: PostRoom, phase: Phase) -> None:
    with room.store.begin() as tx:
        directory.switch(tx, "glasgow", phase, by="test", reason="r")


def test_a_withdrawal_stops_what_waits_and_follows_what_arrived(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=9)
    agreed, identifier = submit(room)
    work(room)
    changes.withdraw_consent(room, agreed, HUB)
    found = of(room, identifier)
    assert found[HOUSING].state is State.WITHDRAWN
    assert {found[SOCIAL_SECURITY].status, found[HEALTH].status} == {Status.CANCELLATION_REQUESTED}
    work(room)
    taken = of(room, identifier, "withdrawal")
    assert {agency: delivery.state for agency, delivery in taken.items()} == {
        SOCIAL_SECURITY: State.DELIVERED,
        HEALTH: State.DELIVERED,
    }
    for agency in (SOCIAL_SECURITY, HEALTH):
        [case] = agencies[agency].cases.values()
        assert (case.status, case.document) == (Status.WITHDRAWN, None)
        assert of(room, identifier)[agency].status is Status.WITHDRAWN
    assert not agencies[HOUSING].cases


def test_a_withdrawal_waits_for_an_uncertain_referral(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("drop")
    agreed, identifier = submit(room, HOUSING)
    work(room)
    changes.withdraw_consent(room, agreed, HUB)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.HELD
    make_due(room)
    work(room, rounds=3)
    make_due(room)
    work(room, rounds=3)
    [case] = agencies[HOUSING].cases.values()
    assert (case.status, case.times) == (Status.WITHDRAWN, 1)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.DELIVERED


def test_a_token_serves_once(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    rung: list[Any] = []
    outbox.tick(room, rung.extend)
    for bell in rung * 3:
        carry_out(room, bell)
    assert of(room, identifier)[HOUSING].attempts == 1
    assert next(iter(agencies[HOUSING].cases.values())).times == 1


def test_a_lost_bell_is_rung_again_under_the_same_token(room: PostRoom) -> None:
    submit(room, HOUSING)
    first: list[Any] = []
    outbox.tick(room, first.extend)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now()")
    second: list[Any] = []
    outbox.tick(room, second.extend)
    assert first == second
    assert len(first) == 1


def test_a_worker_that_died_while_sending_leaves_a_doubt_not_a_resend(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:  # as a worker leaves it that was killed after it began
        tx.run("UPDATE deliveries SET state = 'sending', token = gen_random_uuid(), due_at = now() - interval '1 s'")
    work(room)
    found = of(room, identifier)[HOUSING]
    assert (found.state, found.code) == (State.ASKING, "abandoned")
    assert not agencies[HOUSING].received


def test_an_agency_gets_no_more_calls_at_once_than_its_window(room: PostRoom) -> None:
    for _ in range(12):
        submit(room, HOUSING)
    rung: list[Any] = []
    outbox.tick(room, rung.extend)
    outbox.tick(room, rung.extend)
    assert len(rung) == room.agencies[HOUSING].settings.window


def test_the_audit_chain_holds_and_a_changed_row_is_named(room: PostRoom) -> None:
    submit(room)
    work(room)
    with room.store.begin() as tx:
        verdict = audit.verify(tx)
        assert verdict.broken is None
        assert verdict.rows > 10
        as_owner(tx)
        tx.run("ALTER TABLE audit DISABLE TRIGGER ALL")
        tx.run("UPDATE audit SET actor = 'nobody' WHERE position = 7")
        changed = audit.verify(tx)
        row = tx.one("SELECT id FROM audit WHERE position = 7")
        assert row is not None
        assert (changed.rows, changed.broken) == (6, row["id"])
        tx.run("DELETE FROM audit WHERE position = 4")
        assert audit.verify(tx).rows == 3


def test_leases_outlive_deadlines(room: PostRoom) -> None:
    assert all(agency.deadline < room.settings.lease for agency in room.agencies.values())
    assert room.settings.lease > timedelta(seconds=1)


def begun(room: PostRoom, *agencies: str) -> tuple[str, Any]:
    """A referral whose only delivery was begun by a worker that is slow: its consent and the stage it is in."""
    agreed, _ = submit(room, *agencies)
    rung: list[tuple[str, UUID]] = []
    outbox.tick(room, rung.extend)
    stage = begin(room, rung[0])
    assert stage is not None
    return agreed, stage


def test_a_process_that_stood_still_sends_nothing_when_it_goes_on(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = room.agencies[SOCIAL_SECURITY]
    slow = replace(room.target(agency), deadline=0.2)
    room._targets[agency.name] = slow
    original = attempt.begin

    def stands_still(*args: Any) -> Any:
        stage = original(*args)
        time.sleep(0.3)
        return stage

    _, identifier = submit(room, SOCIAL_SECURITY)
    with monkeypatch.context() as standing:
        standing.setattr(attempt, "begin", stands_still)
        work(room)
    found = of(room, identifier)[SOCIAL_SECURITY]
    assert (found.state, found.code) == (State.WAITING, "no_time_left")
    assert not agencies[SOCIAL_SECURITY].received
    make_due(room)
    work(room)
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.DELIVERED


def doubted(room: PostRoom) -> None:
    """Let every lease end."""
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL")
    outbox.tick(room, lambda bundle: None)


@pytest.mark.parametrize(
    ("late", "state"),
    [
        (sdk.Delivered("LATE-1"), State.DELIVERED),
        (sdk.Refused("HTTP 422"), State.REFUSED),
        (sdk.Unavailable("HTTP 503"), State.ASKING),
        (sdk.Uncertain("HTTP 504"), State.ASKING),
    ],
)
def test_a_late_answer_about_a_doubted_send_still_counts(room: PostRoom, late: sdk.Outcome, state: State) -> None:
    _, stage = begun(room, HOUSING)
    doubted(room)
    settle.outcome(room, stage.delivery, stage.agency, late, 9.0).settle()
    with room.store.begin() as tx:
        assert deliveries.get(tx, stage.delivery.id).state is state


def test_a_late_answer_about_a_settled_send_is_only_noted(room: PostRoom) -> None:
    _, stage = begun(room, HOUSING)
    settle.outcome(room, stage.delivery, stage.agency, sdk.Delivered("ONE"), 0.1).settle()
    settle.outcome(room, stage.delivery, stage.agency, sdk.Refused("HTTP 422"), 9.0).settle()
    with room.store.begin() as tx:
        found = deliveries.get(tx, stage.delivery.id)
        assert (found.state, deliveries.reference(tx, found)) == (State.DELIVERED, "ONE")
        assert [row["outcome"] for row in listings.attempts(tx, found.id)] == ["delivered", "refused"]


def test_consent_withdrawn_while_it_is_on_the_wire_is_followed_by_a_withdrawal(
    room: PostRoom, agencies: Agencies
) -> None:
    agreed, stage = begun(room, HEALTH)
    [delivery] = changes.withdraw_consent(room, agreed, HUB)
    assert (delivery.state, delivery.status) == (State.SENDING, Status.CANCELLATION_REQUESTED)
    result = attempt._exchange(room, stage, time.monotonic())
    settle.outcome(room, stage.delivery, stage.agency, result, 0.1).settle()  # type: ignore[arg-type]
    work(room, rounds=2)
    [case] = agencies[HEALTH].cases.values()
    assert (case.status, case.document) == (Status.WITHDRAWN, None)


@pytest.mark.parametrize("who", ["the agency calls back", "a person confirms"])
def test_a_withdrawal_follows_an_uncertain_send_whoever_resolves_it(
    room: PostRoom, agencies: Agencies, who: str
) -> None:
    agencies[HOUSING].fail_next("drop")  # it took it
    agreed, identifier = submit(room, HOUSING)
    work(room)
    [delivery] = changes.withdraw_consent(room, agreed, HUB)
    assert delivery.state is State.ASKING
    if who == "a person confirms":
        decisions.confirm(room, delivery.id, by="admin:a", reason="asked by phone")
    else:
        with room.store.begin() as tx:
            update = sdk.Update(Status.ACCEPTED)
            feedback.apply(tx, deliveries.lock(tx, delivery.id), update, by=f"agency:{HOUSING}", source=Source.CALLBACK)
    work(room, rounds=2)
    assert of(room, identifier, "withdrawal")[HOUSING].state is State.DELIVERED
    [case] = agencies[HOUSING].cases.values()
    assert (case.status, case.document) == (Status.WITHDRAWN, None)


def test_a_withdrawal_follows_a_send_that_nobody_can_resolve(room: PostRoom, agencies: Agencies) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=4)  # it took it, and says nothing that can be read
    agreed, identifier = submit(room, SOCIAL_SECURITY)
    for _ in range(5):
        work(room)
        make_due(room)
    left = of(room, identifier)[SOCIAL_SECURITY]
    assert (left.state, left.due_at) == (State.ASKING, None)
    changes.withdraw_consent(room, agreed, HUB)
    work(room, rounds=2)
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.WITHDRAWN
    [case] = agencies[SOCIAL_SECURITY].cases.values()
    assert (case.status, case.document) == (Status.WITHDRAWN, None)


def test_consent_withdrawn_from_a_dead_delivery_closes_it(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    agreed, identifier = submit(room, HOUSING)
    until(room, identifier, HOUSING, State.DEAD)
    changes.withdraw_consent(room, agreed, HUB)
    assert of(room, identifier)[HOUSING].state is State.WITHDRAWN
    assert not agencies[HOUSING].cases


def test_an_uncertain_send_that_nobody_answers_for_waits_for_a_person(room: PostRoom, agencies: Agencies) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=9)
    _, identifier = submit(room, SOCIAL_SECURITY)
    for _ in range(6):
        work(room)
        make_due(room)
    waits = of(room, identifier)[SOCIAL_SECURITY]
    assert (waits.state, waits.due_at, waits.asks) == (State.ASKING, None, 3)
    decisions.confirm(room, waits.id, by="admin:a", reason="asked by phone")
    assert of(room, identifier)[SOCIAL_SECURITY].state is State.DELIVERED
    with pytest.raises(Conflict, match="nothing to confirm"):
        decisions.confirm(room, waits.id, by="admin:a", reason="again")


def test_an_adapter_that_fails_ends_only_its_own_delivery(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError("CANARY")

    _, identifier = submit(room)
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "translate", fail)
    work(room)
    found = of(room, identifier)
    assert (found[HOUSING].state, found[HOUSING].code) == (State.DEAD, "adapter_error")
    assert found[HEALTH].state is State.DELIVERED


def test_a_code_that_is_not_declared_is_not_kept(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "classify", lambda reply: sdk.Refused("Ileana Exemplu"))
    _, identifier = submit(room, HOUSING)
    work(room)
    assert of(room, identifier)[HOUSING].code == "undeclared"


def test_an_agency_that_cannot_take_back_needs_a_person(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "withdraw", lambda sent: None)
    agreed, identifier = submit(room, HOUSING)
    work(room)
    changes.withdraw_consent(room, agreed, HUB)
    work(room)
    withdrawal = of(room, identifier, "withdrawal")[HOUSING]
    assert (withdrawal.state, withdrawal.code) == (State.TASK, "withdraw_by_hand")


def test_a_repeated_attempt_that_meets_a_closed_door_leaves_the_doubt(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("drop")  # it took it
    agencies[HOUSING].fail_next("unavailable")
    agreed, identifier = submit(room, HOUSING)
    work(room)
    make_due(room)
    work(room)
    doubted_still = of(room, identifier)[HOUSING]
    assert (doubted_still.state, doubted_still.code, doubted_still.attempts) == (State.ASKING, "HTTP 503", 2)
    changes.withdraw_consent(room, agreed, HUB)  # it may have it: so it must be told
    for _ in range(4):
        make_due(room)
        work(room, rounds=2)
    [case] = agencies[HOUSING].cases.values()
    assert (case.status, case.document) == (Status.WITHDRAWN, None)


@pytest.mark.parametrize("table", ["consents", "referrals"])
def test_a_record_that_does_not_open_is_dead_at_once(room: PostRoom, agencies: Agencies, table: str) -> None:
    _, identifier = submit(room, HOUSING)
    _, other = submit(room, HEALTH)
    with room.store.begin() as tx:
        tx.run(f"UPDATE data_keys SET wrapped = decode('01', 'hex') FROM {table} WHERE record = id AND id IN "
               "(SELECT %(id)s UNION SELECT consent FROM referrals WHERE id = %(id)s)", {"id": identifier})  # fmt: skip
    work(room)
    found = of(room, identifier)[HOUSING]
    assert (found.state, found.code) == (State.DEAD, "record_damaged")
    assert not agencies[HOUSING].received
    assert of(room, other)[HEALTH].state is State.DELIVERED
