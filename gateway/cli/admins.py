"""``gateway admins``: who may log in to the status page."""

from typing import Annotated

import typer

from . import terminal

app = typer.Typer(no_args_is_help=True, help="Administrators of the status page.")


@app.command("add")
def admins_add(
    name: str,
    replace: Annotated[bool, typer.Option("--replace", help="give a new password")] = False,
    password: Annotated[
        str | None, typer.Option(envvar="GATEWAY_ADMIN_PASSWORD", help="asked for, if not given", show_envvar=True)
    ] = None,
) -> None:
    """Let somebody log in to the status page."""
    from ..console.login import hasher
    from ..store import callers

    chosen = password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(chosen) < 12:
        raise typer.BadParameter("use at least 12 characters", param_hint="--password")
    with terminal.opened() as room, room.store.begin() as tx:
        callers.add_admin(tx, name, hasher.hash(chosen), by=terminal.actor(), replace=replace)
