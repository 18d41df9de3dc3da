"""``gateway hubs``: hubs and their API keys; ``gateway webhooks``: where they are told."""

from typing import Annotated

import typer

from . import terminal
from .terminal import AsJson

hubs = typer.Typer(no_args_is_help=True, help="Hubs and their API keys.")
webhooks = typer.Typer(no_args_is_help=True, help="Where hubs are told of events.")


@hubs.command("add")
def hubs_add(hub: Annotated[str, typer.Argument(help="for example glasgow-hub")]) -> None:
    """Give a hub an API key. It is shown once."""
    from ..store import callers

    with terminal.opened() as room, room.store.begin() as tx:
        print(callers.add_hub(tx, hub, by=terminal.actor()))


@hubs.command("list")
def hubs_list(as_json: AsJson = False) -> None:
    """Hubs and the ids of their keys."""
    from ..store import callers

    with terminal.opened() as room, room.store.begin() as tx:
        terminal.show(callers.list_hubs(tx), as_json, "hubs")


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
