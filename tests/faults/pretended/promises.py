"""What delivery promises (docs/delivery.md), each as a check that holds after every step; and what holds in the end."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_sdk import Status

from gateway import reports
from gateway.policy.lifecycle import DELIVERY, HUB_IS_TOLD, State
from gateway.store import audit, events, health
from gateway.store.deliveries import Delivery

from .workers import ENDS, asks_a_person, settled
from .world import HUB, World


@dataclass(frozen=True)
class Seen:
    """What the database says, all at one moment. *feed*: the hub's. *begun*: how often, by delivery, as the audit has it."""

    rows: Mapping[str, Delivery]
    overview: reports.Overview
    feed: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    begun: dict[str, int]


def look(world: World) -> Seen:
    with world.store.begin() as tx:
        events.place(tx)
        rows = tx.put("SELECT * FROM deliveries ORDER BY id")
        attempts = tx.put("SELECT delivery, outcome FROM attempts")
        begun = tx.put(
            "SELECT object, count(*) AS times FROM audit WHERE action IN ('delivery.begin', 'delivery.repeat') "
            "GROUP BY object"
        )
        return Seen(
            feed=events.after(tx, HUB.hub, 0, 10_000),
            rows={row["id"]: Delivery.of_row(row) for row in rows},
            attempts=attempts.fetchall(),
            begun={row["object"]: row["times"] for row in begun},
            overview=reports.overview(tx, list(world.offices)),
        )


Promise = Callable[[World, Seen], None]


def check(world: World, promises: Iterable[Promise]) -> None:
    seen = look(world)
    for promise in promises:
        promise(world, seen)


def one_delivery_for_each_agency(world: World, seen: Seen) -> None:
    """What was answered with a receipt is stored once for each agency; what was not is not stored."""
    receipts = [sent.receipt for sent in world.submitted if sent.receipt]
    promised = {(receipt.id, agency, key) for receipt in receipts for agency, key in receipt.deliveries.items()}
    stored = {(row.referral, row.agency, row.id) for row in seen.rows.values() if row.kind == "referral"}
    assert stored == promised


def nothing_is_forgotten(world: World, seen: Seen) -> None:
    """It has ended, or has its time, or waits behind one that has not ended and has its time, or asks for a person."""
    for row in seen.rows.values():
        ahead = seen.rows[row.of] if row.of and row.state is State.HELD else row
        assert settled(row) or (ahead.due_at is not None and not settled(ahead)), row


def the_oldest_is_counted(world: World, seen: Seen) -> None:
    """Held, waiting, asking, paused: every delivery that has not ended; a task in the whole only once it is late."""
    undelivered = [row for row in seen.rows.values() if row.state not in ENDS]
    counted = [row for row in undelivered if row.state is not State.TASK or row.code == "late"]
    ages = [world.clock.now - row.created_at for row in counted]
    assert seen.overview.oldest_undelivered == max(ages, default=None)
    for totals in seen.overview.agencies:
        waiting = (row.created_at for row in undelivered if row.agency == totals.agency)
        assert totals.oldest == min(waiting, default=None)


def nothing_is_sent_twice_blindly(world: World, seen: Seen) -> None:
    for office in world.offices.values():
        for key, times in office.arrived.items():
            assert times <= (1 if office.agency.adapter.idempotent else world.allowed[key]), key


def trouble_stays_where_it_is(world: World) -> None:
    """Just after a claim: where an agency is well, nothing is due that its window has room for."""
    rows = world.rows().values()
    with world.store.begin() as tx:
        unwell, _ = health.picture(tx)
    for name, office in world.offices.items():
        held = [row for row in rows if row.agency == name and row.token and row.due_at and row.due_at > world.clock.now]
        due = [row for row in rows if row.agency == name and row.due_at and row.due_at <= world.clock.now]
        assert name in unwell or not due or len(held) >= office.agency.settings.window, due


def the_hub_is_told_the_same(world: World, seen: Seen) -> None:
    """The feed has no gaps, and its last word about a delivery is how the delivery stands."""
    assert [event["position"] for event in seen.feed] == list(range(1, len(seen.feed) + 1))
    stands = [event for event in seen.feed if event["delivery"] and event["type"] != "delivery.contradiction"]
    last = {event["delivery"]: (event["state"], event["status"]) for event in stands}
    for row in seen.rows.values():
        assert row.state not in HUB_IS_TOLD or last[row.id] == (row.state, row.status), row


def the_books_agree(world: World, seen: Seen) -> None:
    """Each attempt that a worker lived to tell of is noted as the agency saw it, once."""
    noted = Counter((row["delivery"], row["outcome"]) for row in seen.attempts)
    assert noted == +world.workers.known
    assert seen.begun == {row.id: row.attempts for row in seen.rows.values() if row.attempts}


AFTER_EACH_STEP: list[Promise] = [
    one_delivery_for_each_agency,
    nothing_is_forgotten,
    the_oldest_is_counted,
    nothing_is_sent_twice_blindly,
    the_hub_is_told_the_same,
    the_books_agree,
]


def the_audit_is_unbroken(world: World, seen: Seen) -> None:
    with world.store.begin() as tx:
        assert audit.verify(tx).broken is None


def every_change_is_in_the_table(world: World, seen: Seen) -> None:
    assert world.changes() <= {(state, became) for (state, _), became in DELIVERY.items()}


def everything_ended(world: World, seen: Seen) -> None:
    for row in seen.rows.values():
        assert settled(row), row


def what_is_said_is_true(world: World, seen: Seen) -> None:
    """Delivered: the agency took it in. Otherwise it did not, but where a doubt is on record."""
    for row in seen.rows.values():
        if row.kind == "referral":
            arrived = world.offices[row.agency].arrived[row.id] > 0
            assert arrived if row.state is State.DELIVERED else row.may_be_there or not arrived, row


def what_she_took_back_is_nowhere(world: World, seen: Seen) -> None:
    """Every agency that has it was told, or a person is told that it was not."""
    followed = {row.of: row for row in seen.rows.values() if row.kind == "withdrawal"}
    for key, agreed in world.rests.items():
        case = world.offices[seen.rows[key].agency].cases.get(key)
        if agreed.withdrawn and case not in (None, Status.COMPLETED):
            assert key in followed, seen.rows[key]
            assert followed[key].state in (State.REFUSED, State.DEAD) or asks_a_person(followed[key]), followed[key]


IN_THE_END: list[Promise] = [
    the_audit_is_unbroken,
    everything_ended,
    what_is_said_is_true,
    what_she_took_back_is_nowhere,
]
