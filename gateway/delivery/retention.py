"""What is old enough is erased, by the clock: referrals by what came of them, then consents, then what is kept beside them."""

from collections.abc import Iterator
from datetime import timedelta

from gateway import logs
from gateway.errors import Conflict
from gateway.policy.retention import Outcome, outcome
from gateway.store import audit, retention
from gateway.store.erasure import Scope
from gateway.store.retention import Aged

from . import erasure
from .room import PostRoom

log = logs.get()

BY = "gateway"
BATCH = 500


def preview(room: PostRoom) -> dict[str, int]:
    """``{kind: how many}`` would go now; nothing is done."""
    found = dict.fromkeys(map(str, Outcome), 0)
    for _, came in _due(room):
        found[came] += 1
    with room.store.begin() as tx:
        found["consents"] = retention.count_consents(tx, room.settings.retention.consents)
        return found | {kind: retention.count(tx, kind, _age(room, kind)) for kind in retention.PLAIN}


def run(room: PostRoom) -> dict[str, int]:
    """Erase and remove what is old enough. Returns ``{kind: how many}``, which the audit has too."""
    gone = dict.fromkeys(map(str, Outcome), 0)
    for referral, came in list(_due(room)):
        gone[came] += _erase(room, referral)
    gone["consents"] = _consents(room)
    for kind in retention.PLAIN:
        gone[kind] = _remove(room, kind)
    with room.store.begin() as tx:
        for kind, count in gone.items():
            if count:
                audit.write(tx, BY, "retention.run", kind, count=count)
    if any(gone.values()):
        log.info("what was old enough was erased", action="retention", count=sum(gone.values()))
    return gone


def clock(room: PostRoom) -> int:
    """The clock's part: run(). Returns how many went."""
    return sum(run(room).values())


def _age(room: PostRoom, kind: str) -> timedelta:
    age: timedelta = getattr(room.settings.retention, kind)
    return age


def _due(room: PostRoom) -> Iterator[tuple[str, Outcome]]:
    """Referrals that are to go, and why; none is locked."""
    youngest, last = min(_age(room, kind) for kind in Outcome), None
    while True:
        with room.store.begin() as tx:
            page = retention.referrals(tx, youngest, last, BATCH)
        for _, aged in page:
            if came := _old_enough(room, aged):
                yield aged.id, came
        if len(page) < BATCH:
            return
        last = page[-1][0], page[-1][1].id


def _old_enough(room: PostRoom, aged: Aged) -> Outcome | None:
    came = outcome(aged.parts)
    return came if came and aged.quiet_for > _age(room, came) else None


def _erase(room: PostRoom, referral: str) -> bool:
    """Erase one, if it is still old enough. Its consent is another matter."""
    try:
        with room.store.begin() as tx:
            aged = retention.lock(tx, referral)
            came = _old_enough(room, aged) if aged else None
            if came:
                erasure.carry_out(tx, Scope((referral,), ()), by=BY, reason=f"retention: {came}")
            return came is not None
    except Conflict:  # somebody sends it again
        return False


def _consents(room: PostRoom) -> int:
    total = 0
    while True:
        with room.store.begin() as tx:
            found = retention.consents(tx, room.settings.retention.consents, BATCH)
            if found:
                erasure.carry_out(tx, Scope((), tuple(found)), by=BY, reason="retention: consents")
        total += len(found)
        if len(found) < BATCH:
            return total


def _remove(room: PostRoom, kind: str) -> int:
    total = 0
    while True:
        with room.store.begin() as tx:
            removed = retention.remove(tx, kind, _age(room, kind), BATCH)
        total += removed
        if removed < BATCH:
            return total
