"""An agency that is closed, paused or called often enough gets nothing, and nothing is lost or counted by that."""

import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import gateway_sdk as sdk
import pytest

from gateway import reports, wire
from gateway.api.views import delivery_view
from gateway.delivery import decisions, outbox, standing
from gateway.delivery.room import PostRoom
from gateway.policy.calls import Why
from gateway.policy.hours import LONDON
from gateway.policy.lifecycle import State
from gateway.policy.routing import Service
from gateway.store import directory, pace
from tests.rooms.delivery.test_attempt import make_due, of, submit, until, work
from tests.rooms.delivery.test_breaker import rung
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, carry_out


def changed(room: PostRoom, agency: str, **settings: Any) -> PostRoom:
    """The room after a restart with other *settings* of an *agency*."""
    found = room.agencies[agency]
    other = replace(found, settings=found.settings.model_copy(update=settings))
    return replace(room, agencies={**room.agencies, agency: other})


def today() -> date:
    return datetime.now(LONDON).date()


def closed(room: PostRoom, agency: str, **more: Any) -> PostRoom:
    """The room while *agency* is closed, from yesterday until the day after tomorrow."""
    days = [today() + timedelta(days=ahead) for ahead in (-1, 0, 1)]
    return changed(room, agency, closed_on=days, **more)


def test_a_closed_agency_gets_nothing_until_it_opens(room: PostRoom, agencies: Agencies) -> None:
    _, identifier = submit(room, HOUSING)
    claimed = rung(room)
    shut = closed(room, HOUSING)
    for bell in claimed:  # claimed while it was open
        carry_out(shut, bell)
    submit(room, HEALTH)
    make_due(room)
    work(shut)
    waits = of(room, identifier)[HOUSING]
    assert (waits.state, waits.attempts, waits.failures) == (State.WAITING, 0, 0)
    assert not agencies[HOUSING].received
    assert agencies[HEALTH].received
    opens = datetime.combine(today() + timedelta(days=2), datetime.min.time(), LONDON)
    with room.store.begin() as tx:
        assert delivery_view(shut, tx, waits).next_attempt_at == opens
        [stop] = standing.everyones(shut, tx)[HOUSING].stops
        assert (stop.why, stop.until) == (Why.CLOSED, opens)
        overview = reports.overview(tx, list(room.agencies))
    assert overview.oldest_undelivered is not None
    until(room, identifier, HOUSING, State.DELIVERED)


def test_what_it_takes_round_the_clock_goes_all_the_same(room: PostRoom, agencies: Agencies) -> None:
    _, tonight = submit(room, HOUSING)
    _, some_day = submit(room, HOUSING, urgency="routine")
    shut = closed(room, HOUSING, hours_except=["stat"])
    [bell] = rung(shut)
    carry_out(shut, bell)
    assert of(room, tonight)[HOUSING].state is State.DELIVERED
    waits = of(room, some_day)[HOUSING]
    assert waits.state is State.WAITING
    with room.store.begin() as tx:
        assert standing.prospects(shut, tx, [waits])[waits.id].stop is not None
    _, more = submit(room, HOUSING)
    with room.store.begin() as tx:
        urgent = of(room, more)[HOUSING]
        assert standing.prospects(shut, tx, [urgent])[urgent.id].stop is None


def test_consent_that_ends_while_it_is_held_is_found_at_the_opening(room: PostRoom, agencies: Agencies) -> None:
    agreed, identifier = submit(room, HOUSING)
    work(closed(room, HOUSING))
    with room.store.begin() as tx:  # by a path that does not touch deliveries
        tx.run("UPDATE consents SET withdrawn_at = now() WHERE id = %(id)s", {"id": agreed})
    work(room)
    assert of(room, identifier)[HOUSING].state is State.WITHDRAWN
    assert not agencies[HOUSING].received


@pytest.mark.parametrize("how", ["paused", "closed"])
def test_a_stop_stops_retries_asks_and_polls_alike(
    room: PostRoom, agencies: Agencies, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(room.agencies[SOCIAL_SECURITY].adapter), "polls", True)
    slowly = dict.fromkeys(("retry", "ask", "poll"), [timedelta(hours=1)] * 3)
    room = replace(room, settings=room.settings.model_copy(update=slowly))
    agencies[SOCIAL_SECURITY].fail_next("unavailable")
    _, retried = submit(room, SOCIAL_SECURITY)
    work(room)
    _, asked = submit(room, SOCIAL_SECURITY)
    agencies[SOCIAL_SECURITY].fail_next("garbage")
    work(room)
    _, polled = submit(room, SOCIAL_SECURITY)
    work(room)
    states = [of(room, identifier)[SOCIAL_SECURITY].state for identifier in (retried, asked, polled)]
    assert states == [State.WAITING, State.ASKING, State.DELIVERED]
    make_due(room)
    claimed = rung(room)
    assert len(claimed) == 3
    before = len(agencies[SOCIAL_SECURITY].received)
    stopped = closed(room, SOCIAL_SECURITY) if how == "closed" else room
    if how == "paused":
        decisions.pause(room, SOCIAL_SECURITY, by="admin:a", reason="they asked us to")
    for bell in claimed:
        carry_out(stopped, bell)
    make_due(room)
    assert rung(stopped) == []
    assert len(agencies[SOCIAL_SECURITY].received) == before
    assert [of(room, identifier)[SOCIAL_SECURITY].state for identifier in (retried, asked, polled)] == states
    if how == "paused":
        decisions.resume(room, SOCIAL_SECURITY, by="admin:a", reason="they are back")
    for identifier in (retried, asked):
        until(room, identifier, SOCIAL_SECURITY, State.DELIVERED)
    assert len(agencies[SOCIAL_SECURITY].cases) == 3


def test_more_retries_after_a_restart_wake_no_dead_delivery(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    _, identifier = submit(room, HOUSING)
    until(room, identifier, HOUSING, State.DEAD)
    patient = room.settings.model_copy(update={"retry": [timedelta(seconds=1)] * 20})
    restarted = PostRoom(room.store, room.agencies, patient)
    make_due(room)
    assert rung(restarted) == []
    decisions.pause(restarted, HOUSING, by="admin:a", reason="x")
    decisions.resume(restarted, HOUSING, by="admin:a", reason="x")
    assert rung(restarted) == []
    assert of(room, identifier)[HOUSING].state is State.DEAD


def test_calls_a_minute_are_never_passed_whoever_claims(
    room: PostRoom, agencies: Agencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes at once, a minute of a second: sends, retries and questions all count."""
    minute, most = 1.0, 4
    monkeypatch.setattr(pace, "MINUTE", timedelta(seconds=minute))
    calls: list[float] = []
    send = wire.send

    def noting(*args: Any, **more: Any) -> sdk.Reply:
        calls.append(time.monotonic())
        time.sleep(0.05)  # so that some are under way while others are counted
        return send(*args, **more)

    monkeypatch.setattr(wire, "send", noting)
    slow = changed(room, SOCIAL_SECURITY, calls_a_minute=most)
    agencies[SOCIAL_SECURITY].fail_next("unavailable", times=2)
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=2)
    sent = [submit(room, SOCIAL_SECURITY)[1] for _ in range(10)]
    over = threading.Event()

    def process() -> None:
        while not over.is_set():
            bells: list[tuple[str, UUID]] = []
            outbox.claim(slow, bells.extend)
            for bell in bells:
                carry_out(slow, bell)
            time.sleep(0.01)

    threads = [threading.Thread(target=process) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while any(of(room, one)[SOCIAL_SECURITY].state is not State.DELIVERED for one in sent):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    over.set()
    for thread in threads:
        thread.join()
    assert [of(room, one)[SOCIAL_SECURITY].state for one in sent] == [State.DELIVERED] * 10
    assert len(calls) >= 14
    for first in calls:
        assert sum(first <= other < first + minute for other in calls) <= most
    assert sum(of(room, one)[SOCIAL_SECURITY].attempts for one in sent) <= len(calls)


def test_an_agency_at_its_limit_holds_up_only_itself_and_says_until_when(room: PostRoom) -> None:
    slow = changed(room, HOUSING, calls_a_minute=2)
    for _ in range(3):
        submit(room, HOUSING)
    _, other = submit(room, HEALTH)
    work(slow, rounds=3)
    assert of(room, other)[HEALTH].state is State.DELIVERED
    with room.store.begin() as tx:
        stands = standing.everyones(slow, tx)[HOUSING]
    [stop] = stands.stops
    assert stop.why is Why.LIMITED
    assert stop.until is not None and timedelta(0) < stop.until - datetime.now(UTC) < timedelta(minutes=1)
    assert standing.says(stands).startswith("at its limit until ")


def test_a_bell_that_comes_when_its_lease_is_over_waits_for_the_next(room: PostRoom, agencies: Agencies) -> None:
    slow = changed(room, HOUSING, calls_a_minute=2)
    submit(room, HOUSING)
    [bell] = rung(slow)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now()")
    carry_out(slow, bell)
    assert not agencies[HOUSING].received
    assert rung(slow) == [bell]
    carry_out(slow, bell)
    assert len(agencies[HOUSING].cases) == 1


def listed(room: PostRoom, agency: str, *days: date) -> None:
    """The directory says that *agency* is open on the weekdays of these *days* only."""
    names = ",".join(day.strftime("%a")[:2].upper() for day in days)
    schedule = {"freq": "WEEKLY", "byday": names, "opens_at": "00:00", "closes_at": "23:59"}
    service = Service(
        "", agency, "Desk", frozenset({"housing-support"}), frozenset(), frozenset({"glasgow"}), schedules=(schedule,)
    )
    with room.store.begin() as tx:
        found = directory.changes(directory.lock(tx), {"desk": service}, [agency])
        directory.apply(tx, found, by="test")


def test_the_hours_of_the_directory_hold_deliveries_until_it_opens(room: PostRoom, agencies: Agencies) -> None:
    _, claimed_before = submit(room, HOUSING)
    bells = rung(room)
    tomorrow = today() + timedelta(days=1)
    listed(room, HOUSING, tomorrow)
    _, identifier = submit(room, HOUSING)
    work(room)
    for bell in bells:
        carry_out(room, bell)
    assert not agencies[HOUSING].received
    for waits in (of(room, claimed_before)[HOUSING], of(room, identifier)[HOUSING]):
        assert (waits.state, waits.attempts) == (State.WAITING, 0)
    with room.store.begin() as tx:
        [stop] = standing.everyones(room, tx)[HOUSING].stops
        told = standing.hours(room.agencies[HOUSING], directory.look(tx), tx.now())
    assert (stop.why, stop.until) == (Why.CLOSED, datetime.combine(tomorrow, datetime.min.time(), LONDON))
    assert told == f"{tomorrow:%a}".lower() + " 00:00-24:00, by the directory"
    listed(room, HOUSING, today(), tomorrow)  # a restart is not needed
    make_due(room)
    work(room)
    assert of(room, identifier)[HOUSING].state is State.DELIVERED


def test_the_settings_win_over_the_directory(room: PostRoom) -> None:
    listed(room, HOUSING, today() + timedelta(days=1))
    always = changed(room, HOUSING, hours={"mon-sun": "00:00-24:00"})
    _, identifier = submit(room, HOUSING)
    work(always)
    assert of(room, identifier)[HOUSING].state is State.DELIVERED
    listed(room, HEALTH, *(today() + timedelta(days=ahead) for ahead in range(7)))
    holiday = changed(room, HEALTH, closed_on=[today()])
    with room.store.begin() as tx:
        assert standing.everyones(room, tx)[HEALTH].stops == ()
        assert [stop.why for stop in standing.everyones(holiday, tx)[HEALTH].stops] == [Why.CLOSED]


def pause(room: PostRoom, identifier: str) -> float:
    """Seconds until the next poll."""
    with room.store.begin() as tx:
        due = of(room, identifier)[SOCIAL_SECURITY].due_at
        assert due is not None
        return (due - tx.now()).total_seconds()


def test_each_agency_is_asked_for_news_on_its_schedule_which_backs_off(room: PostRoom, agencies: Agencies) -> None:
    hours = [timedelta(hours=number) for number in (1, 5, 25)]
    room = changed(room, SOCIAL_SECURITY, poll=hours)
    _, identifier = submit(room, SOCIAL_SECURITY)
    work(room)
    found = []
    for turn in range(6):
        found.append(round(pause(room, identifier) / 3600))
        if turn == 3:  # there is news
            [case] = agencies[SOCIAL_SECURITY].cases.values()
            case.status, case.updated_at = sdk.Status.ACCEPTED, datetime.now(UTC).isoformat()
        if turn == 4:
            agencies[SOCIAL_SECURITY].fail_next("unavailable")
        make_due(room)
        work(room)
    assert found == [1, 5, 25, 25, 1, 25]
    never = changed(room, SOCIAL_SECURITY, poll=[])
    _, identifier = submit(never, SOCIAL_SECURITY)
    work(never)
    assert of(room, identifier)[SOCIAL_SECURITY].due_at is None
