"""``gateway hubs``: hubs and their API keys; ``gateway webhooks``: where they are told."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from . import terminal
from .terminal import AsJson

hubs = typer.Typer(no_args_is_help=True, help="Hubs and their API keys.")
webhooks = typer.Typer(no_args_is_help=True, help="Where hubs are told of events.")

Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", help="what it may do; repeat for several, or say all; without it, record consents and refer"
    ),
]
Overlap = Annotated[str, typer.Option(help="how long what it replaces still works, such as 24h")]


@hubs.command("add")
def hubs_add(
    hub: Annotated[str, typer.Argument(help="for example glasgow-hub")],
    scope: Scopes = None,
    lasting: Annotated[
        str | None, typer.Option(help="how long it works, such as 90d; without it, until revoked")
    ] = None,
) -> None:
    """Give a hub an API key. It is shown once."""
    from ..store import callers

    chosen, time = scopes(scope), terminal.duration(lasting, "--lasting") if lasting else None
    with terminal.opened() as room, room.store.begin() as tx:
        print(callers.add_hub(tx, hub, by=terminal.actor(), scopes=chosen, lasting=time))


def scopes(words: list[str] | None) -> Sequence[str]:
    """*words*, if each is a scope; without any, what it takes to refer."""
    from ..policy.scopes import ALL, TO_REFER, Scope, unknown

    if words == [ALL]:
        return tuple(Scope)
    if wrong := unknown(words or []):
        raise typer.BadParameter(f"there is no scope {wrong[0]}; known are {', '.join(Scope)}", param_hint="--scope")
    return words or TO_REFER


@hubs.command("list")
def hubs_list(as_json: AsJson = False) -> None:
    """Hubs and the ids of their keys, what each may do, and when it was last used."""
    from ..store import callers

    with terminal.opened() as room, room.store.begin() as tx:
        rows = callers.list_hubs(tx)
    terminal.show(rows if as_json else [brief(row, "key") for row in rows], as_json, "hubs")


def brief(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A key or client, called *name*, in what fits a terminal."""
    from ..policy.scopes import Scope

    used, ends = (f"{at:%Y-%m-%d %H:%M}" if at else None for at in (row["last_used_at"], row.get("expires_at")))
    return {
        "hub": row["hub"], name: row[name], "may": "everything" if set(row["scopes"]) == set(Scope) else row["scopes"],
        "last used": used or "never", "state": f"{row['state']} until {ends}" if ends else row["state"],
    }  # fmt: skip


@hubs.command("rotate")
def hubs_rotate(
    identifier: Annotated[str, typer.Argument(help="a key's id, from gateway hubs list")], overlap: Overlap = "24h"
) -> None:
    """Print a new API key in place of another, for the same scopes. The other one goes on working for a while."""
    from ..store import callers

    time = terminal.duration(overlap, "--overlap")
    with terminal.opened() as room, room.store.begin() as tx:
        print(callers.rotate_key(tx, identifier, time, by=terminal.actor()))


@hubs.command("revoke")
def hubs_revoke(identifier: Annotated[str, typer.Argument(help="a key's id, from gateway hubs list")]) -> None:
    """Take an API key out of use, at once."""
    from ..store import callers

    with terminal.opened() as room, room.store.begin() as tx:
        callers.revoke_key(tx, identifier, by=terminal.actor())


@webhooks.command("list")
def webhooks_list(as_json: AsJson = False) -> None:
    """Every hub's webhooks, and how each fares. What was sent: gateway deliveries list --agency ID."""
    from ..store import webhooks

    with terminal.opened() as room, room.store.begin() as tx:
        rows = [
            {
                "id": hook.id, "hub": hook.hub, "url": hook.url, "types": ", ".join(hook.types) or "all",
                "state": "on" if hook.disabled_at is None else f"off: {hook.disabled_code}",
                "failing_since": hook.failing_since, "delivered_at": hook.delivered_at, "created_at": hook.created_at,
            }
            for hook in webhooks.all_of(tx)
        ]  # fmt: skip
        terminal.show(rows, as_json, "webhooks")
