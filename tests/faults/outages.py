"""Scenarios of servers and networks: what a gateway stands on is slow, silent, gone, restarted, full, or sends nonsense.

They are played in houses on servers of their own, with a proxy before each server and each agency (``exposed.py``).
"""

import random
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from gateway.embedded.supervisor import wait_ready

from . import poison
from .agencies import ADAPTERS, COUNCIL, agreed, draft
from .exposed import QUEUE, Exposed, embedded, separate
from .load import Load, under_way, wait_for
from .proxy import Fault, Proxy
from .scenarios import Opener, Scenario

RABBIT = "PostgreSQL + RabbitMQ"
HOUSES: Mapping[str, Opener] = {"embedded": embedded, RABBIT: separate}
WITH_BROKER = {RABBIT: HOUSES[RABBIT]}

FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
PAUSES = {Fault.LATENCY: 0.3, Fault.DRIP: 0.02}  # seconds
MOMENT = 1.5  # seconds, for each fault
HOURS = 12  # of which each is a third of a second
SHORT = 60.0  # seconds in which the house must be at work again


def misbehave(proxy: Proxy, fault: Fault) -> None:
    proxy.be(fault, PAUSES.get(fault, 0.0))


def goes_on(load: Load) -> None:
    """Wait until more is taken."""
    under_way(load, len(load.submitted) + 5, SHORT)


def agencies_misbehave(house: Exposed, load: Load) -> int:
    """Every fault at every agency, at each another one at a time."""
    under_way(load, 10)
    for turn in range(len(FAULTS)):
        for place, agency in enumerate(ADAPTERS):
            misbehave(house.proxies[agency], FAULTS[(turn + 2 * place) % len(FAULTS)])
        time.sleep(MOMENT)
    return len(FAULTS) * len(ADAPTERS)


def server_misbehaves(name: str) -> Callable[[Exposed, Load], int]:
    """Every fault on the way to the server called *name*, one after the other."""

    def act(house: Exposed, load: Load) -> int:
        under_way(load, 10)
        for fault in FAULTS:
            misbehave(house.proxies[name], fault)
            time.sleep(MOMENT)
            house.proxies[name].be(Fault.NONE)
            goes_on(load)
        return len(FAULTS)

    return act


def database_restarts(manner: str) -> Callable[[Exposed, Load], int]:
    """*manner*: ``fast`` or ``immediate``, as ``pg_ctl`` has it."""

    def act(house: Exposed, load: Load) -> int:
        under_way(load, 10)
        house.postgres._run(
            "pg_ctl", "restart", "-w", "-D", house.postgres.data, "-m", manner, "-l", house.postgres.log
        )
        goes_on(load)
        return 1

    return act


def broker_is_killed(house: Exposed, load: Load) -> int:
    under_way(load, 10)
    house.rabbit.kill()
    goes_on(load)
    house.rabbit.start()
    goes_on(load)
    return 1


def broker_drops_its_connections(house: Exposed, load: Load) -> int:
    for _ in range(3):
        goes_on(load)
        house.rabbit.control("close_all_connections", "as an operator does")
    goes_on(load)
    return 3


def the_disk_is_full(house: Exposed, load: Load) -> int:
    """What cannot be kept is not taken; once there is room, the house goes on."""
    under_way(load, 10)
    house.disk.fill()
    wait_for(lambda: house.call("POST", "/v1/consents", json=agreed()).status_code == 503, "it refuses with 503", SHORT)
    time.sleep(MOMENT)
    house.disk.free()
    house.postgres.start()  # without room for its log it stops altogether
    goes_on(load)
    return 1


def one_agency_is_a_black_hole(house: Exposed, load: Load) -> int:
    """The others' referrals take as long as before."""
    began = _now(house)
    under_way(load, 40)
    calm = _pace(house, began)
    house.proxies[COUNCIL].be(Fault.BLACK_HOLE)
    time.sleep(1)
    began = _now(house)
    time.sleep(4)
    stormy = _pace(house, began)
    house.notes.append(f"median from 202 to delivered at the others: {calm:.3f} s, then {stormy:.3f} s")
    assert stormy < 2 * calm + 0.25, house.notes[-1]
    return 1


def _pace(house: Exposed, since: datetime) -> float:
    """The median of seconds from 202 to delivered, of what was accepted *since* and delivered at first try; not at the council."""
    with house.store.begin() as tx:
        row = tx.one(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM at - created_at)::float) AS median "
            "FROM attempts JOIN deliveries ON delivery = deliveries.id WHERE attempts.agency <> %(council)s "
            "AND attempts.kind = 'send' AND outcome = 'delivered' AND attempts = 1 "
            "AND created_at > %(since)s",
            {"council": COUNCIL, "since": since},
        )
    assert row
    assert row["median"] is not None, "the others got nothing"
    return float(row["median"])


def _now(house: Exposed) -> datetime:
    with house.store.begin() as tx:
        return tx.now()


def an_agency_is_away_for_hours(house: Exposed, load: Load) -> int:
    """Each round stands for an hour: what is due then is due now."""
    under_way(load, 10)
    house.proxies[COUNCIL].be(Fault.REFUSE)
    for _ in range(HOURS):
        time.sleep(0.3)
        with house.store.begin() as tx:
            tx.run(
                "UPDATE deliveries SET due_at = due_at - interval '1 h' "
                "WHERE agency = %(council)s AND state IN ('waiting', 'asking') AND token IS NULL AND due_at IS NOT NULL",
                {"council": COUNCIL},
            )
            tx.run("UPDATE agency_health SET probe_at = probe_at - interval '1 h'")
    return HOURS


def nonsense_on_the_queue(house: Exposed, load: Load) -> int:
    """It stops no worker, and is not delivered for ever."""
    under_way(load, 10)
    poison.publish(house.rabbit.url(), QUEUE, poison.POISON)
    goes_on(load)
    time.sleep(MOMENT)
    for name in house.workers:
        assert house.processes[name].poll() is None, f"{name} ended"
        house.stop(name)  # what it had not acknowledged is on the queue again
    left = poison.left(house.rabbit.url(), QUEUE)
    assert not left, f"{left} of {len(poison.POISON)} are still on the queue"
    return len(poison.POISON)


def messages_come_again(house: Exposed, load: Load) -> int:
    """Every message several times, before, during and after its attempt; old ones; some of nobody."""
    under_way(load, 10)
    seen: set[tuple[str, str]] = set()
    published = 0
    until = time.monotonic() + 5
    while time.monotonic() < until:
        with house.store.begin() as tx:
            rows = tx.all("SELECT id, token FROM deliveries WHERE token IS NOT NULL")
        held = {(row["id"], str(row["token"])) for row in rows}
        seen |= held
        old = random.sample(sorted(seen), min(20, len(seen)))
        made_up = [(identifier, str(uuid4())) for identifier, _ in old]
        messages = [poison.rings(one) for one in [*held, *held, *old]] + [poison.rings(*made_up, *old)]
        poison.publish(house.rabbit.url(), QUEUE, messages)
        published += len(messages)
        time.sleep(0.05)
    return published


def clocks_step(house: Exposed, load: Load) -> int:
    """The machine's clock is wrong by two hours every other second, first ahead, then behind; ours is the database's."""
    under_way(load, 10)
    for hours in (2, -2):
        for name, role in house.roles.items():
            house.kill(name)
            house.run(name, [sys.executable, "-m", "tests.faults.clock", str(hours * 3600), role])
        assert wait_ready(house.base + "/readyz", SHORT)
        for _ in range(3):
            goes_on(load)
            _times_are_near(house)
            _consent_is_by_the_databases_clock(house)
            time.sleep(0.5)
    for name in house.roles:
        house.kill(name)
    return 2 * len(house.roles)


def _times_are_near(house: Exposed) -> None:
    with house.store.begin() as tx:
        far = tx.all(
            "SELECT id, state, due_at - clock_timestamp() AS away FROM deliveries "
            "WHERE state <> 'delivered' AND (due_at > clock_timestamp() + interval '1 min' "
            "  OR (of IS NULL AND due_at < clock_timestamp() - interval '1 min')) "  # what follows another goes first
            "UNION ALL SELECT agency, 'probe', probe_at - clock_timestamp() FROM agency_health "
            "WHERE abs(extract(epoch FROM probe_at - clock_timestamp())) > 60"
        )
    assert not far, f"due at a time of another clock: {far}"


def _consent_is_by_the_databases_clock(house: Exposed) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    for ends_at, wanted in ((now - hour, 403), (now + hour, 202)):
        record = {**agreed(), "ends_at": ends_at.isoformat()}
        record["given"]["at"] = (now - 3 * hour).isoformat()
        agreement = house.consent(record)
        body, key = draft(agreement, (COUNCIL,), f"mark-{uuid4().hex[:12]}"), {"Idempotency-Key": agreement}
        answer = house.call("POST", "/v1/referrals", json=body, headers=key)
        assert answer.status_code == wanted, f"consent that ends at {ends_at} was answered with {answer.status_code}"
    record["permits"].pop()
    record["given"]["at"] = now.isoformat()
    answer = house.call("POST", f"/v1/consents/{agreement}/versions", json=record, headers={"If-Match": '"1"'})
    assert answer.status_code == 201, f"what she took back just now was answered with {answer.text}"


OUTAGES = [
    Scenario("every agency's network misbehaves", agencies_misbehave, HOUSES),
    Scenario("one agency is a black hole", one_agency_is_a_black_hole, HOUSES),
    Scenario("one agency is away for hours", an_agency_is_away_for_hours, HOUSES),
    Scenario("the database's network misbehaves", server_misbehaves("database"), HOUSES),
    Scenario("the database restarts: fast", database_restarts("fast"), HOUSES),
    Scenario("the database restarts: immediate", database_restarts("immediate"), HOUSES),
    Scenario("the database's disk is full", the_disk_is_full, HOUSES),
    Scenario("the clocks step by two hours", clocks_step, HOUSES),
    Scenario("the broker's network misbehaves", server_misbehaves("broker"), WITH_BROKER),
    Scenario("the broker is killed", broker_is_killed, WITH_BROKER),
    Scenario("the broker drops its connections", broker_drops_its_connections, WITH_BROKER),
    Scenario("nonsense on the queue", nonsense_on_the_queue, WITH_BROKER),
    Scenario("messages come again, and old ones", messages_come_again, WITH_BROKER),
]
