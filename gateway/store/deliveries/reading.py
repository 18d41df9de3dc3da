"""One delivery, or those that belong together; locked, where somebody is about to change them."""

from psycopg.rows import DictRow

from gateway import ids
from gateway.errors import NotFound
from gateway.store.session import Tx

from .rows import Delivery


def get(tx: Tx, identifier: str) -> Delivery:
    """The delivery, not locked. Raises NotFound."""
    row = tx.one("SELECT * FROM deliveries WHERE id = %(id)s", {"id": identifier})
    return _found(row, identifier)


def lock(tx: Tx, identifier: str) -> Delivery:
    """The delivery, locked, after the referral that it follows, if it does. Raises NotFound."""
    tx.put(
        "SELECT id FROM deliveries WHERE id = (SELECT of FROM deliveries WHERE id = %(id)s) FOR UPDATE",
        {"id": identifier},
    )
    row = tx.one("SELECT * FROM deliveries WHERE id = %(id)s FOR UPDATE", {"id": identifier})
    return _found(row, identifier)


def _found(row: DictRow | None, identifier: str) -> Delivery:
    if row is None:
        known = ids.valid(identifier, "del")
        raise NotFound(f"there is no delivery {identifier}" if known else "that is not a delivery's id")
    return Delivery.of_row(row)


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


def with_messages(tx: Tx, delivery: Delivery) -> list[Delivery]:
    """A referral's locked *delivery*, and the messages that follow it, locked."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE of = %(id)s AND kind = 'message' ORDER BY created_at, id FOR UPDATE",
        {"id": delivery.id},
    )
    return [delivery, *map(Delivery.of_row, rows)]


def waiting_for(tx: Tx, delivery: str) -> list[Delivery]:
    """What is held until *delivery*, or what follows it, is settled, locked."""
    rows = tx.all(
        "SELECT * FROM deliveries WHERE of = %(of)s AND state = 'held' ORDER BY created_at, id FOR UPDATE",
        {"of": delivery},
    )
    return [Delivery.of_row(row) for row in rows]
