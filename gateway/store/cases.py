"""Referrals as their hub's people see them: ids, agencies and states; who took one on, and who looked.

Opening personal data is a row of the audit, and so is taking a case on or breaking the glass: what holds now is read from
there, so that nothing can be opened that is not written down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import NotFound
from gateway.policy.roles import Person
from gateway.policy.troubles import QUIET, Kind

from . import audit, referrals
from .session import Tx

OPEN, TAKE, FIND, GLASS, GLASS_OPEN = "case.open", "case.take", "case.find", "BREAK-GLASS", "BREAK-GLASS.open"


@dataclass(frozen=True)
class Case:
    """*sent*: ``{agency, state, status}`` of each delivery of the referral. *holder*: who took it on, as an actor."""

    id: str
    created_at: datetime
    sent: list[dict[str, str]]
    holder: str | None


CASES = """
SELECT referrals.id, referrals.created_at,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('agency', agency, 'state', state, 'status', status) ORDER BY agency), '[]')
     FROM deliveries WHERE referral = referrals.id AND kind = 'referral') AS sent
FROM referrals WHERE hub = %(hub)s AND erased_at IS NULL
"""


def listing(tx: Tx, hub: str, before: tuple[datetime, str] | None, limit: int) -> list[Case]:
    """Newest first. *before*: the (created_at, id) of the last one seen."""
    rows = tx.all(
        CASES + "AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s)) "
        "ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {"hub": hub, "at": before[0] if before else None, "id": before[1] if before else None, "limit": limit},
    )
    return _held(tx, rows)


def of_subject(tx: Tx, hub: str, subject: str) -> list[Case]:
    """Those about the woman whom *hub* calls *subject*: exactly that, newest first."""
    index = tx.vault.blind("subject", f"{hub}:{subject}")
    rows = tx.all(
        CASES + "AND subject_index = %(index)s ORDER BY created_at DESC, id DESC", {"hub": hub, "index": index}
    )
    return _held(tx, rows)


def get(tx: Tx, identifier: str, *, hub: str) -> Case:
    """Raises NotFound, also when it is another hub's."""
    found = _held(tx, tx.all(CASES + "AND referrals.id = %(id)s", {"hub": hub, "id": identifier}))
    if not found:
        raise referrals.unknown(identifier)
    return found[0]


def _held(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> list[Case]:
    held = tx.all(
        "SELECT DISTINCT ON (object) object, actor FROM audit "
        "WHERE object = ANY(%(ids)s) AND action = 'case.take' ORDER BY object, id DESC",
        {"ids": [row["id"] for row in rows]},
    )
    holders = {row["object"]: row["actor"] for row in held}
    return [Case(**row, holder=holders.get(row["id"])) for row in rows]


def hub_of(tx: Tx, identifier: str) -> str:
    """Whose referral it is. Raises NotFound."""
    row = tx.one("SELECT hub FROM referrals WHERE id = %(id)s AND erased_at IS NULL", {"id": identifier})
    if row is None:
        raise referrals.unknown(identifier)
    hub: str = row["hub"]
    return hub


def one_at_a_time(tx: Tx, person: Person) -> None:
    """Until the transaction ends nothing else is done for *person* that asks for this: what is counted stays true."""
    if tx.one("SELECT 1 FROM people WHERE name = %(name)s FOR UPDATE", {"name": person.name}) is None:
        raise NotFound(f"there is nobody called {person.name}")


def opened_lately(tx: Tx, actor: str, within: timedelta) -> dict[str, bool]:
    """``{referral: whether it is hers}`` of the different ones that *actor* opened."""
    rows = tx.all(
        "SELECT DISTINCT object, (SELECT actor FROM audit AS taken WHERE taken.object = opened.object "
        "    AND taken.action = 'case.take' ORDER BY id DESC LIMIT 1) IS NOT DISTINCT FROM %(actor)s AS hers "
        "FROM audit AS opened WHERE action IN ('case.open', 'BREAK-GLASS', 'BREAK-GLASS.open') AND actor = %(actor)s "
        "AND at > clock_timestamp() - %(within)s",
        {"actor": actor, "within": within},
    )
    return {row["object"]: row["hers"] for row in rows}


def nth_find(tx: Tx, person: Person, number: int) -> datetime | None:
    """When *person* looked up a reference *number* look-ups ago; None: fewer were made."""
    row = tx.one(
        "SELECT at FROM audit WHERE object = %(name)s AND action = 'case.find' ORDER BY id DESC OFFSET %(skip)s LIMIT 1",
        {"name": person.name, "skip": number - 1},
    )
    return row["at"] if row else None


def broken_at(tx: Tx, identifier: str, actor: str) -> datetime | None:
    """When *actor* last broke the glass before this referral."""
    row = tx.one(
        "SELECT at FROM audit WHERE object = %(id)s AND action = 'BREAK-GLASS' AND actor = %(actor)s ORDER BY id DESC LIMIT 1",
        {"id": identifier, "actor": actor},
    )
    return row["at"] if row else None


def looks(tx: Tx, hub: str, referral: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """``{at, actor, action, object, detail}``: which people opened *hub*'s referrals, or one of them, newest first."""
    rows = tx.all(
        "SELECT audit.at, actor, action, object, detail FROM audit JOIN referrals ON referrals.id = object "
        "WHERE hub = %(hub)s AND action IN ('case.open', 'BREAK-GLASS', 'BREAK-GLASS.open') "
        "AND (%(referral)s::text IS NULL OR object = %(referral)s) ORDER BY audit.at DESC, audit.id DESC LIMIT %(limit)s",
        {"hub": hub, "referral": referral, "limit": limit},
    )
    return audit.readable(rows)


def remarkable(tx: Tx) -> dict[tuple[str, Kind], int]:
    """``{(actor, kind): how often lately}`` of unusual openings, and of broken glass."""
    rows = tx.all(
        "SELECT actor, action = 'BREAK-GLASS' AS glass, count(*) FROM audit "
        "WHERE action IN ('case.open', 'BREAK-GLASS', 'BREAK-GLASS.open') AND at > clock_timestamp() - %(quiet)s "
        "AND (action = 'BREAK-GLASS' OR detail LIKE '%%\"unusual\": [%%') GROUP BY 1, 2",
        {"quiet": QUIET},
    )
    return {(row["actor"], Kind.BREAK_GLASS if row["glass"] else Kind.UNUSUAL): row["count"] for row in rows}
