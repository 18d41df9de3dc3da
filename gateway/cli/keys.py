"""``gateway keys``: which master keys wrap the data keys."""

import sys
from typing import TYPE_CHECKING

import typer

from . import terminal
from .terminal import AsJson, actor

if TYPE_CHECKING:
    from ..delivery.room import PostRoom

keys = typer.Typer(help="Which master keys wrap the data keys.")


@keys.callback(invoke_without_command=True)
def versions(context: typer.Context, as_json: AsJson = False) -> None:
    """Which master keys wrap the data keys: the version, how many, and what may be done with it."""
    from ..store import keys as data_keys

    if context.invoked_subcommand is not None:
        return
    with terminal.opened() as room, room.store.begin() as tx:
        counts, vault = data_keys.counts(tx), tx.vault
        rows = [
            {"version": version, "data_keys": counts.get(version, 0), "says": _says(version, counts, vault.current)}
            for version in sorted(counts.keys() | vault.versions)
        ]
    terminal.show(rows, as_json, "master keys")


def _says(version: int, counts: dict[int, int], current: int) -> str:
    if version == current:
        return "wraps what is new"
    return "in use: gateway keys rewrap" if version in counts else "may be taken away"


@keys.command()
def rewrap() -> None:
    """Wrap every data key with the present master key, while everything runs. Interrupted, it goes on when run again."""
    from ..store import keys as data_keys

    done = 0
    with terminal.opened() as room:
        while wrapped := _rewrap_some(room):
            done += wrapped
            print(f"{done} wrapped anew", file=sys.stderr, flush=True)
        with room.store.begin() as tx:
            left = sum(count for version, count in data_keys.counts(tx).items() if version != tx.vault.current)
    print(f"{done} data keys were wrapped anew, {left} are left")
    if left:  # another process was working on them
        raise typer.Exit(5)


def _rewrap_some(room: "PostRoom") -> int:
    from ..store import audit
    from ..store import keys as data_keys

    with room.store.begin() as tx:
        wrapped = data_keys.rewrap(tx)
        if wrapped:
            audit.write(tx, actor(), "keys.rewrap", f"version {tx.vault.current}", keys=wrapped)
        return wrapped
