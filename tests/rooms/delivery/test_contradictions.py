"""What an agency says against what is recorded: kept with its source, shown, and it changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import gateway_sdk as sdk
import pytest
from gateway_sdk import Reason, Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.delivery import contradictions as decisions
from gateway.delivery import feedback
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound
from gateway.policy.lifecycle import MAY_SET, Party, status_may_become
from gateway.store import contradictions, deliveries, events
from gateway.store.contradictions import Contradiction, Source
from gateway.store.deliveries import Delivery
from tests.rooms.delivery.test_attempt import HUB, make_due, of, submit, work
from tests.support import HOUSING, SOCIAL_SECURITY, Agencies

PARTIES = {Source.CALLBACK: Party.AGENCY, Source.POLL: Party.AGENCY, Source.BY_HAND: Party.HUB_FOR_AGENCY}


def arrived(room: PostRoom, agency: str = HOUSING) -> Delivery:
    _, identifier = submit(room, agency)
    work(room)
    return of(room, identifier)[agency]


def say(room: PostRoom, delivery: str, status: Status, source: Source = Source.CALLBACK, **more: Any) -> bool:
    with room.store.begin() as tx:
        update = sdk.Update(status, **more)
        locked = deliveries.lock(tx, delivery)
        return feedback.apply(tx, locked, update, by="test", source=source, party=PARTIES[source])


def now(room: PostRoom, delivery: str) -> tuple[Status, list[Contradiction]]:
    with room.store.begin() as tx:
        return deliveries.get(tx, delivery).status, contradictions.open_of(tx, [delivery])


def told(room: PostRoom) -> list[dict[str, Any]]:
    with room.store.begin() as tx:
        events.place(tx)
        return [one for one in events.after(tx, HUB.hub, 0, 10_000) if one["type"] == "delivery.contradiction"]


statements = st.lists(st.tuples(st.sampled_from(list(Status)), st.sampled_from(list(Source))), max_size=8)


@given(statements)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_no_statement_is_lost_and_none_overwrites(
    room: PostRoom, said: list[tuple[Status, Source]]
) -> None:
    delivery = arrived(room).id
    stands, kept, before = Status.SENT, set[Status](), len(told(room))
    count = 0
    for status, source in said:
        believed = say(room, delivery, status, source)
        if status is stands:
            kept = set()
        elif status_may_become(stands, status, PARTIES[source]):
            stands, kept = status, set()
        else:
            count += status not in kept
            kept.add(status)
            assert not believed
        found, open_ones = now(room, delivery)
        assert found is stands
        assert {one.status for one in open_ones} == kept
    assert len(told(room)) - before == count  # each once, also where it was settled since


def test_a_poll_and_a_callback_that_contradict_are_shown_with_their_source(room: PostRoom, agencies: Agencies) -> None:
    delivery = arrived(room, SOCIAL_SECURITY).id
    assert say(room, delivery, Status.DECLINED, reason=Reason.NO_CAPACITY)
    [case] = agencies[SOCIAL_SECURITY].cases.values()
    case.updated_at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    for _ in range(2):  # it still says that it has just received it
        make_due(room)
        work(room)
    found, [open_one] = now(room, delivery)
    assert (found, open_one.status, open_one.source) == (Status.DECLINED, Status.SENT, Source.POLL)
    [event] = told(room)
    assert (event["source"], event["status"]) == ("poll", "sent")


def test_what_is_late_is_no_contradiction(room: PostRoom) -> None:
    delivery, at = arrived(room).id, datetime.now(UTC)
    assert say(room, delivery, Status.COMPLETED, at=at)
    assert not say(room, delivery, Status.ACCEPTED, at=at - timedelta(hours=1))
    assert now(room, delivery) == (Status.COMPLETED, [])


def test_another_reference_is_kept_sealed_and_the_first_stays(room: PostRoom) -> None:
    first = arrived(room)
    for _ in range(2):
        assert say(room, first.id, Status.ACCEPTED, reference="OTHER-1")
    with room.store.begin() as tx:
        [found] = contradictions.open_of(tx, [first.id])
        assert contradictions.reference(tx, first, found) == "OTHER-1"
        assert deliveries.reference(tx, deliveries.get(tx, first.id)) == deliveries.reference(tx, first)
    assert found.reference
    assert b"OTHER-1" not in found.reference
    assert [event["code"] for event in told(room)] == ["other_reference"]


@pytest.mark.parametrize("believe", [True, False])
def test_a_person_decides(room: PostRoom, believe: bool) -> None:
    delivery = arrived(room).id
    say(room, delivery, Status.COMPLETED)
    say(room, delivery, Status.DECLINED, reason=Reason.OTHER)
    _, [said] = now(room, delivery)
    decided = decisions.decide(room, delivery, said.id, HUB, believe=believe)
    assert (decided.status, decided.reason) == (
        (Status.DECLINED, Reason.OTHER) if believe else (Status.COMPLETED, None)
    )
    assert now(room, delivery)[1] == []
    with pytest.raises(NotFound):
        decisions.decide(room, delivery, said.id, HUB, believe=believe)


def test_nobody_but_its_hub_decides(room: PostRoom) -> None:
    delivery = arrived(room).id
    say(room, delivery, Status.COMPLETED)
    say(room, delivery, Status.DECLINED)
    _, [said] = now(room, delivery)
    with pytest.raises(NotFound):
        decisions.decide(room, delivery, said.id, type(HUB)("highland-hub"), believe=True)
    assert Status.DECLINED in MAY_SET[Party.AGENCY]
