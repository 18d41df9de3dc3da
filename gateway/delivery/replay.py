"""Sending a range of ended deliveries again, each under its same key.

Nothing of it happens by itself: a person says which, sees first what it would be, and says why.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway_sdk import Status

from gateway import ids
from gateway.errors import Invalid, Sealed
from gateway.policy.consent import WhyNot
from gateway.policy.hours import LONDON
from gateway.policy.lifecycle import Move, State
from gateway.store import audit, consents, deliveries, selections, webhooks
from gateway.store.selections import PICKABLE, Picked, Selection
from gateway.store.session import Tx

from . import codes, permission
from .room import PostRoom

BATCH = 500  # in one transaction, so that nobody waits for long behind a replay


@dataclass(frozen=True, order=True)
class Alike:
    """Deliveries that ended alike. *held_back*: the code of why they stay as they are; empty: they are sent again."""

    agency: str
    state: State
    code: str
    held_back: str = ""


def selection(
    agency: str | None = None,
    since: str | None = None,
    until: str | None = None,
    codes: Iterable[str] = (),
    states: Iterable[str] = (),
) -> Selection:
    """What a person asked for, in words; without *states* the dead. Raises Invalid, which says what to give instead."""
    wanted = set(states) or {State.DEAD}
    if strange := sorted(wanted - set(PICKABLE)):
        raise Invalid(f"what is {strange[0]} is not sent again: give one of {', '.join(PICKABLE)}")
    return Selection(frozenset(map(State, wanted)), agency or None, frozenset(codes), _time(since), _time(until))


def _time(text: str | None) -> datetime | None:
    """A time as a person gives it; without a zone it is London's."""
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid("give a time such as 2026-11-24T09:00") from None
    return at.replace(tzinfo=LONDON) if at and at.tzinfo is None else at


def rows(found: Counter[Alike]) -> list[dict[str, Any]]:
    """For people, with a sum for each kind."""
    return [
        {"agency": alike.agency, "state": alike.state, "code": alike.code or None, "deliveries": count,
         "what": f"left as they are: {codes.meaning(None, alike.held_back)}" if alike.held_back else "sent again"}
        for alike, count in sorted(found.items())
    ]  # fmt: skip


def warnings(room: PostRoom, found: Counter[Alike]) -> list[str]:
    """What a person should know before these are sent again."""
    blind: Counter[str] = Counter()
    for alike, count in found.items():
        if alike.state is State.ASKING and not alike.held_back and not room.agencies[alike.agency].adapter.idempotent:
            blind[alike.agency] += count
    return [
        f"{agency} may have {count} of these already and keeps no keys: it may get them twice. Ask there first."
        for agency, count in sorted(blind.items())
    ]


def up_to_now(room: PostRoom, chosen: Selection) -> Selection:
    """*chosen*, without what ends after this instant: what is carried out is then no more than what was shown."""
    with room.store.begin() as tx:
        now = tx.now()
    return replace(chosen, until=min(chosen.until or now, now))


def preview(room: PostRoom, chosen: Selection) -> Counter[Alike]:
    """What carry_out() would do, and nothing done."""
    return _through(room, chosen, lambda tx, picked: picked)


def carry_out(room: PostRoom, chosen: Selection, *, by: str, reason: str) -> Counter[Alike]:
    """Send them again, but for those without consent. They wait their turn in their agency's window, as ever.

    One audit row for the decision, and one for each delivery, all with the *reason* and the decision's id.
    """
    decision = ids.new("rpl")
    described = {
        "states": sorted(chosen.states), "agency": chosen.agency, "codes": sorted(chosen.codes),
        "since": chosen.since and chosen.since.isoformat(), "until": chosen.until and chosen.until.isoformat(),
    }  # fmt: skip
    with room.store.begin() as tx:
        audit.write(tx, by, "deliveries.replay", decision, reason=reason, **described)

    def again(tx: Tx, picked: list[Picked]) -> list[Picked]:
        now, locked = tx.now(), {delivery.id: delivery for delivery in selections.lock(tx, picked)}
        for delivery in locked.values():
            deliveries.put_move(
                tx, delivery, Move.REPLAY, by=by, due_at=now, status=Status.RECEIVED,
                reason=reason, decision=decision,
            )  # fmt: skip
        return [one for one in picked if one.id in locked]

    return _through(room, chosen, again)


def _through(room: PostRoom, chosen: Selection, deed: Callable[[Tx, list[Picked]], Iterable[Picked]]) -> Counter[Alike]:
    """Do *deed* to those that can be sent again, a batch at a time; count them and what is held back."""
    found: Counter[Alike] = Counter()
    last: Picked | None = None
    while True:
        with room.store.begin() as tx:
            batch = selections.page(tx, chosen, last, BATCH)
            held = held_back(room, tx, batch)
            done = deed(tx, [one for one in batch if one.id not in held])
        found.update(_alike(done, held))
        found.update(_alike((one for one in batch if one.id in held), held))
        if len(batch) < BATCH:
            return found
        last = batch[-1]


def _alike(picked: Iterable[Picked], held: dict[str, str]) -> Iterator[Alike]:
    return (Alike(one.agency, one.state, one.code or "", held.get(one.id, "")) for one in picked)


def held_back(room: PostRoom, tx: Tx, picked: Iterable[Picked]) -> dict[str, str]:
    """``{id: code}`` of those that cannot be sent again, and why. Their consents are held until the transaction ends."""
    found: dict[str, str] = {}
    asked: list[tuple[Picked, tuple[str, str]]] = []
    picked = list(picked)
    awake = webhooks.hold_awake(tx, (one.agency for one in picked if one.kind == "event"))
    for one in picked:
        if one.kind == "event":
            if one.agency not in awake:
                found[one.id] = "webhook_off"
        elif one.erased:
            found[one.id] = "erased"
        elif one.agency not in room.agencies:
            found[one.id] = "not_configured"
        elif one.kind in ("referral", "message") and one.consent:
            asked.append((one, (one.consent, one.hub)))
    records = _records(tx, {rests_on for _, rests_on in asked})
    for one, rests_on in asked:
        record = records.get(rests_on)
        if record is None:
            found[one.id] = "record_damaged"
            continue
        agency = room.agencies[one.agency]
        answer = permission.permission(record.consent, agency, one.purpose, record.read_at, kind=one.kind)
        if isinstance(answer, WhyNot):
            found[one.id] = permission.code(answer)
    return found


def _records(tx: Tx, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], consents.Record]:
    """The consent records that open."""
    try:
        return consents.get_all(tx, wanted)
    except Sealed:
        if len(wanted) == 1:
            return {}
        return {pair: record for one in sorted(wanted) for pair, record in _records(tx, {one}).items()}
