"""move(), the one place where a state changes: with its audit row and the hub's event, in one statement."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from gateway_sdk import Status

from gateway.policy.lifecycle import HUB_IS_TOLD, Move, State, after
from gateway.store import audit, events
from gateway.store.session import Cursor, Tx
from gateway.vault import DataKey

from .rows import Delivery
from .sealed import reference_columns


class Moving:
    """A move on its way to the database."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def result(self) -> Delivery | None:
        """The delivery as it stands now, or None: something was not as it was said to be, and nothing was done.

        Asking costs a round trip, unless another result or the commit was waited for meanwhile.
        """
        row = self._cursor.fetchone()
        return Delivery.of_row(row) if row else None


@dataclass(frozen=True)
class Attempt:
    """What one exchange with an agency came to. *kind*: ``send``, ``ask`` or ``poll``.

    *number*: which sending of its delivery it was. *fields*: the places of the referral that it carried, sealed.
    """

    kind: str
    outcome: str
    code: str | None
    seconds: float
    number: int | None = None
    fields: bytes | None = None


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
        AND (%(attempt)s = 0 OR NOT EXISTS (
            SELECT FROM agency_health WHERE agency = %(agency)s AND paused_at IS NOT NULL))
        AND (%(seen)s::text IS NULL OR status = %(seen)s AND followers = 0 AND NOT EXISTS (
            SELECT FROM agency_health WHERE agency = %(agency)s AND opened_at IS NOT NULL))
    RETURNING deliveries.*
), noted AS (
    INSERT INTO attempts (delivery, agency, kind, outcome, code, seconds, waited, number, fields)
    SELECT id, agency, %(kind)s, %(outcome)s, %(code)s, %(seconds)s, waited, %(number)s, %(fields)s
    FROM moved WHERE %(outcome)s::text IS NOT NULL
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

    Compare-and-swap on state and token; nothing begins at an agency that is paused. *hold_for* gives it a new token and
    a lease. *due_at*: see the module.
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
                "number": made and made.number, "fields": made and made.fields,
                "deeds": audit.as_json(written), **reference_columns(tx, delivery, reference, key),
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
