"""Deliveries: rows, and move(), the one place where a state changes.

``due_at`` is when the clock must look at a row again; of a row that somebody holds it is the end of
the lease. ``token`` says who holds it: whoever acts must present it, and each step changes it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from gateway_sdk import Reason, Status

from gateway import ids
from gateway.errors import NotFound
from gateway.policy.lifecycle import DELIVERY, HUB_IS_TOLD, MAY_HAVE_IT, Move, State, after
from gateway.vault import DataKey

from . import audit, events, referrals
from .session import Cursor, Tx


@dataclass(frozen=True)
class Delivery:
    """One message to one agency. *kind*: ``referral``, or ``update`` or ``withdrawal`` *of* an earlier delivery.

    Or an *event* for a hub's webhook (kind ``event``), whose id is then in the place of the agency's name.
    """

    id: str
    referral: str | None  # None: of an event that is about none
    hub: str
    agency: str
    purpose: str
    kind: str
    of: str | None
    event: int | None
    state: State
    status: Status
    status_at: datetime | None
    reason: Reason | None
    code: str | None
    reference: bytes | None  # sealed; see reference()
    route: bytes | None  # sealed; see route()
    seen_at: datetime | None  # by hand: when a person first saw the sheet
    given: bytes | None  # by hand; sealed, see given()
    token: UUID | None
    due_at: datetime | None
    waited: float | None  # seconds from due to claimed, the last time
    traceparent: str | None  # the trace it belongs to
    attempts: int  # every time it was sent
    failures: int  # since the schedule began, or a person replayed it
    asks: int
    polls: int
    doubted: bool  # a request may have arrived, and nobody has said since that it did not
    created_at: datetime
    updated_at: datetime

    @property
    def may_be_there(self) -> bool:
        """Whether its agency has it, or may have it: also when it was to be sent again, or was given up, since."""
        return self.doubted or self.state in MAY_HAVE_IT

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Delivery":
        reason = Reason(row["reason"]) if row["reason"] else None
        known = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "state": State(row["state"]), "status": Status(row["status"]), "reason": reason})


def queue(
    tx: Tx,
    referral: str,
    *,
    hub: str,
    to: Mapping[str, str],
    kind: str = "referral",
    of: str | None = None,
    held: bool = False,
) -> dict[str, str]:
    """One new delivery for each agency of *to*, ``{agency: purpose}``; due at once, or *held*. Returns ``{agency: id}``.

    One *of* another goes before what waits for that agency, and is counted there.
    """
    made = {agency: ids.new("del") for agency in to}
    state = State.HELD if held else State.WAITING
    tx.put(
        "WITH followed AS (UPDATE deliveries SET followers = followers + 1 WHERE id = %(of)s) "
        "INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, of, state, status, due_at, created_at) "
        "SELECT id, %(referral)s, %(hub)s, agency, purpose, %(kind)s, %(of)s, %(state)s, %(status)s, "
        "       CASE WHEN %(held)s THEN NULL WHEN %(of)s::text IS NULL THEN now() ELSE now() - interval '1 h' END, "
        "       clock_timestamp() "
        "FROM unnest(%(ids)s::text[], %(agencies)s::text[], %(purposes)s::text[]) AS new(id, agency, purpose)",
        {
            "referral": referral, "hub": hub, "kind": kind, "of": of, "state": state, "status": Status.RECEIVED, "held": held,
            "ids": list(made.values()), "agencies": list(to), "purposes": list(to.values()),
        },
    )  # fmt: skip
    audit.write(tx, f"hub:{hub}", "delivery.queue", *made.values(), kind=kind)
    return made


class Moving:
    """A move on its way to the database."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def result(self) -> Delivery | None:
        """The delivery as it stands now, or None: it was not as it was said to be, and nothing was done.

        Asking costs a round trip, unless another result or the commit was waited for meanwhile.
        """
        row = self._cursor.fetchone()
        return Delivery.of_row(row) if row else None


@dataclass(frozen=True)
class Attempt:
    """What one exchange with an agency came to. *kind*: ``send``, ``ask`` or ``poll``."""

    kind: str
    outcome: str
    code: str | None
    seconds: float


# The row, its audit, its attempt and the hub's event in one statement: all of them or, when the row has moved on, nothing.
MOVE = """
WITH agreed AS (
    SELECT FROM consents WHERE id = %(consent)s AND version = %(version)s AND withdrawn_at IS NULL FOR SHARE
), moved AS (
    UPDATE deliveries SET state = %(state)s, code = %(code)s, token = %(token)s,
        due_at = coalesce(clock_timestamp() + %(hold_for)s, %(due_at)s),
        status = coalesce(%(status)s, status),
        status_at = CASE WHEN %(status)s::text IS NULL THEN status_at ELSE now() END,
        attempts = attempts + %(attempt)s,
        failures = CASE WHEN %(anew)s THEN 0 ELSE failures + %(failure)s END,
        doubted = coalesce(%(doubted)s, doubted),
        asks = CASE WHEN %(fresh)s THEN 0 ELSE asks + %(ask)s END, updated_at = clock_timestamp(),
        reference = CASE WHEN %(index)s::bytea IS NULL OR taken THEN reference ELSE %(sealed)s::bytea END,
        reference_index = CASE WHEN %(index)s::bytea IS NULL OR taken THEN reference_index ELSE %(index)s::bytea END
    FROM (SELECT %(index)s::bytea IS NOT NULL AND EXISTS (
        SELECT FROM deliveries WHERE agency = %(agency)s AND reference_index = %(index)s::bytea) AS taken) AS reference_of_another
    WHERE id = %(id)s AND state = %(from)s AND token IS NOT DISTINCT FROM %(held)s
        AND (%(consent)s::text IS NULL OR EXISTS (SELECT FROM agreed))
        AND (%(seen)s::text IS NULL OR status = %(seen)s AND followers = 0 AND NOT EXISTS (
            SELECT FROM agency_health WHERE agency = %(agency)s AND opened_at IS NOT NULL))
    RETURNING deliveries.*
), noted AS (
    INSERT INTO attempts (delivery, agency, kind, outcome, code, seconds, waited)
    SELECT id, agency, %(kind)s, %(outcome)s, %(code)s, %(seconds)s, waited FROM moved WHERE %(outcome)s::text IS NOT NULL
), audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT written.* FROM moved,
        json_to_recordset(%(deeds)s) AS written(actor text, action text, object text, detail text)
), told AS (
    INSERT INTO events (hub, type, referral, delivery, agency, state, status, reason, code)
    SELECT hub, 'delivery.state', referral, id, agency, state, status, reason, code FROM moved WHERE %(tell)s
)
SELECT * FROM moved
"""


def put_move(
    tx: Tx,
    delivery: Delivery,
    verb: Move,
    *,
    by: str = "gateway",
    code: str | None = None,
    due_at: datetime | None = None,
    hold_for: timedelta | None = None,
    status: Status | None = None,
    reference: str | None = None,
    key: DataKey | None = None,
    deeds: Iterable[audit.Deed] = (),
    consent: tuple[str, int] | None = None,
    after_attempt: Attempt | None = None,
    **detail: Any,
) -> Moving:
    """Change the state of *delivery* as the lifecycle table says, with its audit row and, if the hub is told, its event.

    Compare-and-swap on state and token. *hold_for* gives it a new token and a lease. *due_at*: see the module.
    *reference*: the agency's own, kept sealed under *key*, the referral's, which is looked up if it is not at hand.
    *deeds*: what else is done by moving it. *consent*: only while this version of this record is the present one,
    and held so until the transaction ends. *after_attempt*: note it as well, and only if nobody waits for what it
    came to: nothing was ever queued behind the delivery, and its agency's breaker is closed. Raises Illegal when the
    table has no such move.
    """
    state = after(delivery.state, verb)
    certain = (delivery.state, verb) == (State.ASKING, Move.RETRY)  # the agency was asked, and has nothing
    written = [audit.Deed(by, f"delivery.{verb}", delivery.id, ({"code": code} if code else {}) | detail), *deeds]
    made = after_attempt
    return Moving(
        tx.put(
            MOVE,
            {
                "id": delivery.id, "state": state, "from": delivery.state, "code": code, "due_at": due_at,
                "held": delivery.token, "token": uuid4() if hold_for else None, "hold_for": hold_for, "status": status,
                "attempt": int(verb in (Move.BEGIN, Move.REPEAT)),
                "ask": int(verb is Move.REPEAT), "fresh": verb in (Move.RETRY, Move.REPLAY),
                "doubted": True if verb is Move.DOUBT else False if certain else None,
                "failure": int(verb in (Move.RETRY, Move.EXHAUST)), "anew": verb is Move.REPLAY,
                "tell": state in HUB_IS_TOLD and delivery.event is None, "consent": consent and consent[0],
                "version": consent and consent[1], "seen": delivery.status if made else None,
                "kind": made and made.kind, "outcome": made and made.outcome, "seconds": made and made.seconds,
                "deeds": audit.as_json(written), **_reference_columns(tx, delivery, reference, key),
            },
        )
    )  # fmt: skip


def move(tx: Tx, delivery: Delivery, verb: Move, **more: Any) -> Delivery | None:
    """As put_move(), and its result."""
    return put_move(tx, delivery, verb, **more).result()


def tell(tx: Tx, delivery: Delivery, kind: str) -> None:
    """An event for the hub: how *delivery* stands now."""
    events.write(
        tx, kind, hub=delivery.hub, referral=delivery.referral, delivery=delivery.id, agency=delivery.agency,
        state=delivery.state, status=delivery.status, reason=delivery.reason, code=delivery.code,
    )  # fmt: skip


CLAIM = """
WITH agency AS (
    SELECT * FROM unnest(%(agencies)s::text[], %(windows)s::int[], %(more)s::int[], %(only)s::text[])
        AS agency(name, width, more, urgencies)
), picked AS (
    SELECT due.id, busy.held, row_number() OVER (PARTITION BY agency.name ORDER BY due.due_at) AS turn
    FROM agency
    CROSS JOIN LATERAL (
        SELECT count(*) AS held FROM deliveries
        WHERE agency = agency.name AND token IS NOT NULL AND due_at > now()
    ) AS busy
    CROSS JOIN LATERAL (
        SELECT id, due_at FROM deliveries
        WHERE agency = agency.name AND due_at <= now() AND state <> 'sending' AND (agency.urgencies IS NULL OR EXISTS (
            SELECT FROM referrals WHERE id = deliveries.referral AND urgency = ANY(agency.urgencies::text[])))
        ORDER BY due_at LIMIT greatest(0, least(agency.width - busy.held, agency.more)) FOR UPDATE SKIP LOCKED
    ) AS due
    ORDER BY turn, due.due_at LIMIT %(most)s
), claimed AS (
    UPDATE deliveries SET
        state = CASE state WHEN %(waiting)s THEN %(queued)s ELSE state END,
        token = CASE state WHEN %(queued)s THEN token ELSE gen_random_uuid() END,
        due_at = now() + %(lease)s, waited = extract(epoch FROM now() - deliveries.due_at)
    FROM picked WHERE deliveries.id = picked.id
    RETURNING deliveries.id, deliveries.token, deliveries.agency, deliveries.state, picked.held, picked.turn
), audited AS (
    INSERT INTO audit (actor, action, object) SELECT 'gateway', 'delivery.claim', id FROM claimed WHERE state = %(queued)s
)
SELECT id, token, agency, held FROM claimed ORDER BY turn
"""


@dataclass(frozen=True)
class Claimed:
    """A delivery to be rung for. *held*: how many of its agency were in flight before."""

    id: str
    token: UUID
    agency: str
    held: int


@dataclass(frozen=True)
class Window:
    """What may be claimed for an agency: *width* in flight at once, no *more* than that now, *only* of these urgencies."""

    width: int
    more: int | None = None
    only: frozenset[str] | None = None


def claim_due(tx: Tx, windows: Mapping[str, Window], *, most: int, lease: timedelta) -> list[Claimed]:
    """Take what is due, in turn from each agency and no more than its window leaves free.

    *windows*: by agency; nothing is claimed for others. A waiting row becomes queued under a new token; a
    queued one whose lease is over keeps its token and is rung for again; an uncertain or delivered one is
    to be asked about. Rows that another process is claiming are passed over.
    """
    assert DELIVERY[State.WAITING, Move.CLAIM] is State.QUEUED
    rows = tx.all(
        CLAIM,
        {
            "agencies": list(windows), "windows": [window.width for window in windows.values()],
            "more": [window.more for window in windows.values()], "most": most, "lease": lease,
            "only": [window.only and f"{{{','.join(sorted(window.only))}}}" for window in windows.values()],
            "waiting": State.WAITING, "queued": State.QUEUED,
        },
    )  # fmt: skip
    return [Claimed(**row) for row in rows]


def abandoned(tx: Tx, most: int = 500) -> list[Delivery]:
    """Deliveries whose worker was sending when its lease ended: it may have died after the bytes left.

    They are held, as their token says: looked for among what is held, not among all that is due.
    """
    rows = tx.all(
        "SELECT * FROM deliveries WHERE token IS NOT NULL AND state = 'sending' AND due_at <= now() ORDER BY due_at "
        "LIMIT %(most)s FOR UPDATE SKIP LOCKED",
        {"most": most},
    )
    return [Delivery.of_row(row) for row in rows]


def lock(tx: Tx, identifier: str) -> Delivery:
    """The delivery, locked, after the referral that it follows, if it does. Raises NotFound."""
    tx.put(
        "SELECT id FROM deliveries WHERE id = (SELECT of FROM deliveries WHERE id = %(id)s) FOR UPDATE",
        {"id": identifier},
    )
    row = tx.one("SELECT * FROM deliveries WHERE id = %(id)s FOR UPDATE", {"id": identifier})
    if row is None:
        raise NotFound(
            f"there is no delivery {identifier}" if ids.valid(identifier, "del") else "that is not a delivery's id"
        )
    return Delivery.of_row(row)


def take(tx: Tx, delivery: Delivery, *, hold_for: timedelta) -> Delivery | None:
    """Hold *delivery* under a new token while it is asked about; its state stays. None if it is held no longer."""
    asking = delivery.state is State.ASKING
    row = tx.one(
        "UPDATE deliveries SET token = %(new)s, due_at = clock_timestamp() + %(hold_for)s, "
        "  asks = asks + %(asked)s, polls = polls + %(polled)s WHERE id = %(id)s AND token = %(token)s RETURNING *",
        {
            "id": delivery.id, "token": delivery.token, "new": uuid4(), "hold_for": hold_for,
            "asked": int(asking), "polled": int(not asking),
        },
    )  # fmt: skip
    return Delivery.of_row(row) if row else None


def let_go(tx: Tx, delivery: Delivery, due_at: datetime | None) -> None:
    """Give up a hold without a change of state; look again at *due_at*, or never: an uncertain one waits for a person then."""
    tx.put(
        "UPDATE deliveries SET token = NULL, due_at = %(due_at)s, updated_at = CASE WHEN state = 'asking' AND "
        "  %(due_at)s::timestamptz IS NULL THEN clock_timestamp() ELSE updated_at END WHERE id = %(id)s AND token = %(token)s",
        {"id": delivery.id, "token": delivery.token, "due_at": due_at},
    )


def set_status(tx: Tx, delivery: Delivery, status: Status, *, reason: Reason | None, at: datetime, by: str) -> Delivery:
    """Move the public status of a locked *delivery*, with its audit row and event."""
    row = tx.one(
        "UPDATE deliveries SET status = %(status)s, reason = %(reason)s, status_at = %(at)s, updated_at = clock_timestamp() "
        "WHERE id = %(id)s RETURNING *",
        {"id": delivery.id, "status": status, "reason": reason, "at": at},
    )
    assert row is not None
    moved = Delivery.of_row(row)
    audit.write(tx, by, "delivery.status", delivery.id, status=status)
    tell(tx, moved, "delivery.status")
    return moved


def _reference_where(delivery: str) -> str:
    return f"deliveries.reference:{delivery}"


def _reference_columns(tx: Tx, delivery: Delivery, reference: str | None, key: DataKey | None = None) -> dict[str, Any]:
    """The agency's own reference, sealed beside the referral, and the blind index by which it is found again."""
    if not reference or delivery.referral is None:
        return {"agency": delivery.agency, "sealed": None, "index": None}
    return {
        "agency": delivery.agency,
        "sealed": (key or referrals.key(tx, delivery.referral)).seal(reference.encode(), _reference_where(delivery.id)),
        "index": tx.vault.blind("reference", f"{delivery.agency}:{reference}"),
    }


def keep_reference(tx: Tx, delivery: Delivery, reference: str) -> None:
    """Keep the agency's own reference, unless another of its deliveries has the same."""
    tx.put(
        "UPDATE deliveries SET reference = %(sealed)s, reference_index = %(index)s WHERE id = %(id)s "
        "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE agency = %(agency)s AND reference_index = %(index)s)",
        {"id": delivery.id, **_reference_columns(tx, delivery, reference)},
    )


def reference(tx: Tx, delivery: Delivery) -> str | None:
    """The agency's own reference, in the clear."""
    if delivery.reference is None or delivery.referral is None:
        return None
    return referrals.key(tx, delivery.referral).open(delivery.reference, _reference_where(delivery.id)).decode()


def route(tx: Tx, delivery: Delivery) -> dict[str, Any] | None:
    """How its agency was found, following the route schema; None where the hub named the agency."""
    if delivery.route is None or delivery.referral is None:
        return None
    return referrals.open_route(referrals.key(tx, delivery.referral), delivery.id, delivery.route)


def _given_where(delivery: str) -> str:
    return f"deliveries.given:{delivery}"


def keep_given(tx: Tx, delivery: Delivery, at: datetime, to: str) -> None:
    """Keep when a person gave it to the agency, and to whom."""
    assert delivery.referral is not None, "events are not given by hand"
    sealed = referrals.key(tx, delivery.referral).seal(
        json.dumps({"at": at.isoformat(), "to": to}).encode(), _given_where(delivery.id)
    )
    tx.put("UPDATE deliveries SET given = %(given)s WHERE id = %(id)s", {"id": delivery.id, "given": sealed})


def given(tx: Tx, delivery: Delivery) -> dict[str, str] | None:
    """``{at, to}``: when a person gave it to the agency, and to whom; None if nobody did."""
    if delivery.given is None or delivery.referral is None:
        return None
    found: dict[str, str] = json.loads(
        referrals.key(tx, delivery.referral).open(delivery.given, _given_where(delivery.id))
    )
    return found


def open_sheet(tx: Tx, delivery: Delivery) -> None:
    """Somebody sees the sheet of a task: from now on the agency may have it."""
    tx.put(
        "UPDATE deliveries SET seen_at = coalesce(seen_at, clock_timestamp()) WHERE id = %(id)s",
        {"id": delivery.id},
    )


def remind(tx: Tx, delivery: Delivery, *, again_at: datetime) -> None:
    """A task that *delivery* holds waits too long: say so to its hub, and look again at *again_at*."""
    row = tx.one(
        "UPDATE deliveries SET token = NULL, due_at = %(again)s, code = 'late' "
        "WHERE id = %(id)s AND token = %(token)s AND state = 'task' RETURNING *",
        {"id": delivery.id, "token": delivery.token, "again": again_at},
    )
    if row:
        audit.write(tx, "gateway", "delivery.remind", delivery.id)
        tell(tx, Delivery.of_row(row), "delivery.reminder")


def find(tx: Tx, agency: str, *, key: str | None, reference: str | None) -> Delivery | None:
    """One of *agency*'s own referrals by our key or its reference, locked."""
    index = tx.vault.blind("reference", f"{agency}:{reference}") if reference else None
    row = tx.one(
        "SELECT * FROM deliveries WHERE agency = %(agency)s AND kind = 'referral' "
        "AND (id = %(key)s OR reference_index = %(index)s) ORDER BY id = %(key)s DESC LIMIT 1 FOR UPDATE",
        {"agency": agency, "key": key, "index": index},
    )
    return Delivery.of_row(row) if row else None


def of_consent(tx: Tx, consent: str) -> list[Delivery]:
    """Every referral's delivery that rests on *consent*, locked, in one order for everybody."""
    rows = tx.all(
        "SELECT deliveries.* FROM deliveries JOIN referrals ON referrals.id = deliveries.referral "
        "WHERE referrals.consent = %(consent)s AND deliveries.kind = 'referral' ORDER BY deliveries.id FOR UPDATE OF deliveries",
        {"consent": consent},
    )
    return [Delivery.of_row(row) for row in rows]


def of_referral(tx: Tx, referral: str) -> list[Delivery]:
    """A referral's deliveries but what follows them, in the order of of_consent(); not locked."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE referral = %(referral)s AND kind = 'referral' ORDER BY id",
        {"referral": referral},
    )
    return [Delivery.of_row(row) for row in rows]


def line(tx: Tx, identifier: str) -> tuple[Delivery, list[Delivery]]:
    """A referral's delivery and what follows it, oldest first, locked in this order, as by everybody."""
    first = tx.put("SELECT * FROM deliveries WHERE id = %(id)s FOR UPDATE", {"id": identifier})
    rows = tx.all(  # a statement of its own, so that it sees what was queued until the lock was ours
        "SELECT * FROM deliveries WHERE of = %(id)s ORDER BY created_at, id FOR UPDATE", {"id": identifier}
    )
    row = first.fetchone()
    assert row is not None, "deliveries are not deleted"
    return Delivery.of_row(row), [Delivery.of_row(row) for row in rows]


def waiting_for(tx: Tx, delivery: str) -> list[Delivery]:
    """What is held until *delivery*, or what follows it, is settled, locked."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE of = %(of)s AND state = 'held' ORDER BY created_at, id FOR UPDATE",
        {"of": delivery},
    )
    return [Delivery.of_row(row) for row in rows]


def first_seen(tx: Tx, agency: str, callback: str) -> bool:
    """Whether this is the first time that *agency*'s callback of this id arrives; remembers it."""
    return bool(
        tx.run(
            "INSERT INTO callbacks (agency, id) VALUES (%(agency)s, %(id)s) ON CONFLICT DO NOTHING",
            {"agency": agency, "id": callback},
        )
    )


def stop_polling(tx: Tx, identifier: str) -> None:
    """Nothing more is expected of a delivered referral."""
    tx.put(
        "UPDATE deliveries SET due_at = NULL, token = NULL WHERE id = %(id)s AND state = 'delivered'",
        {"id": identifier},
    )


def get(tx: Tx, identifier: str) -> Delivery:
    """The delivery, not locked. Raises NotFound."""
    row = tx.one("SELECT * FROM deliveries WHERE id = %(id)s", {"id": identifier})
    if row is None:
        raise NotFound(
            f"there is no delivery {identifier}" if ids.valid(identifier, "del") else "that is not a delivery's id"
        )
    return Delivery.of_row(row)
