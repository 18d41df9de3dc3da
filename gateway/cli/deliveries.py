"""``gateway deliveries``: what was sent, what waits, what failed; ``gateway tasks``."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Invalid
from . import terminal
from .terminal import AsJson, DryRun, Reason

if TYPE_CHECKING:
    from ..delivery.room import PostRoom
    from ..store.deliveries import Delivery
    from ..store.selections import Selection
    from ..store.session import Tx

app = typer.Typer(no_args_is_help=True, help="What was sent, what waits, what failed.")


@app.command("list")
def deliveries_list(
    agency: Annotated[str | None, typer.Option(help="only of this agency")] = None,
    state: Annotated[list[str] | None, typer.Option(help="only in this state; repeat for several")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Deliveries, newest first."""
    from ..policy.lifecycle import State
    from ..store import listings

    unknown = [word for word in state or () if word not in set(State)]
    if unknown:
        raise typer.BadParameter(f"there is no state {unknown[0]}; known are {', '.join(State)}", param_hint="--state")
    with terminal.opened() as room, room.store.begin() as tx:
        found = listings.search(tx, agency=agency, states=[State(word) for word in state or ()], limit=limit)
        terminal.show(_rows(room, tx, found), as_json, "deliveries")


@app.command("show")
def deliveries_show(identifier: str, as_json: AsJson = False) -> None:
    """One delivery, and what every attempt came to."""
    from ..store import deliveries, listings

    with terminal.opened() as room, room.store.begin() as tx:
        found = deliveries.get(tx, identifier)
        [row], attempts = _rows(room, tx, [found]), listings.attempts(tx, identifier)
        if as_json:
            print(
                json.dumps(
                    {**row, "hub": found.hub, "referral": found.referral, "attempts_made": attempts},
                    default=terminal.plain,
                    indent=2,
                )
            )
            return
        terminal.show(
            [
                {"what": key, "value": value}
                for key, value in {**row, "hub": found.hub, "referral": found.referral}.items()
            ],
            False,
            identifier,
        )
        terminal.show(attempts, False, "attempts")


@app.command("replay")
def deliveries_replay(
    reason: Reason,
    identifier: Annotated[str | None, typer.Argument(help="one delivery; or say which below")] = None,
    agency: Annotated[str | None, typer.Option(help="all of this agency")] = None,
    since: Annotated[str | None, typer.Option("--from", help="that ended from this time on (ISO 8601)")] = None,
    until: Annotated[str | None, typer.Option("--to", help="that ended before this time")] = None,
    code: Annotated[list[str] | None, typer.Option(help="with this code; repeat for several")] = None,
    state: Annotated[list[str] | None, typer.Option(help="dead (the default), refused or asking; repeatable")] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="do it without asking")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead deliveries again, under their same keys: one, or a range. Consent is checked first, and when they leave."""
    from ..delivery import decisions, replay

    ranged = bool(agency or since or until or code or state)
    if bool(identifier) == ranged:
        raise typer.BadParameter("give either a delivery's id, or some of --agency, --from, --to, --code, --state")
    if identifier:
        _decide(decisions.replay, identifier, reason, dry_run, "queued again")
        return
    try:
        chosen = replay.selection(agency, since, until, code or (), state or ())
    except Invalid as problem:
        raise typer.BadParameter(problem.detail) from None
    with terminal.opened() as room:
        _replay(room, chosen, reason, dry_run=dry_run, yes=yes, as_json=as_json)


def _replay(room: "PostRoom", chosen: "Selection", reason: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show what would be done; do it, if that is wanted, and show what was."""
    from ..delivery import replay

    if as_json and not (dry_run or yes):
        raise typer.BadParameter("say --dry-run or --yes with it: nobody can be asked", param_hint="--json")
    chosen = replay.up_to_now(room, chosen)
    if yes and not dry_run:
        found = replay.carry_out(room, chosen, by=terminal.actor(), reason=reason)
    else:
        found = replay.preview(room, chosen)
    terminal.show(replay.rows(found), as_json, "would be sent again" if dry_run or not yes else "sent again")
    for warning in replay.warnings(room, found):
        print(warning, file=sys.stderr)
    if not (dry_run or yes) and any(not alike.held_back for alike in found):
        typer.confirm("Send them again?", abort=True, err=True)
        _replay(room, chosen, reason, dry_run=False, yes=True, as_json=False)


@app.command("confirm")
def deliveries_confirm(identifier: str, reason: Reason, dry_run: DryRun = False) -> None:
    """You found out that the agency has it, or told it by hand: mark it as delivered."""
    from ..delivery import decisions

    _decide(decisions.confirm, identifier, reason, dry_run, "marked as delivered")


@app.command("refuse")
def deliveries_refuse(identifier: str, reason: Reason, dry_run: DryRun = False) -> None:
    """You told the agency what it has to be told by hand, and it will not do it: mark it as refused."""
    from ..delivery import decisions

    _decide(decisions.refuse, identifier, reason, dry_run, "marked as refused")


def tasks(as_json: AsJson = False) -> None:
    """What waits for a person, oldest first: agencies to be told by hand, and what failed or nobody could resolve."""
    from ..store import listings

    with terminal.opened() as room, room.store.begin() as tx:
        terminal.show(_rows(room, tx, listings.tasks(tx)), as_json, "tasks")


def _decide(decision: Callable[..., Any], identifier: str, reason: str, dry_run: bool, done: str) -> None:
    with terminal.opened() as room:
        found = decision(room, identifier, by=terminal.actor(), reason=reason, dry_run=dry_run)
        print(
            f"{identifier} is {found.state}: it would be {done}" if dry_run else f"{identifier} {done}: {found.state}"
        )


def _rows(room: "PostRoom", tx: "Tx", found: Sequence["Delivery"]) -> list[dict[str, Any]]:
    from ..delivery import codes, standing

    prospects = standing.prospects(room, tx, found)
    return [
        {
            "id": delivery.id, "agency": delivery.agency, "kind": delivery.kind, "state": delivery.state,
            "status": delivery.status, "code": delivery.code,
            "meaning": codes.meaning(room.agencies.get(delivery.agency), delivery.code),
            "attempts": delivery.attempts, "created_at": delivery.created_at, "due_at": delivery.due_at,
            "waits": standing.waits(delivery, prospects.get(delivery.id)),
        }
        for delivery in found
    ]  # fmt: skip
