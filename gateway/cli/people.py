"""``gateway people``: who may use the console, and as what."""

from typing import Annotated

import typer

from . import terminal

app = typer.Typer(no_args_is_help=True, help="Who may use the console, and as what.")


@app.command("add")
def people_add(
    name: Annotated[str, typer.Argument(help="to log in with; better not a full name: it is kept in the audit")],
    role: Annotated[str, typer.Option(help="delivery-admin, caseworker, hub-manager, auditor or adapter-author")],
    hub: Annotated[str | None, typer.Option(help="of caseworkers and hub managers")] = None,
) -> None:
    """Let somebody use the console. Prints a password, once, good for a day, to choose one's own with."""
    from ..console import credentials
    from ..console.people import checked
    from ..policy.roles import OF_A_HUB, Person, Role
    from ..store import people

    if role not in set(Role):
        raise typer.BadParameter(f"there is no role {role}; known are {', '.join(Role)}", param_hint="--role")
    if (role in OF_A_HUB) != (hub is not None):
        raise typer.BadParameter("caseworkers and hub managers belong to a hub, the others to none", param_hint="--hub")
    password = credentials.one_time()
    with terminal.opened() as room, room.store.begin() as tx:
        people.add(tx, Person(checked(name), Role(role), hub), credentials.hasher.hash(password), by=terminal.actor())
    print(password)


@app.command("list")
def people_list(as_json: terminal.AsJson = False) -> None:
    """Who may use the console, and as what."""
    from ..store import people

    with terminal.opened() as room, room.store.begin() as tx:
        terminal.show(people.listing(tx), as_json, "people")


@app.command("reset")
def people_reset(name: str) -> None:
    """Print a new one-time password; the second factor is set up anew, and every session of theirs ends."""
    from ..console import credentials
    from ..store import people

    password = credentials.one_time()
    with terminal.opened() as room, room.store.begin() as tx:
        people.reset(tx, people.get(tx, name).person, credentials.hasher.hash(password), by=terminal.actor())
    print(password)


@app.command("disable")
def people_disable(name: str) -> None:
    """Log somebody out, at once, and let them in no more."""
    from ..store import people

    with terminal.opened() as room, room.store.begin() as tx:
        people.disable(tx, people.get(tx, name).person, by=terminal.actor())


@app.command("enable")
def people_enable(name: str) -> None:
    """Let somebody in again."""
    from ..store import people

    with terminal.opened() as room, room.store.begin() as tx:
        people.enable(tx, people.get(tx, name).person, by=terminal.actor())
