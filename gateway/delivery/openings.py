"""Personal data opened for a person: always for a purpose, and written down in the transaction that opens it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway import logs
from gateway.errors import Forbidden, Invalid, TooMany
from gateway.policy.openings import BY_HAND, PURPOSES, WITHIN, Limits, unusual
from gateway.policy.roles import Person
from gateway.policy.troubles import Kind, Phase
from gateway.store import audit, cases, consents, events, referrals, troubles
from gateway.store.callers import Caller
from gateway.store.cases import Case
from gateway.store.consents import Record
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import by_hand
from .by_hand import Sheet
from .room import PostRoom

log = logs.get()

LONGEST = 400  # characters of a reason
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Opened:
    """A referral in the clear. *referral* follows the referral schema. *consent*: what it rests on, as it is now."""

    id: str
    hub: str
    referral: Mapping[str, Any]
    consent: Record
    at: datetime


def for_case(room: PostRoom, identifier: str, person: Person, purpose: str, note: str) -> Opened:
    """Open a referral of *person*'s hub. *purpose*: of PURPOSES; *note*: more words, which ``other`` needs.

    Raises Invalid, NotFound.
    """
    note = note.strip()[:LONGEST]
    if purpose not in PURPOSES or (purpose == "other" and not note):
        raise Invalid("Say what you need it for: choose a purpose, and for something else say which, in a few words.")
    detail = {"purpose": purpose, **({"note": note} if note else {})}
    with room.store.begin() as tx:
        return _open(room, tx, identifier, _hub(person), person, cases.OPEN, detail)


def for_task(room: PostRoom, identifier: str, person: Person) -> Sheet:
    """Open the sheet of a task of *person*'s hub: what it tells of her is an opening of that referral like any other.

    Raises NotFound, Conflict, ConsentMissing.
    """

    def write_down(tx: Tx, task: Delivery) -> None:
        detail = {"purpose": BY_HAND, "delivery": task.id}
        _write_down(room, tx, task.referral or "", task.hub, person, cases.OPEN, detail)

    return by_hand.sheet(room, identifier, acting(person), first=write_down)


def acting(person: Person) -> Caller:
    """*person*'s hub, and that it is she. Raises Forbidden."""
    return Caller(_hub(person), person=person.actor)


def break_glass(room: PostRoom, identifier: str, person: Person, reason: str) -> None:
    """An emergency: for a while *person* may open a referral that is not hers to see. Its hub is told, and so are those
    who get alerts. Raises Invalid, NotFound."""
    if not reason.strip():
        raise Invalid("Say what the emergency is, in a few words: the hub is told, and it is kept in the audit.")
    with room.store.begin() as tx:
        cases.one_at_a_time(tx, person)
        hub = cases.hub_of(tx, identifier)
        audit.write(tx, person.actor, cases.GLASS, identifier, hub=hub, reason=reason.strip()[:LONGEST])
        events.write(tx, "referral.break-glass", hub=hub, referral=identifier)
        _tell(room, tx, person, Kind.BREAK_GLASS)
    log.warning("glass broken", referral=identifier, hub=hub)


def open_until(room: PostRoom, tx: Tx, identifier: str, person: Person) -> datetime | None:
    """Until when *person* may open it because she broke the glass; None: she may not, or no longer."""
    broken = cases.broken_at(tx, identifier, person.actor)
    until = broken + room.settings.people.break_glass if broken else None
    return until if until and until > tx.now() else None


def in_emergency(room: PostRoom, identifier: str, person: Person) -> Opened:
    """Open a referral before which *person* broke the glass a short while ago. Raises Forbidden."""
    with room.store.begin() as tx:
        if open_until(room, tx, identifier, person) is None:
            raise Forbidden("The time is over, or it was not asked for. Say again what the emergency is.")
        return _open(room, tx, identifier, cases.hub_of(tx, identifier), person, cases.GLASS_OPEN, {})


def _open(
    room: PostRoom, tx: Tx, identifier: str, hub: str, person: Person, action: str, detail: Mapping[str, Any]
) -> Opened:
    _write_down(room, tx, identifier, hub, person, action, detail)
    tx.only([hub])
    stored = referrals.sealed(tx, identifier)
    return Opened(identifier, hub, stored.open(tx.vault), consents.get(tx, stored.consent, hub=hub), tx.now())


def _write_down(
    room: PostRoom, tx: Tx, identifier: str, hub: str, person: Person, action: str, detail: Mapping[str, Any]
) -> None:
    """Before anything is opened, in its transaction: no opening without its row in the audit, and its alarm."""
    cases.one_at_a_time(tx, person)
    limits = Limits(room.settings.people.openings_an_hour, room.settings.people.others_an_hour)
    hers = cases.get(tx, identifier, hub=hub).holder == person.actor
    lately = {**cases.opened_lately(tx, person.actor, WITHIN), identifier: hers}
    why = unusual(tx.now(), list(lately.values()), limits)
    audit.write(tx, person.actor, action, identifier, hub=hub, **detail, **({"unusual": why} if why else {}))
    if why:
        log.warning("unusual opening", referral=identifier, hub=hub, count=len(lately))
        _tell(room, tx, person, Kind.UNUSUAL)


def _tell(room: PostRoom, tx: Tx, person: Person, kind: Kind) -> None:
    troubles.change(tx, person.actor, kind, Phase.BEGINS, channels=room.settings.alerts.channels, count=1)


def find(room: PostRoom, person: Person, subject: str) -> list[Case]:
    """Referrals by the hub's own reference for a woman: exact, written down, and not often. Raises TooMany."""
    most = room.settings.people.finds_a_minute
    with room.store.begin() as tx:
        cases.one_at_a_time(tx, person)
        before = cases.nth_find(tx, person, most)
        if before and before > tx.now() - MINUTE:
            raise TooMany(f"You may look up {most} references a minute. Wait a little.", MINUTE.total_seconds())
        tx.only([_hub(person)])
        found = cases.of_subject(tx, _hub(person), subject.strip())
        audit.write(tx, person.actor, cases.FIND, person.name, found=len(found))
        return found


def take(room: PostRoom, identifier: str, person: Person) -> None:
    """*person* takes the case on: from now on it is hers. Raises NotFound."""
    with room.store.begin(hub=_hub(person)) as tx:
        cases.get(tx, identifier, hub=_hub(person))
        audit.write(tx, person.actor, cases.TAKE, identifier)


def _hub(person: Person) -> str:
    if person.hub is None:
        raise Forbidden("Only a hub's own people see its referrals.")
    return person.hub
