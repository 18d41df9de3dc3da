"""Ranges of deliveries that ended badly or wait for a person, oldest ending first, a page at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from gateway.policy.lifecycle import State

from .deliveries import Delivery
from .session import Tx

PICKABLE = (State.DEAD, State.REFUSED, State.ASKING)
"""The states that a selection can name."""


@dataclass(frozen=True)
class Selection:
    """Those in *states* (dead, refused, asking), of *agency*, with one of *codes*, that ended from *since* on and
    before *until*. None, or no codes: any. Of uncertain ones only those that wait for a person."""

    states: frozenset[State] = frozenset({State.DEAD})
    agency: str | None = None
    codes: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Picked:
    """A delivery of a selection, and the *consent* its referral rests on, if it is about one; whether that was *erased*."""

    id: str
    hub: str
    agency: str
    purpose: str
    kind: str
    state: State
    code: str | None
    updated_at: datetime
    consent: str | None
    erased: bool


PICK: LiteralString = (
    "SELECT deliveries.id, deliveries.hub, agency, purpose, kind, state, code, updated_at, consent, erased_at IS NOT NULL AS erased "
    "FROM deliveries LEFT JOIN referrals ON referrals.id = deliveries.referral "
)


def page(tx: Tx, chosen: Selection, after: Picked | None, most: int) -> list[Picked]:
    """The next *most* of them, nothing locked."""
    rows = tx.all(
        PICK + "WHERE state IN ('dead', 'refused', 'asking') AND state = ANY(%(states)s) AND (state <> 'asking' OR due_at IS NULL) "
        "AND (%(agency)s::text IS NULL OR agency = %(agency)s) AND (%(codes)s::text[] = '{}' OR code = ANY(%(codes)s)) "
        "AND updated_at >= coalesce(%(since)s::timestamptz, '-infinity') AND updated_at < coalesce(%(until)s::timestamptz, 'infinity') "
        "AND (updated_at, deliveries.id) > (coalesce(%(at)s::timestamptz, '-infinity'), %(id)s) "
        "ORDER BY updated_at, deliveries.id LIMIT %(most)s",
        {
            "states": [str(state) for state in chosen.states], "agency": chosen.agency, "codes": list(chosen.codes),
            "since": chosen.since, "until": chosen.until,
            "at": after.updated_at if after else None, "id": after.id if after else "", "most": most,
        },
    )  # fmt: skip
    return [_picked(row) for row in rows]


def only(tx: Tx, identifier: str) -> list[Picked]:
    """The one of this id, whatever its state is; none if there is none."""
    return [_picked(row) for row in tx.all(PICK + "WHERE deliveries.id = %(id)s", {"id": identifier})]


def _picked(row: Mapping[str, Any]) -> Picked:
    return Picked(**{**row, "state": State(row["state"])})


def lock(tx: Tx, picked: Iterable[Picked]) -> list[Delivery]:
    """Those of *picked* that are still as they were, locked; one that somebody else holds is passed over."""
    seen = {one.id: one.updated_at for one in picked}
    rows = tx.all(
        "SELECT * FROM deliveries WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE SKIP LOCKED", {"ids": sorted(seen)}
    )
    return [Delivery.of_row(row) for row in rows if row["updated_at"] == seen[row["id"]]]
