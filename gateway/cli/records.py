"""What is kept about women, and for how long: ``gateway erase``, ``gateway retention``, ``gateway subject-access``."""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import terminal
from .terminal import AsJson, DryRun, Reason, actor

if TYPE_CHECKING:
    from ..delivery.erasure import Erased

Yes = Annotated[bool, typer.Option("--yes", help="do it without asking")]


def erase(
    identifier: Annotated[str, typer.Argument(help="of a referral or a consent")],
    reason: Reason,
    everything: Annotated[bool, typer.Option("--everything", help="all that its hub has of the same woman")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a referral for ever: what has not left is stopped, its keys are destroyed. Lists the agencies that have it."""
    from ..delivery import erasure

    if as_json and not (dry_run or yes):
        raise typer.BadParameter("say --dry-run or --yes with it: nobody can be asked", param_hint="--json")
    with terminal.opened() as room:
        carry_out = partial(erasure.erase, room, identifier, by=actor(), reason=reason, everything=everything)
        found = carry_out(dry_run=True)
        if not (dry_run or yes):
            _tell(found, done=False)
            typer.confirm("Erase it? There is no way back.", abort=True, err=True)
        if not dry_run:
            found = carry_out()
    if as_json:
        print(json.dumps(asdict(found), default=terminal.plain, indent=2))
    else:
        _tell(found, done=not dry_run)


def _tell(found: "Erased", *, done: bool) -> None:
    were = "were" if done else "would be"
    print(
        f"{len(found.referrals)} referrals and {len(found.consents)} consents {were} erased, "
        f"{len(found.stopped)} deliveries {were} stopped", file=sys.stderr,
    )  # fmt: skip
    rows = [
        {"tell": one.agency, "delivery": one.delivery, "reference": one.reference, "since": one.at,
         "has_it": "yes" if one.sure else "perhaps"}
        for one in found.recipients
    ]  # fmt: skip
    terminal.show(rows, False, "agencies to be told that it is erased")


def retention(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Erase what has been kept for long enough, as the delivery process does once an hour; counts by kind."""
    from ..delivery import retention as schedule

    with terminal.opened() as room:
        found = schedule.preview(room) if dry_run else schedule.run(room)
        ages = room.settings.retention
    rows = [{"kind": kind, "kept_days": getattr(ages, kind).days, "count": count} for kind, count in found.items()]
    terminal.show(rows, as_json, "would be erased" if dry_run else "erased")


def subject_access(
    hub: Annotated[str, typer.Argument(help="for example glasgow-hub")],
    folder: Annotated[Path, typer.Argument(help="where the two files go; nobody else can read them")],
    reason: Reason,
) -> None:
    """Write everything that is held on a woman into FOLDER, as JSON and as a page to print (UK GDPR article 15).

    Asks for the hub's reference for her, or reads it from standard input: what is typed behind a command, others can see.
    """
    from .. import subject_access as answer

    reference = typer.prompt("The hub's reference for her", err=True).strip()

    with terminal.opened() as room:
        held = answer.collect(room.store, hub, reference, by=actor(), reason=reason)
    written = answer.write(held, folder)
    print(f"{len(held['referrals'])} referrals and {len(held['consents'])} consents: {', '.join(map(str, written))}")
