"""``gateway directory``: services, and whom they take; ``gateway areas``: the roll-out."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import NotFound
from . import terminal
from .terminal import AsJson, DryRun, Reason

app = typer.Typer(no_args_is_help=True, help="Which services there are, and whom they take.")
areas = typer.Typer(help="The hub areas, and how far the roll-out is in each.")


@app.command("import")
def directory_import(file: Annotated[Path, typer.Argument(help="JSON after HSDS 3")], dry_run: DryRun = False) -> None:
    """Make the services of the organizations that FILE names those that it lists. Other organizations' stay."""
    from ..policy import hsds
    from ..store import directory

    try:
        wanted = hsds.read(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise NotFound(f"{file}: {getattr(error, 'strerror', None) or 'is not JSON in UTF-8'}") from None
    with terminal.opened() as room, room.store.begin() as tx:
        found = directory.changes(directory.lock(tx), wanted.services, sorted(wanted.agencies))
        if not dry_run:
            directory.apply(tx, found, by=terminal.actor())
        strangers = sorted(wanted.agencies - set(room.agencies))
    terminal.show(
        [{"what": one.verb, "service": one.service.id, "agency": one.service.agency, "name": one.service.name}
         for one in found], False, "changes",
    )  # fmt: skip
    for agency in strangers:
        print(f"{agency} is not configured as an agency: its services are passed over until it is", file=sys.stderr)
    print(f"{len(found)} changes {'would be' if dry_run else 'were'} made", file=sys.stderr)


@app.command("export")
def directory_export() -> None:
    """Print the directory as JSON after HSDS 3: what import takes."""
    from ..policy import hsds
    from ..store import directory

    with terminal.opened() as room, room.store.begin() as tx:
        print(json.dumps(hsds.write(directory.look(tx).sources), indent=2, ensure_ascii=False))


@app.command("list")
def directory_list(
    agency: Annotated[str | None, typer.Option(help="only of this agency")] = None, as_json: AsJson = False
) -> None:
    """The services, what each is for and where."""
    from ..policy import places
    from ..store import directory

    with terminal.opened() as room, room.store.begin() as tx:
        services = directory.look(tx).services
        rows = [
            {
                "id": one.id, "agency": one.agency, "name": one.name, "needs": ", ".join(sorted(one.needs)),
                "places": ", ".join(sorted(map(places.name, one.places))),
                "urgency": ", ".join(sorted(one.urgency)), "configured": "yes" if one.agency in room.agencies else "no",
            }
            for one in services if agency in (None, one.agency)
        ]  # fmt: skip
    terminal.show(rows, as_json, "services")


@areas.callback(invoke_without_command=True)
def areas_list(context: typer.Context, as_json: AsJson = False) -> None:
    """The hub areas, and how far the roll-out is in each."""
    from ..store import directory

    if context.invoked_subcommand is None:
        with terminal.opened() as room, room.store.begin() as tx:
            terminal.show(directory.areas(tx), as_json, "areas")


@areas.command("set")
def areas_set(
    area: str,
    phase: Annotated[str, typer.Argument(help="planned, pilot or live; nothing is sent in one that is planned")],
    reason: Reason,
) -> None:
    """Switch an area. Switched off, its referrals wait; switched on, they go out."""
    from ..policy.places import Phase
    from ..store import directory

    if phase not in set(Phase):
        raise typer.BadParameter(f"there is no phase {phase}; known are {', '.join(Phase)}", param_hint="PHASE")
    with terminal.opened() as room, room.store.begin() as tx:
        directory.switch(tx, area, Phase(phase), by=terminal.actor(), reason=reason)
    print(f"{area} is {phase}")
