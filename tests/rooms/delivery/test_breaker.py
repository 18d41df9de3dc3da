"""A broken agency is left alone, probed by one call, and gone on with; a paused one gets nothing at all."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from gateway.delivery import decisions, outbox
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound
from gateway.policy.lifecycle import State
from gateway.store import health
from tests.rooms.delivery.test_attempt import make_due, of, submit, until, work
from tests.support import HEALTH, HOUSING, Agencies, carry_out

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def opened(room: PostRoom) -> dict[str, Any]:
    with room.store.begin() as tx:
        return {name: found.opened_at for name, found in health.picture(tx)[0].items()}


def probe_is_due(room: PostRoom) -> None:
    with room.store.begin() as tx:
        tx.run("UPDATE agency_health SET probe_at = clock_timestamp() WHERE probe_at IS NOT NULL")


def rung(room: PostRoom) -> list[tuple[str, UUID]]:
    bells: list[tuple[str, UUID]] = []
    outbox.tick(room, bells.extend)
    return bells


def test_an_outage_opens_it_one_probe_tries_and_a_success_closes_it(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=100)
    identifiers = [submit(room, HOUSING)[1] for _ in range(12)]
    submit(room, HEALTH)
    work(room, rounds=3)
    assert set(opened(room)) == {HOUSING}
    calls = of(room, identifiers[0])[HOUSING].attempts
    make_due(room)
    assert rung(room) == []  # open: nothing is claimed, no attempt is counted
    probe_is_due(room)
    [probe] = rung(room)
    assert rung(room) == []  # one probe, whoever looks again
    carry_out(room, probe)
    assert set(opened(room)) == {HOUSING}
    assert of(room, identifiers[0])[HOUSING].attempts <= calls + 1
    agencies[HOUSING].faults.clear()
    make_due(room)
    probe_is_due(room)
    for bell in rung(room):
        carry_out(room, bell)
    assert opened(room) == {}
    for identifier in identifiers:
        until(room, identifier, HOUSING, State.DELIVERED)
    with room.store.begin() as tx:
        rows = tx.all("SELECT action FROM audit WHERE action LIKE 'agency.breaker.%%' ORDER BY id")
    assert [row["action"] for row in rows] == ["agency.breaker.open", "agency.breaker.close"]


def test_a_paused_agency_gets_nothing_not_even_what_was_claimed(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    claimed = rung(room)
    decisions.pause(room, HOUSING, by="admin:a", reason="they asked us to")
    for bell in claimed:
        carry_out(room, bell)
    waits = of(room, identifier)[HOUSING]
    assert (waits.state, waits.attempts) == (State.WAITING, 0)
    _, second = submit(room, HOUSING)
    make_due(room)
    assert rung(room) == []
    assert not agencies[HOUSING].received
    decisions.resume(room, HOUSING, by="admin:a", reason="they are back")
    for each in (identifier, second):
        until(room, each, HOUSING, State.DELIVERED)


def test_resuming_starts_nothing_that_ended(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    _, identifier = submit(room, HOUSING)
    until(room, identifier, HOUSING, State.DEAD)
    decisions.pause(room, HOUSING, by="admin:a", reason="x")
    decisions.resume(room, HOUSING, by="admin:a", reason="x")
    make_due(room)
    assert rung(room) == []
    assert of(room, identifier)[HOUSING].state is State.DEAD


def test_an_agency_nobody_configured_cannot_be_paused(room: PostRoom) -> None:
    with pytest.raises(NotFound, match="glasgow-housing"):
        decisions.pause(room, "nobody", by="admin:a", reason="x")
