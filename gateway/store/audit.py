"""Who did what, when: append-only, hash-chained.

A row is written in the transaction of the deed. Its link is added soon after, in batches, so that
writers do not wait for one another: ``link = SHA-256(previous link, position, id, at, actor, action,
object, detail)``. Positions count from 1 without gaps. Rows name ids and codes, never people's data.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.notary import Checkpoint

from .session import Tx

LOCK = 7_203_002
START = b"\0" * 32


@dataclass(frozen=True)
class Deed:
    """*actor* (``hub:…``, ``delivery-admin:…``, ``caseworker:…``, ``gateway``, ``agency:…``) did *action* to *object*."""

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
    return readable([row])[0] if row else None


def search(
    tx: Tx,
    *,
    actor: str = "",
    action: str = "",
    object: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Rows, newest first. *actor* and *action*: what theirs begin with; *before*: the id of the last one seen."""
    rows = tx.all(
        "SELECT id, position, at, actor, action, object, detail FROM audit "
        "WHERE (%(before)s::bigint IS NULL OR id < %(before)s) AND starts_with(actor, %(actor)s) "
        "AND starts_with(action, %(action)s) AND (%(object)s = '' OR object = %(object)s) "
        "AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s) "
        "ORDER BY id DESC LIMIT %(limit)s",
        {
            "actor": actor, "action": action, "object": object, "since": since, "until": until, "before": before,
            "limit": limit,
        },
    )  # fmt: skip
    return readable(rows)


def readable(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """*rows* with their detail read."""
    return [{**row, "detail": json.loads(row["detail"] or "{}")} for row in rows]


def reach(tx: Tx) -> dict[str, int]:
    """``{linked, unlinked}``: how far the chain goes, and how many rows are not in it yet."""
    row = tx.one(
        "SELECT coalesce((SELECT max(position) FROM audit), 0) AS linked, "
        "(SELECT count(*) FROM audit WHERE position IS NULL) AS unlinked"
    )
    assert row is not None
    return row


def digest(previous: bytes, row: Mapping[str, Any]) -> bytes:
    """The link of *row* after *previous*."""
    fields = [
        row["position"],
        row["id"],
        row["at"].timestamp(),
        row["actor"],
        row["action"],
        row["object"],
        row["detail"],
    ]
    return hashlib.sha256(previous + json.dumps(fields).encode()).digest()


def link(tx: Tx, most: int = 5000) -> int:
    """Link what is written and not yet linked, oldest first. Returns how many rows. One at a time, by lock."""
    tx.run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
    found = tx.all("SELECT * FROM audit WHERE position IS NULL ORDER BY id LIMIT %(most)s", {"most": most})
    if not found:
        return 0
    last = tx.one("SELECT position, link FROM audit WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1")
    position, previous = (last["position"], last["link"]) if last else (0, START)
    for row in found:
        position += 1
        row["position"] = position
        row["link"] = previous = digest(previous, row)
    tx.run(
        "UPDATE audit SET position = new.position, link = new.link "
        "FROM unnest(%(ids)s::bigint[], %(positions)s::bigint[], %(links)s::bytea[]) AS new(id, position, link) "
        "WHERE audit.id = new.id",
        {key + "s": [row[key] for row in found] for key in ("id", "position", "link")},
    )
    return len(found)


@dataclass(frozen=True)
class Verdict:
    """*rows* were checked, the first *signed* of them against signed checkpoints too.

    *broken*: the id of the first row that does not follow, or None with *why*: rows at the end are missing.
    """

    rows: int
    signed: int = 0
    broken: int | None = None
    why: str | None = None

    @property
    def holds(self) -> bool:
        return self.why is None


def verify(tx: Tx, checkpoints: Sequence[Checkpoint] = (), public: str = "") -> Verdict:
    """Recompute the chain from its beginning. Rows not linked yet are linked first. As check() otherwise."""
    while link(tx):
        pass
    return check(rows(tx), checkpoints, public)


def rows(tx: Tx, page: int = 5000) -> Iterator[Mapping[str, Any]]:
    """Every linked row in its order, a page at a time."""
    position = 0
    while found := tx.all(
        "SELECT * FROM audit WHERE position > %(position)s ORDER BY position LIMIT %(page)s",
        {"position": position, "page": page},
    ):
        yield from found
        position = found[-1]["position"]


def check(chain: Iterable[Mapping[str, Any]], checkpoints: Sequence[Checkpoint] = (), public: str = "") -> Verdict:
    """Whether *chain* is unbroken from position 1, and says what was signed under the *public* key."""
    ends = {checkpoint.position: checkpoint for checkpoint in checkpoints}
    for checkpoint in checkpoints:
        if not checkpoint.signed_by(public):
            return Verdict(0, why=f"the checkpoint of {checkpoint.position} rows was not signed with this key")
    previous, count, signed = START, 0, 0
    for count, row in enumerate(chain, start=1):
        if row["position"] != count:
            why = f"a row is missing before it: position {row['position']} where {count} should be"
            return Verdict(count - 1, signed, row["id"], why)
        if row["link"] != digest(previous, row):
            return Verdict(count - 1, signed, row["id"], "it was changed, or a row before it was exchanged")
        previous = row["link"]
        if count in ends:
            if ends[count].link != previous:
                return Verdict(signed, signed, row["id"], "the chain up to here is not the one that was signed")
            signed = count
    if max(ends, default=0) > count:
        return Verdict(count, signed, why=f"rows are missing at the end: {max(ends)} were signed, {count} are there")
    return Verdict(count, signed)


def export(row: Mapping[str, Any]) -> dict[str, Any]:
    """*row* as JSON."""
    return {**row, "at": row["at"].isoformat(), "link": row["link"].hex()}


def read(document: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an export(). Raises ValueError, KeyError, TypeError."""
    return {**document, "at": datetime.fromisoformat(document["at"]), "link": bytes.fromhex(document["link"])}
