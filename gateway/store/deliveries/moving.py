"""move(), the one place where a state changes: with its audit row and the hub's event, in one statement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, LiteralString
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

    def happened(self) -> bool:
        """Whether there is a result(), which is all that is known of a move after an attempt."""
        return self._cursor.fetchone() is not None


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


COUNTED: Mapping[Move, LiteralString] = {
    Move.BEGIN: ", attempts = attempts + 1",
    Move.REPEAT: ", attempts = attempts + 1, asks = asks + 1",
    Move.RETRY: ", failures = failures + 1, asks = 0",
    Move.EXHAUST: ", failures = failures + 1",
    Move.DOUBT: ", doubted = true",
    Move.REPLAY: ", failures = 0, asks = 0",
}

AGREED: LiteralString = """
agreed AS (
    SELECT FROM consents WHERE id = %(consent)s AND version = %(version)s AND withdrawn_at IS NULL FOR SHARE
), """
OF_ANOTHER: LiteralString = """
FROM (SELECT EXISTS (
    SELECT FROM deliveries WHERE agency = %(agency)s AND reference_index = %(index)s) AS taken) AS reference_of_another"""
NOT_PAUSED: LiteralString = """
AND NOT EXISTS (SELECT FROM agency_health WHERE agency = %(agency)s AND paused_at IS NOT NULL)"""
NOTHING_HAPPENED: LiteralString = """
AND status = %(seen)s AND followers = 0
AND NOT EXISTS (SELECT FROM agency_health WHERE agency = %(agency)s AND opened_at IS NOT NULL)"""
NOTED: LiteralString = """, noted AS (
    INSERT INTO attempts (delivery, agency, kind, outcome, code, seconds, waited, number, fields)
    SELECT id, agency, %(kind)s, %(outcome)s, %(code)s, %(seconds)s, waited, %(number)s, %(fields)s FROM moved
)"""
AUDITED: LiteralString = """, audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT written.* FROM moved,
        json_to_recordset(%(deeds)s) AS written(actor text, action text, object text, detail text)
)"""
TOLD: LiteralString = """, told AS (
    INSERT INTO events (hub, type, referral, delivery, agency, state, status, reason, code)
    SELECT hub, 'delivery.state', referral, id, agency, state, status, reason, code FROM moved
)"""


@cache
def _statement(
    verb: Move, *, hold: bool, certain: bool, status: bool, reference: bool, consent: bool, attempt: bool, event: bool
) -> LiteralString:
    """The row, its audit, its attempt and the hub's event in one statement: all of them or, when the row has moved on, nothing.

    Made of what this move needs and no more: the database gets ready for each part of a statement, whether it runs or not.
    *certain*: the agency was asked and has nothing.
    """
    parts: list[LiteralString] = [
        "WITH ",
        AGREED if consent else "",
        "moved AS (UPDATE deliveries SET state = %(state)s, code = %(code)s, updated_at = clock_timestamp(), ",
        "token = %(token)s, due_at = clock_timestamp() + %(hold_for)s" if hold else "token = NULL, due_at = %(due_at)s",
        COUNTED.get(verb, ""),
        ", doubted = false" if certain else "",
        ", status = %(status)s, status_at = now()" if status else "",
        ", reference = CASE WHEN taken THEN reference ELSE %(sealed)s END" if reference else "",
        ", reference_index = CASE WHEN taken THEN reference_index ELSE %(index)s END" if reference else "",
        OF_ANOTHER if reference else "",
        " WHERE id = %(id)s AND state = %(from)s AND token IS NOT DISTINCT FROM %(with)s",
        " AND EXISTS (SELECT FROM agreed)" if consent else "",
        NOT_PAUSED if verb in (Move.BEGIN, Move.REPEAT) else "",
        NOTHING_HAPPENED if attempt else "",
        " RETURNING deliveries.*)",
        NOTED if attempt else "",
        AUDITED,
        TOLD if event else "",
        " SELECT id FROM moved" if attempt else " SELECT * FROM moved",
    ]
    return "".join(parts)


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
    written = [audit.Deed(by, f"delivery.{verb}", delivery.id, ({"code": code} if code else {}) | detail), *deeds]
    made = after_attempt
    kept = reference_columns(tx, delivery, reference, key)
    statement = _statement(
        verb, hold=hold_for is not None, certain=(delivery.state, verb) == (State.ASKING, Move.RETRY),
        status=status is not None, reference=kept["index"] is not None, consent=consent is not None,
        attempt=made is not None,
        event=state in HUB_IS_TOLD and delivery.event is None,
    )  # fmt: skip
    values: dict[str, Any] = {
        "id": delivery.id, "from": delivery.state, "with": delivery.token, "state": state,
        "code": code, "status": status, "due_at": due_at, "hold_for": hold_for, "token": uuid4() if hold_for else None,
        "deeds": audit.as_json(written), **kept,
    }  # fmt: skip
    if consent:
        values["consent"], values["version"] = consent
    if made:
        values |= {**vars(made), "code": code, "seen": delivery.status}
    return Moving(tx.put(statement, values))


def move(tx: Tx, delivery: Delivery, verb: Move, **more: Any) -> Delivery | None:
    """As put_move(), and its result."""
    return put_move(tx, delivery, verb, **more).result()


def tell(tx: Tx, delivery: Delivery, kind: str) -> None:
    """An event for the hub: how *delivery* stands now."""
    events.write(
        tx, kind, hub=delivery.hub, referral=delivery.referral, delivery=delivery.id, agency=delivery.agency,
        state=delivery.state, status=delivery.status, reason=delivery.reason, code=delivery.code,
    )  # fmt: skip
