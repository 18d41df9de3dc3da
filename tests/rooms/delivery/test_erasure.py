"""Erased is erased: stopped first, listed for a person, unreadable for ever, and nothing is left that leads to her."""

import json
from typing import Any

import gateway_sdk as sdk
import psycopg
import pytest

from gateway import intake
from gateway.delivery import changes, decisions, erasure
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, NotFound, Sealed
from gateway.policy.lifecycle import State
from gateway.store import audit, consents, contradictions, deliveries, keys, messages, referrals
from gateway.store.callers import Caller
from tests.rooms.cli.conftest import Operator
from tests.rooms.delivery.test_attempt import HUB, make_due, of, submit, work
from tests.support import HEALTH, HOUSING, PURPOSES, SOCIAL_SECURITY, Agencies, consent, referral

__all__ = ["gateway"]
BY = "cli:test"
GONE = {  # columns in which what was erased is not even named
    ("idempotency", "referral"), ("former_contacts", "referral"), ("data_keys", "record"), ("consent_versions", "consent"),
    ("contradictions", "delivery"), ("messages", "referral"),
}  # fmt: skip


@pytest.fixture
def gateway(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(room, monkeypatch)


def erase(room: PostRoom, identifier: str, **more: Any) -> erasure.Erased:
    return erasure.erase(room, identifier, by=BY, reason="she asked for it", **more)


def again(room: PostRoom, agreed: str, *agencies: str, key: str = "again") -> str:
    """One more referral of the same woman, under the same consent."""
    draft = referral(agreed, *agencies)
    return intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), key, HUB).id


def column(room: PostRoom, sql: str, **values: Any) -> list[Any]:
    with room.store.begin() as tx:
        return [next(iter(row.values())) for row in tx.all(sql, values)]  # type: ignore[arg-type]


def test_what_has_not_left_is_stopped_and_what_has_is_listed(room: PostRoom, agencies: Agencies) -> None:
    agencies[HEALTH].fail_next("unavailable", times=9)
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=9)
    _, identifier = submit(room)
    work(room)
    before = of(room, identifier)
    assert {name: one.state for name, one in before.items()} == {
        HOUSING: State.DELIVERED, HEALTH: State.WAITING, SOCIAL_SECURITY: State.ASKING,
    }  # fmt: skip
    with room.store.begin() as tx:
        reference = deliveries.reference(tx, before[HOUSING])
    done = erase(room, identifier)
    assert {(one.agency, one.delivery, one.sure, one.reference) for one in done.recipients} == {
        (HOUSING, before[HOUSING].id, True, reference),
        (SOCIAL_SECURITY, before[SOCIAL_SECURITY].id, False, None),
    }
    assert reference
    assert set(done.stopped) == {before[HEALTH].id, before[SOCIAL_SECURITY].id}
    received = {name: len(agencies[name].received) for name in PURPOSES}
    for _ in range(3):
        make_due(room)
        work(room)
    assert {name: len(agencies[name].received) for name in PURPOSES} == received
    after = of(room, identifier)
    assert {name: (one.state, one.code) for name, one in after.items()} == {
        HOUSING: (State.DELIVERED, None), HEALTH: (State.WITHDRAWN, "erased"), SOCIAL_SECURITY: (State.WITHDRAWN, "erased"),
    }  # fmt: skip
    told = column(room, "SELECT type FROM events WHERE referral = %(id)s ORDER BY id", id=identifier)
    assert told[-1] == "referral.erased"


def test_it_opens_no_more_and_nothing_leads_to_her(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(room)
    with room.store.begin() as tx:
        [whole] = referrals.open_all(tx, [identifier], because="test").values()
        referrals.change_contact(tx, referrals.sealed(tx, identifier), whole, {}, by="test")
        sent = of(room, identifier)[HOUSING]
        contradictions.keep(tx, sent, contradictions.Source.POLL, by="test", reference="HL-OTHER")
        messages.keep(tx, sent, sdk.Message("1", "Has she a passport?"))
    sealed = column(room, "SELECT payload FROM referrals WHERE id = %(id)s", id=identifier)[0]
    index = column(room, "SELECT subject_index FROM referrals WHERE id = %(id)s", id=identifier)[0]
    assert erase(room, identifier).consents == (agreed,)
    with psycopg.connect(room.store.url) as connection:
        for table, name, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type IN ('bytea', 'text')"
        ).fetchall():
            held = connection.execute(f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL").fetchall()  # type: ignore[arg-type]
            if kind == "bytea":
                assert not {sealed, index} & {bytes(row[0]) for row in held}, f"{table}.{name}"
            if (table, name) in GONE:
                assert not {agreed, identifier, sent.id} & {row[0] for row in held}, f"{table}.{name}"
    with room.store.begin() as tx:
        for record in (agreed, identifier):
            with pytest.raises(Sealed):
                keys.of(tx, record)
        with pytest.raises(NotFound, match="was erased on"):
            referrals.get(tx, identifier, hub=HUB.hub)
        with pytest.raises(NotFound):
            consents.get(tx, agreed, hub=HUB.hub)
        tx.put("UPDATE referrals SET payload = %(payload)s WHERE id = %(id)s", {"payload": sealed, "id": identifier})
        with pytest.raises(Sealed):  # somebody puts back what was there
            referrals.open_all(tx, [identifier], because="test")


def test_her_consent_goes_with_her_last_referral_and_not_before(room: PostRoom) -> None:
    agreed, first = submit(room, HOUSING)
    second = again(room, agreed, HEALTH)
    assert erase(room, first).consents == ()
    with pytest.raises(Conflict, match="1 referrals rest on"):
        erase(room, agreed)
    assert erase(room, second).consents == (agreed,)
    with pytest.raises(Conflict, match="was erased on"):
        erase(room, second)


def test_everything_of_hers_at_that_hub_and_of_nobody_else(room: PostRoom) -> None:
    agreed, first = submit(room, HOUSING)
    also, second = submit(room, HEALTH)
    other_woman, hers = submit_for(room, "GLA-OTHER", HUB)
    other_hub, theirs = submit_for(room, "GLA-7Q2M", Caller("highland-hub"))
    preview = erase(room, first, everything=True, dry_run=True)
    done = erase(room, first, everything=True)
    assert done == preview
    assert (set(done.referrals), set(done.consents)) == ({first, second}, {agreed, also})
    with room.store.begin() as tx:
        assert set(referrals.open_all(tx, [hers, theirs], because="test")) == {hers, theirs}
        assert consents.get(tx, other_woman, hub=HUB.hub)
        assert consents.get(tx, other_hub, hub="highland-hub")


def submit_for(room: PostRoom, subject: str, caller: Caller) -> tuple[str, str]:
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent(subject=subject), hub=caller.hub)
    draft = referral(agreed, HOUSING, subject=subject)
    return agreed, intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), agreed, caller).id


def test_a_consent_without_referrals_can_be_erased(room: PostRoom) -> None:
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent(), hub=HUB.hub)
    assert erase(room, agreed).consents == (agreed,)
    with pytest.raises(NotFound):
        changes.withdraw_consent(room, agreed, HUB)


def test_what_is_on_the_wire_is_waited_for(room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET state = 'sending', token = gen_random_uuid(), due_at = now() + interval '9 s'")
    with pytest.raises(Conflict, match="is on its way to glasgow-housing: try again in a minute"):
        erase(room, identifier)
    with room.store.begin() as tx:
        assert keys.of(tx, identifier)


def test_what_is_damaged_can_be_erased(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    work(room)
    with room.store.begin() as tx:
        tx.run("UPDATE data_keys SET wrapped = decode('01', 'hex') WHERE record = %(id)s", {"id": identifier})
    [recipient] = erase(room, identifier).recipients
    assert (recipient.agency, recipient.reference) == (HOUSING, None)


def test_an_agency_that_answers_later_finds_nothing(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    work(room)
    sent = of(room, identifier)[HOUSING]
    erase(room, identifier)
    with room.store.begin() as tx:
        assert deliveries.find(tx, HOUSING, key=sent.id, reference=None) is None


def test_a_refused_one_cannot_be_sent_again(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET state = 'refused', due_at = NULL")
    refused = of(room, identifier)[HOUSING]
    assert erase(room, identifier).stopped == ()
    with pytest.raises(Conflict, match="erased"):
        decisions.replay(room, refused.id, by=BY, reason="x")


def test_it_is_audited_with_its_reason_and_the_chain_holds(room: PostRoom) -> None:
    agreed, identifier = submit(room, HOUSING)
    erase(room, identifier)
    with room.store.begin() as tx:
        for action, record in (("referral.erase", identifier), ("consent.erase", agreed)):
            found = audit.latest(tx, action, record)
            assert found is not None
            assert (found["actor"], found["detail"]) == (BY, {"reason": "she asked for it"})
        assert audit.verify(tx).holds


def test_the_command_shows_asks_and_erases(gateway: Operator, room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    work(room)
    arguments = ("erase", identifier, "--reason", "she asked for it")
    assert (
        "1 referrals and 1 consents would be erased, 0 deliveries would be stopped"
        in gateway(*arguments, "--dry-run").stderr
    )
    assert gateway(*arguments, answer="n\n").exit_code == 1
    done = gateway(*arguments, answer="y\n")
    assert done.exit_code == 0, done.output
    assert "1 referrals and 1 consents were erased" in done.stderr
    assert HOUSING in done.stdout
    unknown = gateway("erase", "ref_0", "--reason", "x", "--yes")
    assert isinstance(unknown.exception, NotFound)
