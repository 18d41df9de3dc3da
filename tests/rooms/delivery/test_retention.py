"""What is over is kept for as long as the settings say, and not a day longer; what is not over is kept."""

from datetime import timedelta
from typing import Any

import pytest
from gateway_sdk import Status
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery import changes, retention
from gateway.delivery.room import PostRoom
from gateway.errors import NotFound
from gateway.policy.lifecycle import MAY_HAVE_IT, UNDELIVERED, State
from gateway.policy.retention import DONE, Outcome, Part, outcome
from gateway.store import audit, deliveries, events, figures, keys, referrals, webhooks
from tests.rooms.delivery.test_attempt import HUB, submit, work
from tests.rooms.delivery.test_erasure import column
from tests.support import HOUSING, Agencies

PARTS = st.lists(st.builds(Part, st.sampled_from(State), st.sampled_from(Status), st.booleans()), max_size=4)
NOTHING = dict.fromkeys(
    ["ended", "open", "undelivered", "consents", "contacts", "callbacks", "idempotency", "webhooks", "events"], 0
)


@given(PARTS)
def test_what_came_of_it_decides(parts: list[Part]) -> None:
    came = outcome(parts)
    assert (came is None) == any(part.state in UNDELIVERED for part in parts)
    there = [part for part in parts if part.doubted or part.state in MAY_HAVE_IT]
    if came is not None:
        assert (came is Outcome.UNDELIVERED) == (not there)
        assert (came is Outcome.ENDED) == (bool(there) and {part.status for part in there} <= DONE)


def aged(room: PostRoom, days: int) -> None:
    """Let everything that ever happened have happened so long before."""
    with room.store.begin() as tx:
        for table, names in {
            "referrals": ["created_at"], "deliveries": ["created_at", "updated_at"], "events": ["at"],
            "consents": ["created_at", "withdrawn_at"], "consent_versions": ["recorded_at"],
            "idempotency": ["created_at"], "callbacks": ["at"],
        }.items():  # fmt: skip
            for name in names:
                tx.put(f"UPDATE {table} SET {name} = {name} - %(age)s", {"age": timedelta(days=days)})  # type: ignore[arg-type]


def due(room: PostRoom) -> dict[str, int]:
    return {kind: count for kind, count in retention.preview(room).items() if count}


@pytest.mark.parametrize(
    ("state", "status", "kind", "days"),
    [
        ("delivered", "completed", "ended", 365),
        ("delivered", "declined", "ended", 365),
        ("delivered", "in-progress", "open", 730),
        ("delivered", "sent", "open", 730),
        ("dead", "received", "undelivered", 90),
        ("refused", "declined", "undelivered", 90),
    ],
)
def test_a_referral_is_kept_to_its_day(room: PostRoom, state: str, status: str, kind: str, days: int) -> None:
    agreed, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:
        tx.run(
            "UPDATE deliveries SET state = %(state)s, status = %(status)s, due_at = NULL",
            {"state": state, "status": status},
        )
    aged(room, days - 1)
    assert kind not in due(room)
    assert retention.run(room)[kind] == 0
    aged(room, 2)
    assert due(room)[kind] == 1
    assert retention.run(room)[kind] == 1
    with room.store.begin() as tx:
        with pytest.raises(NotFound, match="was erased"):
            referrals.get(tx, identifier, hub=HUB.hub)
        assert keys.of(tx, agreed), "she still agrees: that is another matter"
        found = audit.latest(tx, "referral.erase", identifier)
    assert found is not None
    assert (found["actor"], found["detail"]) == ("gateway", {"reason": f"retention: {kind}"})


def test_what_is_on_its_way_is_kept_however_old(room: PostRoom) -> None:
    submit(room, HOUSING)
    aged(room, 5000)
    assert not {"ended", "open", "undelivered"} & due(room).keys()


def test_a_consent_goes_once_it_is_over_and_nothing_rests_on_it(room: PostRoom) -> None:
    agreed, identifier = submit(room, HOUSING)
    changes.withdraw_consent(room, agreed, HUB)  # nothing had left
    aged(room, 366)
    assert due(room)["undelivered"] == 1
    assert "consents" not in due(room)
    gone = retention.run(room)
    assert (gone["undelivered"], gone["consents"]) == (1, 1)
    assert column(room, "SELECT count(*) FROM data_keys WHERE record = ANY(%(ids)s)", ids=[agreed, identifier]) == [0]
    assert retention.run(room) == NOTHING


def test_what_is_kept_beside_goes_too_and_the_totals_stay(room: PostRoom, agencies: Agencies) -> None:
    with room.store.begin() as tx:
        made, _ = webhooks.create(tx, hub=HUB.hub, url="https://hub.example/", types=[], by="test")
        deliveries.first_seen(tx, HOUSING, "a callback")
    _, identifier = submit(room, HOUSING)
    work(room)
    with room.store.begin() as tx:
        [whole] = referrals.open_all(tx, [identifier], because="test").values()
        referrals.change_contact(tx, referrals.sealed(tx, identifier), whole, {}, by="test")
        events.place(tx)
        webhooks.queue_events(tx)
        tx.run("UPDATE deliveries SET state = 'delivered', due_at = NULL, token = NULL WHERE event IS NOT NULL")
        tx.run("INSERT INTO attempts (delivery, agency, kind, outcome, seconds) "
               "SELECT id, agency, 'send', 'delivered', 1 FROM deliveries WHERE event IS NOT NULL")  # fmt: skip
    for _ in range(3):
        with room.store.begin() as tx:
            figures.fold(tx)
    counted, chain = totals(room), column(room, "SELECT count(*) FROM audit")
    told = column(room, "SELECT count(*) FROM deliveries WHERE event IS NOT NULL")[0]
    assert told
    with room.store.begin() as tx:  # its primary key names it; the place that is sealed does too
        tx.run("UPDATE former_contacts SET until = until - interval '400 days'")
    aged(room, 31)
    assert due(room) == {"contacts": 1, "callbacks": 1, "idempotency": 1, "webhooks": told}
    assert {kind: n for kind, n in retention.run(room).items() if n} == due_then(told)
    aged(room, 365)
    gone = retention.run(room)
    assert gone["events"] == told
    assert totals(room) == counted
    assert column(room, "SELECT count(*) FROM events") == [0]
    assert column(room, "SELECT count(*) FROM audit")[0] > chain[0]
    with room.store.begin() as tx:
        assert audit.verify(tx).holds
        found = audit.latest(tx, "retention.run", "webhooks")
        assert webhooks.lock(tx, made.id), "the webhook itself stays"
    assert found is not None
    assert found["detail"] == {"count": told}


def due_then(told: int) -> dict[str, int]:
    return {"contacts": 1, "callbacks": 1, "idempotency": 1, "webhooks": told}


def totals(room: PostRoom) -> list[Any]:
    with room.store.begin() as tx:
        return sorted(map(str, figures.totals(tx)))


def test_a_dry_run_does_nothing(room: PostRoom) -> None:
    _, identifier = submit(room, HOUSING)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET state = 'dead', due_at = NULL")
    aged(room, 100)
    assert retention.preview(room) == retention.preview(room)
    with room.store.begin() as tx:
        assert keys.of(tx, identifier)
        assert audit.latest(tx, "retention.run", "undelivered") is None
