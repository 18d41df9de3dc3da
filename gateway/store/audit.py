"""Who did what, when: append-only, hash-chained.

A row is written in the transaction of the deed. Its link is added soon after, in batches, so that
writers do not wait for one another: ``link = SHA-256(previous link, position, id, at, actor, action,
object, detail)``. Positions count from 1 without gaps. Rows name ids and codes, never people's data.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .session import Tx

LOCK = 7_203_002
START = b"\0" * 32


@dataclass(frozen=True)
class Deed:
    """*actor* (``hub:…``, ``admin:…``, ``gateway``, ``agency:…``) did *action* to *object*."""

    actor: str
    action: str
    object: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def as_json(deeds: Sequence[Deed]) -> str:
    """*deeds* for json_to_recordset() in a statement that writes them beside what was done.

    As arrays, one for each column, psycopg takes ten times as long over them.
    """
    return json.dumps([{**vars(deed), "detail": json.dumps(deed.detail) if deed.detail else ""} for deed in deeds])


def write(tx: Tx, actor: str, action: str, *objects: str, **detail: Any) -> None:
    """One row for each of *objects*."""
    tx.put(
        "INSERT INTO audit (actor, action, object, detail) "
        "SELECT * FROM json_to_recordset(%(deeds)s) AS written(actor text, action text, object text, detail text)",
        {"deeds": as_json([Deed(actor, action, one, detail) for one in objects])},
    )


def latest(tx: Tx, action: str, object: str) -> dict[str, Any] | None:
    """``{at, actor, detail}`` of the last time that *action* was done to *object*."""
    row = tx.one(
        "SELECT at, actor, detail FROM audit WHERE object = %(object)s AND action = %(action)s ORDER BY id DESC LIMIT 1",
        {"object": object, "action": action},
    )
    return {**row, "detail": json.loads(row["detail"] or "{}")} if row else None


def digest(previous: bytes, row: Mapping[str, Any]) -> bytes:
    """The link of *row* after *previous*."""
    fields = [
        row["position"],
        row["id"],
        row["at"].astimezone().timestamp(),
        row["actor"],
        row["action"],
        row["object"],
        row["detail"],
    ]
    return hashlib.sha256(previous + json.dumps(fields).encode()).digest()


def link(tx: Tx, most: int = 5000) -> int:
    """Link what is written and not yet linked, oldest first. Returns how many rows. One at a time, by lock."""
    tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
    rows = tx.all("SELECT * FROM audit WHERE position IS NULL ORDER BY id LIMIT %(most)s", {"most": most})
    if not rows:
        return 0
    last = tx.one("SELECT position, link FROM audit WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1")
    position, previous = (last["position"], last["link"]) if last else (0, START)
    for row in rows:
        position += 1
        row["position"] = position
        row["link"] = previous = digest(previous, row)
    tx.run(
        "UPDATE audit SET position = new.position, link = new.link "
        "FROM unnest(%(ids)s::bigint[], %(positions)s::bigint[], %(links)s::bytea[]) AS new(id, position, link) "
        "WHERE audit.id = new.id",
        {key + "s": [row[key] for row in rows] for key in ("id", "position", "link")},
    )
    return len(rows)


@dataclass(frozen=True)
class Verdict:
    """*rows* were checked. *broken*: the id of the first row that does not follow, and *why*."""

    rows: int
    broken: int | None = None
    why: str | None = None


def verify(tx: Tx) -> Verdict:
    """Recompute the chain from its beginning. Rows not linked yet are linked first."""
    while link(tx):
        pass
    return check(_rows(tx))


def _rows(tx: Tx, page: int = 5000) -> Iterator[Mapping[str, Any]]:
    """Every linked row in its order, a page at a time."""
    position = 0
    while rows := tx.all(
        "SELECT * FROM audit WHERE position > %(position)s ORDER BY position LIMIT %(page)s",
        {"position": position, "page": page},
    ):
        yield from rows
        position = rows[-1]["position"]


def check(rows: Iterable[Mapping[str, Any]]) -> Verdict:
    """Whether *rows*, in their order, are an unbroken chain from position 1."""
    previous, count = START, 0
    for count, row in enumerate(rows, start=1):
        if row["position"] != count:
            return Verdict(
                count - 1, row["id"], f"a row is missing before it: position {row['position']} where {count} should be"
            )
        if row["link"] != digest(previous, row):
            return Verdict(count - 1, row["id"], "it was changed, or a row before it was exchanged")
        previous = row["link"]
    return Verdict(count)
