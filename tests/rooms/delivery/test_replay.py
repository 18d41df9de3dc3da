"""A range of ended deliveries is sent again when a person says so, under the same keys, and never without consent."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.delivery import decisions, replay
from gateway.delivery.replay import Alike
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, ConsentMissing
from gateway.policy.lifecycle import State
from gateway.store import selections
from gateway.store.selections import Selection
from tests.rooms.delivery.test_attempt import make_due, of, submit, until, work
from tests.rooms.delivery.test_breaker import rung
from tests.rooms.delivery.test_standing import changed
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies


def dead(room: PostRoom, agencies: Agencies, agency: str, count: int) -> list[tuple[str, str]]:
    """So many dead deliveries of *agency*, as (consent, referral); its breaker is kept out of it."""
    calm = changed(room, agency, breaker_least=1000)
    agencies[agency].fail_next("unavailable", times=4 * count)
    made = [submit(room, agency) for _ in range(count)]
    for _ in range(5):
        work(calm)
        make_due(room)
    assert [of(room, referral)[agency].state for _, referral in made] == [State.DEAD] * count
    return made


def audited(room: PostRoom, action: str) -> list[dict[str, Any]]:
    with room.store.begin() as tx:
        return tx.all(
            "SELECT actor, object, detail::json AS detail FROM audit WHERE action = %(a)s ORDER BY id", {"a": action}
        )


def test_a_range_is_shown_first_and_sent_again_under_its_keys(room: PostRoom, agencies: Agencies) -> None:
    made = dead(room, agencies, HOUSING, 3)
    [(_, other)] = dead(room, agencies, HEALTH, 1)
    chosen = replay.up_to_now(room, Selection(agency=HOUSING, codes=frozenset({"HTTP 503"})))
    expected = Counter({Alike(HOUSING, State.DEAD, "HTTP 503"): 3})
    assert replay.preview(room, chosen) == expected
    assert [of(room, referral)[HOUSING].state for _, referral in made] == [State.DEAD] * 3
    assert replay.carry_out(room, chosen, by="admin:a", reason="they are back") == expected
    for _, referral in made:
        found = until(room, referral, HOUSING, State.DELIVERED)
        assert agencies[HOUSING].cases[HOUSING, found.id].times == 1
    assert of(room, other)[HEALTH].state is State.DEAD
    [whole] = audited(room, "deliveries.replay")
    assert (whole["actor"], whole["detail"]["reason"]) == ("admin:a", "they are back")
    assert whole["detail"]["codes"] == ["HTTP 503"]
    each = audited(room, "delivery.replay")
    assert [row["detail"] for row in each] == [{"reason": "they are back", "decision": whole["object"]}] * 3
    assert replay.carry_out(room, chosen, by="admin:a", reason="again") == {}


def test_what_has_no_consent_any_more_is_told_and_left(room: PostRoom, agencies: Agencies) -> None:
    made = dead(room, agencies, HOUSING, 3)
    with room.store.begin() as tx:  # as it ends by itself; withdrawing it would have closed the delivery
        tx.run("UPDATE consents SET withdrawn_at = now() WHERE id = %(id)s", {"id": made[0][0]})
        tx.run("UPDATE data_keys SET wrapped = decode('01', 'hex') WHERE record = %(id)s", {"id": made[1][0]})
    chosen = replay.up_to_now(room, Selection())
    expected = {
        Alike(HOUSING, State.DEAD, "HTTP 503", "consent_withdrawn"): 1,
        Alike(HOUSING, State.DEAD, "HTTP 503", "record_damaged"): 1,
        Alike(HOUSING, State.DEAD, "HTTP 503"): 1,
    }
    assert replay.preview(room, chosen) == expected
    assert replay.carry_out(room, chosen, by="admin:a", reason="x") == expected
    states = [of(room, referral)[HOUSING].state for _, referral in made]
    assert states == [State.DEAD, State.DEAD, State.WAITING]
    with pytest.raises(ConsentMissing, match="she withdrew her consent"):
        decisions.replay(room, of(room, made[0][1])[HOUSING].id, by="admin:a", reason="x", dry_run=True)
    with pytest.raises(Conflict, match="does not open"):
        decisions.replay(room, of(room, made[1][1])[HOUSING].id, by="admin:a", reason="x")
    gone = replace(room, agencies={name: agency for name, agency in room.agencies.items() if name != HOUSING})
    assert {line.held_back for line in replay.preview(gone, chosen)} == {"not_configured"}


def test_uncertain_ones_only_when_asked_for_and_only_what_waits_for_a_person(
    room: PostRoom, agencies: Agencies
) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=4)
    _, waits = submit(room, SOCIAL_SECURITY)
    for _ in range(6):
        work(room)
        make_due(room)
    agencies[SOCIAL_SECURITY].fail_next("garbage")
    _, resolving = submit(room, SOCIAL_SECURITY)
    work(room)
    assert of(room, waits)[SOCIAL_SECURITY].due_at is None
    assert of(room, resolving)[SOCIAL_SECURITY].due_at is not None
    assert replay.preview(room, Selection(states=frozenset({State.DEAD, State.REFUSED}))) == {}
    [line] = replay.preview(room, Selection(states=frozenset({State.ASKING}))).items()
    assert (line[0].state, line[1]) == (State.ASKING, 1)


def test_times_codes_and_states_narrow_it(room: PostRoom, agencies: Agencies) -> None:
    [(_, referral)] = dead(room, agencies, HOUSING, 1)
    submit(room, HOUSING, housing={"situation": "own-tenancy-at-risk", "lost_on": "2099-01-01"})
    work(room)
    ended = of(room, referral)[HOUSING].updated_at
    second = timedelta(seconds=1)

    def count(**chosen: Any) -> int:
        states = frozenset({State.DEAD, State.REFUSED})
        return sum(replay.preview(room, Selection(**{"states": states, **chosen})).values())

    assert count() == 2
    assert count(states=frozenset({State.REFUSED})) == 1
    assert count(codes=frozenset({"not_threatened"})) == 1
    assert count(codes=frozenset({"HTTP 503"}), since=ended, until=ended + second) == 1
    assert count(codes=frozenset({"HTTP 503"}), until=ended) == 0
    assert count(codes=frozenset({"HTTP 503"}), since=ended + second) == 0
    assert count(agency=HEALTH) == 0


def test_many_go_in_batches_and_what_dies_again_is_not_sent_a_third_time(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dead(room, agencies, HOUSING, 5)
    monkeypatch.setattr(replay, "BATCH", 2)
    sizes = []
    lock = selections.lock

    def noting(tx: Any, picked: Any) -> Any:
        sizes.append(len(picked))
        held = lock(tx, picked)
        with room.store.begin() as other:  # whoever looks meanwhile is not held up
            free = other.all("SELECT id FROM deliveries WHERE state = 'dead' FOR UPDATE SKIP LOCKED")
            other.run("UPDATE deliveries SET state = 'dead', updated_at = clock_timestamp() WHERE state = 'waiting'")
        assert len(free) >= 5 - 2 * len(sizes)
        return held

    monkeypatch.setattr(selections, "lock", noting)
    done = replay.carry_out(room, replay.up_to_now(room, Selection()), by="admin:a", reason="x")
    assert (sizes, sum(done.values())) == ([2, 2, 1], 5)
    assert len({row["object"] for row in audited(room, "delivery.replay")}) == len(made)
    assert len(audited(room, "delivery.replay")) == len(made)


def test_a_replayed_range_is_spread_by_the_window(room: PostRoom, agencies: Agencies) -> None:
    dead(room, agencies, HOUSING, 4)
    replay.carry_out(room, replay.up_to_now(room, Selection()), by="admin:a", reason="x")
    assert len(rung(changed(room, HOUSING, window=3))) == 3
