"""Whoever edits, drops, swaps, repeats or cuts off rows of the audit is found out, and with a checkpoint whoever rewrites it."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.errors import Misconfigured
from gateway.notary import Checkpoint, Notary
from gateway.store import audit, checkpoints
from gateway.store.session import Store
from gateway.vault import generate
from tests.support import as_owner

NOTARY = Notary(generate())
Rows = list[dict[str, Any]]


@pytest.fixture
def store(store: Store) -> Store:
    """Without what setting up wrote."""
    with store.begin() as tx:
        as_owner(tx)
        tx.run("SET LOCAL session_replication_role = replica")  # no triggers: in earnest nobody can
        tx.run("DELETE FROM audit")
    return store


@pytest.fixture
def chain(store: Store) -> tuple[Rows, list[Checkpoint]]:
    """Twenty rows, signed after the first ten and at their end."""
    for _ in range(2):
        with store.begin() as tx:
            for number in range(10):
                audit.write(tx, "hub:h", "referral.submit", f"ref_{number}", number=number)
        with store.begin() as tx:
            audit.link(tx)
            assert checkpoints.sign(tx, NOTARY, timedelta(0))
    with store.begin() as tx:
        return [dict(row) for row in audit.rows(tx)], checkpoints.everyone(tx)


def rewritten(rows: Rows) -> Rows:
    """The chain as somebody would make it who knows how."""
    previous = audit.START
    for place, row in enumerate(rows, start=1):
        row["position"] = place
        row["link"] = previous = audit.digest(previous, row)
    return rows


def edited(rows: Rows) -> Rows:
    rows[4]["actor"] = "hub:another"
    return rows


def without(rows: Rows) -> Rows:
    return rows[:4] + rows[5:]


def swapped(rows: Rows) -> Rows:
    rows[4], rows[5] = rows[5], rows[4]
    return rows


def repeated(rows: Rows) -> Rows:
    return [*rows[:5], dict(rows[4]), *rows[5:]]


def cut_off(rows: Rows) -> Rows:
    return rows[:15]


def emptied(rows: Rows) -> Rows:
    return []


def test_an_untouched_chain_holds(chain: tuple[Rows, list[Checkpoint]]) -> None:
    rows, signed = chain
    assert [checkpoint.position for checkpoint in signed] == [10, 20]
    assert audit.check(rows, signed, NOTARY.public) == audit.Verdict(20, 20)


@pytest.mark.parametrize("harm", [edited, without, swapped, repeated])
def test_the_chain_alone_finds_what_was_done_to_a_row(
    chain: tuple[Rows, list[Checkpoint]], harm: Callable[[Rows], Rows]
) -> None:
    verdict = audit.check(harm(chain[0]))
    assert not verdict.holds
    assert verdict.rows in (4, 5)


@pytest.mark.parametrize("harm", [edited, without, swapped, repeated, cut_off, emptied])
def test_a_checkpoint_finds_a_chain_that_was_made_anew(
    chain: tuple[Rows, list[Checkpoint]], harm: Callable[[Rows], Rows]
) -> None:
    rows, signed = chain
    forged = rewritten(harm(rows))
    assert audit.check(forged).holds  # without a checkpoint it looks right
    assert not audit.check(forged, signed, NOTARY.public).holds


def test_a_forged_checkpoint_is_found(chain: tuple[Rows, list[Checkpoint]]) -> None:
    rows, signed = chain
    forged = rewritten(edited(rows))
    resigned = [Notary(generate()).sign(one.position, forged[one.position - 1]["link"], one.at) for one in signed]
    assert "not signed with this key" in str(audit.check(forged, resigned, NOTARY.public).why)
    moved = [Checkpoint(15, forged[14]["link"], signed[0].at, signed[0].signature)]
    assert not audit.check(forged, moved, NOTARY.public).holds


def test_nothing_is_signed_twice_nor_too_often(store: Store) -> None:
    with store.begin() as tx:
        assert checkpoints.sign(tx, NOTARY, timedelta(0)) is None  # nothing to sign
        audit.write(tx, "hub:h", "referral.submit", "ref_1")
        audit.link(tx)
        assert checkpoints.sign(tx, NOTARY, timedelta(hours=1))
        audit.write(tx, "hub:h", "referral.submit", "ref_2")
        audit.link(tx)
        assert checkpoints.sign(tx, NOTARY, timedelta(hours=1)) is None
        assert checkpoints.sign(tx, NOTARY, timedelta(0))
        assert checkpoints.sign(tx, NOTARY, timedelta(0)) is None


def test_the_database_refuses_to_change_a_row(store: Store) -> None:
    with store.begin() as tx:
        audit.write(tx, "hub:h", "referral.submit", "ref_1")
    with store.begin() as tx:
        audit.link(tx)
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), store.begin() as tx:
            tx.run(statement)  # type: ignore[arg-type]
        with store.begin() as tx:
            as_owner(tx)
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"), tx.connection.transaction():
                tx.run(statement)  # type: ignore[arg-type]


def test_many_writers_make_one_chain(store: Store) -> None:
    def write(number: int) -> None:
        with store.begin() as tx:
            audit.write(tx, "hub:h", "referral.submit", f"ref_{number}")
        if number % 7 == 0:
            with store.begin() as tx:
                audit.link(tx)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    with store.begin() as tx:
        assert audit.verify(tx) == audit.Verdict(200)


def test_an_export_is_checked_with_the_public_key_alone(chain: tuple[Rows, list[Checkpoint]], tmp_path: Path) -> None:
    rows, signed = chain
    lines = [
        json.dumps(document) for document in [audit.export(row) for row in rows] + [one.document() for one in signed]
    ]
    kept = tmp_path / "kept.jsonl"
    kept.write_text(lines[-1] + "\n")

    def verify(*lines: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "audit.jsonl"
        path.write_text("\n".join(lines) + "\n")
        command = ["audit", "verify", "--export", path, "--public-key", NOTARY.public, "--checkpoints", kept]
        return subprocess.run(
            [sys.executable, "-m", "gateway", *map(str, command)], capture_output=True, text=True, check=False
        )

    assert "the chain holds: 20 rows, the first 20 as they were signed" in verify(*lines).stdout
    short = verify(*lines[:15])
    assert (short.returncode, "20 were signed, 15 are there" in short.stdout) == (1, True)
    spoilt = verify(*lines[:3], lines[3].replace("hub:h", "hub:i"), *lines[4:])
    assert (spoilt.returncode, "after 3 good ones" in spoilt.stdout) == (1, True)
    nonsense = verify("{}", "no json")
    assert (nonsense.returncode, nonsense.stderr.strip()) == (2, "gateway: line 2 is not one of an audit export")


def test_the_clock_signs_and_keeps_a_copy_elsewhere(room: PostRoom, tmp_path: Path) -> None:
    settings = room.settings.model_copy(
        update={"audit_key": type(room.settings).model_validate({"audit_key": generate()}).audit_key,
                "audit_file": tmp_path / "kept.jsonl"}
    )  # fmt: skip
    signing = PostRoom(room.store, room.agencies, settings)
    outbox.tidy(signing)
    outbox.tidy(signing)
    [line] = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert signing.notary is not None
    assert Checkpoint.read(json.loads(line)).signed_by(signing.notary.public)
    with room.store.begin() as tx:
        assert [one.document() for one in checkpoints.everyone(tx)] == [json.loads(line)]


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(Misconfigured, match="audit_key"):
        Notary("short")
