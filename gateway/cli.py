"""The ``gateway`` command.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused by consent or policy, 5 try later.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import logs
from .errors import Conflict, ConsentMissing, Forbidden, GatewayError, Invalid, Misconfigured, NotFound

if TYPE_CHECKING:
    from .delivery.room import PostRoom
    from .store.deliveries import Delivery
    from .store.selections import Selection
    from .store.session import Tx

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The referral gateway."
)
deliveries_app = typer.Typer(no_args_is_help=True, help="What was sent, what waits, what failed.")
hubs_app = typer.Typer(no_args_is_help=True, help="Hubs and their API keys.")
webhooks_app = typer.Typer(no_args_is_help=True, help="Where hubs are told of events.")
admins_app = typer.Typer(no_args_is_help=True, help="Administrators of the status page.")
report_app = typer.Typer(no_args_is_help=True, help="Reports: ids and counts, never names.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit chain.")
directory_app = typer.Typer(no_args_is_help=True, help="Which services there are, and whom they take.")
areas_app = typer.Typer(help="The hub areas, and how far the roll-out is in each.")
for name, part in (
    ("deliveries", deliveries_app), ("hubs", hubs_app), ("webhooks", webhooks_app), ("admins", admins_app),
    ("audit", audit_app), ("report", report_app), ("directory", directory_app), ("areas", areas_app),
):  # fmt: skip
    app.add_typer(part, name=name)

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]
Reason = Annotated[str, typer.Option(help="why; kept in the audit, so no names")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, do nothing")]


def main() -> None:
    """The entry point: errors become one line on standard error and an exit code."""
    try:
        app()
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: GatewayError) -> int:
    from .store.session import StoreUnavailable

    codes: dict[type[GatewayError], int] = {
        NotFound: 3, ConsentMissing: 4, Forbidden: 4, Conflict: 4, StoreUnavailable: 5, Misconfigured: 2,
    }  # fmt: skip
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 1)


def actor() -> str:
    """Who runs the command, for the audit."""
    return f"cli:{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


@contextmanager
def opened() -> Iterator["PostRoom"]:
    """The configured gateway; its embedded database is started for the command, if it is not running."""
    from . import embedded, settings

    logs.configure("WARNING")
    with embedded.database(settings.load()) as ready:
        from .delivery.room import open_room

        room = open_room(ready)
        try:
            yield room
        finally:
            room.store.close()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def show(rows: Iterable[Mapping[str, Any]], as_json: bool, title: str) -> None:
    """Rows as JSON, or as a table on a terminal, or as tab-separated text in a pipe."""
    rows = list(rows)
    if as_json:
        print(json.dumps(rows, default=_plain, indent=2))
        return
    if not rows:
        print(f"{title}: none", file=sys.stderr)
        return
    cells = [{key: "–" if value is None else _plain(value) for key, value in row.items()} for row in rows]
    if not sys.stdout.isatty():
        print("\t".join(rows[0]))
        print("\n".join("\t".join(row.values()) for row in cells))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row.values())
    Console().print(table)


@app.command()
def up() -> None:
    """Run everything on this machine: a private PostgreSQL, the web process and the delivery process."""
    from . import embedded, settings

    logs.configure()
    embedded.up(settings.load())


@app.command()
def serve() -> None:
    """Run the web process. Needs GATEWAY_DATABASE_URL and GATEWAY_MASTER_KEY."""
    from .app import run
    from .embedded import watch_lifeline

    watch_lifeline()
    run(_production())


@app.command()
def worker() -> None:
    """Run a delivery process. Needs GATEWAY_DATABASE_URL and GATEWAY_MASTER_KEY; with several, GATEWAY_BROKER_URL."""
    from .embedded import watch_lifeline
    from .worker import run

    watch_lifeline()
    run(_production())


def _production() -> Any:
    from . import settings
    from .store import schema

    loaded = settings.load()
    for name in ("database_url", "master_key"):
        if getattr(loaded, name) is None:
            raise Misconfigured(
                f"setting {name}: set GATEWAY_{name.upper()}, or run gateway up for the embedded default"
            )
    assert loaded.database_url is not None
    schema.require_current(loaded.database_url)
    return loaded


@app.command()
def migrate(to: Annotated[str, typer.Option(help="a revision")] = "head") -> None:
    """Bring the tables of GATEWAY_DATABASE_URL up to date."""
    from . import settings
    from .store import schema

    url = settings.load().database_url
    if url is None:
        raise Misconfigured("setting database_url: set GATEWAY_DATABASE_URL; the embedded default migrates by itself")
    schema.upgrade(url, to)


@app.command()
def key() -> None:
    """Print a new master key. Keep it where the database is not: without it nothing can be read."""
    from .vault import generate

    print(generate())


@app.command()
def agencies(as_json: AsJson = False) -> None:
    """The configured agencies and how their deliveries stand."""
    from . import reports
    from .delivery import standing

    with opened() as room, room.store.begin() as tx:
        standings, now = standing.everyones(room, tx), tx.now()
        rows: list[dict[str, Any]] = []
        for totals in reports.overview(tx, list(room.agencies)).agencies:
            agency, stands = room.agencies.get(totals.agency), standings.get(totals.agency)
            stop, minute = stands and stands.stop(), stands and stands.minute
            rows.append(
                {
                    "agency": totals.agency,
                    "stands": standing.says(stands) if stands else _not_an_agency(totals.agency),
                    "deliveries": " ".join(f"{state}:{count}" for state, count in totals.counts.items()) or None,
                    "oldest": now - totals.oldest if totals.oldest else None,
                    "hours": standing.hours(agency) if agency else None,
                    "calls_a_minute": f"{minute.calls} of {minute.most}" if minute else None,
                    "address": agency and (agency.settings.base_url or "by hand"),
                }
            )
            if as_json:  # a terminal is not wide enough for all
                rows[-1] |= {
                    "until": stop and stop.until,
                    "adapter": agency and agency.settings.adapter,
                    "purpose": agency and agency.purpose,
                    "areas": list(agency.settings.areas) if agency else None,
                }
        show(rows, as_json, "agencies")


@app.command()
def adapters(as_json: AsJson = False) -> None:
    """The installed adapters, and the hash of each, for the setting adapter_hashes. None of them is loaded."""
    from . import provenance

    show([asdict(one) for one in provenance.installed()], as_json, "adapters")


def _not_an_agency(name: str) -> str:
    from . import ids

    return "a hub's webhook" if ids.valid(name, "whe") else "not configured"


def _rows(room: "PostRoom", tx: "Tx", found: Sequence["Delivery"]) -> list[dict[str, Any]]:
    from .delivery import codes, standing

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


@deliveries_app.command("list")
def deliveries_list(
    agency: Annotated[str | None, typer.Option(help="only of this agency")] = None,
    state: Annotated[list[str] | None, typer.Option(help="only in this state; repeat for several")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Deliveries, newest first."""
    from .policy.lifecycle import State
    from .store import listings

    unknown = [word for word in state or () if word not in set(State)]
    if unknown:
        raise typer.BadParameter(f"there is no state {unknown[0]}; known are {', '.join(State)}", param_hint="--state")
    with opened() as room, room.store.begin() as tx:
        found = listings.search(tx, agency=agency, states=[State(word) for word in state or ()], limit=limit)
        show(_rows(room, tx, found), as_json, "deliveries")


@deliveries_app.command("show")
def deliveries_show(identifier: str, as_json: AsJson = False) -> None:
    """One delivery, and what every attempt came to."""
    from .store import deliveries, listings

    with opened() as room, room.store.begin() as tx:
        found = deliveries.get(tx, identifier)
        [row], attempts = _rows(room, tx, [found]), listings.attempts(tx, identifier)
        if as_json:
            print(
                json.dumps(
                    {**row, "hub": found.hub, "referral": found.referral, "attempts_made": attempts},
                    default=_plain,
                    indent=2,
                )
            )
            return
        show(
            [
                {"what": key, "value": value}
                for key, value in {**row, "hub": found.hub, "referral": found.referral}.items()
            ],
            False,
            identifier,
        )
        show(attempts, False, "attempts")


def _decide(decision: Callable[..., Any], identifier: str, reason: str, dry_run: bool, done: str) -> None:
    with opened() as room:
        found = decision(room, identifier, by=actor(), reason=reason, dry_run=dry_run)
        print(
            f"{identifier} is {found.state}: it would be {done}" if dry_run else f"{identifier} {done}: {found.state}"
        )


@deliveries_app.command("replay")
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
    from .delivery import decisions, replay

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
    with opened() as room:
        _replay(room, chosen, reason, dry_run=dry_run, yes=yes, as_json=as_json)


def _replay(room: "PostRoom", chosen: "Selection", reason: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show what would be done; do it, if that is wanted, and show what was."""
    from .delivery import replay

    if as_json and not (dry_run or yes):
        raise typer.BadParameter("say --dry-run or --yes with it: nobody can be asked", param_hint="--json")
    chosen = replay.up_to_now(room, chosen)
    if yes and not dry_run:
        found = replay.carry_out(room, chosen, by=actor(), reason=reason)
    else:
        found = replay.preview(room, chosen)
    show(replay.rows(found), as_json, "would be sent again" if dry_run or not yes else "sent again")
    for warning in replay.warnings(room, found):
        print(warning, file=sys.stderr)
    if not (dry_run or yes) and any(not alike.held_back for alike in found):
        typer.confirm("Send them again?", abort=True, err=True)
        _replay(room, chosen, reason, dry_run=False, yes=True, as_json=False)


@deliveries_app.command("confirm")
def deliveries_confirm(identifier: str, reason: Reason, dry_run: DryRun = False) -> None:
    """You found out that the agency has it, or told it by hand: mark it as delivered."""
    from .delivery import decisions

    _decide(decisions.confirm, identifier, reason, dry_run, "marked as delivered")


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """What waits for a person, oldest first: agencies to be told by hand, and what failed or nobody could resolve."""
    from .store import listings

    with opened() as room, room.store.begin() as tx:
        show(_rows(room, tx, listings.tasks(tx)), as_json, "tasks")


@report_app.command("lawful-bases")
def report_lawful_bases(as_json: AsJson = False) -> None:
    """Every use of another lawful basis than consent."""
    from . import reports

    with opened() as room, room.store.begin() as tx:
        rows = reports.lawful_bases(tx)
    if not as_json:
        rows = [
            {**row, "referrals": " ".join(row["referrals"]) or None,
             "deliveries": " ".join(f"{state}:{count}" for state, count in row["deliveries"].items()) or None}
            for row in rows
        ]  # fmt: skip
    show(rows, as_json, "other lawful bases")


@app.command()
def pause(agency: str, reason: Reason) -> None:
    """Send nothing more to an agency until it is resumed. What is on the wire is finished."""
    from .delivery import decisions

    with opened() as room:
        decisions.pause(room, agency, by=actor(), reason=reason)
        print(f"{agency} is paused: its referrals wait")


@app.command()
def resume(agency: str, reason: Reason) -> None:
    """Go on with a paused agency: what waits is sent; nothing that ended is started again."""
    from .delivery import decisions

    with opened() as room:
        decisions.resume(room, agency, by=actor(), reason=reason)
        print(f"{agency} goes on")


@hubs_app.command("add")
def hubs_add(hub: Annotated[str, typer.Argument(help="for example glasgow-hub")]) -> None:
    """Give a hub an API key. It is shown once."""
    from .store import callers

    with opened() as room, room.store.begin() as tx:
        print(callers.add_hub(tx, hub, by=actor()))


@hubs_app.command("list")
def hubs_list(as_json: AsJson = False) -> None:
    """Hubs and the ids of their keys."""
    from .store import callers

    with opened() as room, room.store.begin() as tx:
        show(callers.list_hubs(tx), as_json, "hubs")


@hubs_app.command("revoke")
def hubs_revoke(identifier: Annotated[str, typer.Argument(help="a key's id, from gateway hubs list")]) -> None:
    """Take an API key out of use, at once."""
    from .store import callers

    with opened() as room, room.store.begin() as tx:
        callers.revoke_key(tx, identifier, by=actor())


@webhooks_app.command("list")
def webhooks_list(as_json: AsJson = False) -> None:
    """Every hub's webhooks, and how each fares. What was sent: gateway deliveries list --agency ID."""
    from .store import webhooks

    with opened() as room, room.store.begin() as tx:
        rows = [
            {
                "id": hook.id, "hub": hook.hub, "url": hook.url, "types": ", ".join(hook.types) or "all",
                "state": "on" if hook.disabled_at is None else f"off: {hook.disabled_code}",
                "failing_since": hook.failing_since, "delivered_at": hook.delivered_at, "created_at": hook.created_at,
            }
            for hook in webhooks.all_of(tx)
        ]  # fmt: skip
        show(rows, as_json, "webhooks")


@admins_app.command("add")
def admins_add(
    name: str,
    replace: Annotated[bool, typer.Option("--replace", help="give a new password")] = False,
    password: Annotated[
        str | None, typer.Option(envvar="GATEWAY_ADMIN_PASSWORD", help="asked for, if not given", show_envvar=True)
    ] = None,
) -> None:
    """Let somebody log in to the status page."""
    from .console.login import hasher
    from .store import callers

    chosen = password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(chosen) < 12:
        raise typer.BadParameter("use at least 12 characters", param_hint="--password")
    with opened() as room, room.store.begin() as tx:
        callers.add_admin(tx, name, hasher.hash(chosen), by=actor(), replace=replace)


@areas_app.callback(invoke_without_command=True)
def areas(context: typer.Context, as_json: AsJson = False) -> None:
    """The hub areas, and how far the roll-out is in each."""
    from .store import directory

    if context.invoked_subcommand is None:
        with opened() as room, room.store.begin() as tx:
            show(directory.areas(tx), as_json, "areas")


@areas_app.command("set")
def areas_set(
    area: str,
    phase: Annotated[str, typer.Argument(help="planned, pilot or live; nothing is sent in one that is planned")],
    reason: Reason,
) -> None:
    """Switch an area. Switched off, its referrals wait; switched on, they go out."""
    from .policy.places import Phase
    from .store import directory

    if phase not in set(Phase):
        raise typer.BadParameter(f"there is no phase {phase}; known are {', '.join(Phase)}", param_hint="PHASE")
    with opened() as room, room.store.begin() as tx:
        directory.switch(tx, area, Phase(phase), by=actor(), reason=reason)
    print(f"{area} is {phase}")


@directory_app.command("import")
def directory_import(file: Annotated[Path, typer.Argument(help="JSON after HSDS 3")], dry_run: DryRun = False) -> None:
    """Make the services of the organizations that FILE names those that it lists. Other organizations' stay."""
    from .policy import hsds
    from .store import directory

    try:
        wanted = hsds.read(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise NotFound(f"{file}: {getattr(error, 'strerror', None) or 'is not JSON in UTF-8'}") from None
    with opened() as room, room.store.begin() as tx:
        found = directory.changes(directory.lock(tx), wanted.services, sorted(wanted.agencies))
        if not dry_run:
            directory.apply(tx, found, by=actor())
        strangers = sorted(wanted.agencies - set(room.agencies))
    show(
        [{"what": one.verb, "service": one.service.id, "agency": one.service.agency, "name": one.service.name}
         for one in found], False, "changes",
    )  # fmt: skip
    for agency in strangers:
        print(f"{agency} is not configured as an agency: its services are passed over until it is", file=sys.stderr)
    print(f"{len(found)} changes {'would be' if dry_run else 'were'} made", file=sys.stderr)


@directory_app.command("export")
def directory_export() -> None:
    """Print the directory as JSON after HSDS 3: what import takes."""
    from .policy import hsds
    from .store import directory

    with opened() as room, room.store.begin() as tx:
        print(json.dumps(hsds.write(directory.look(tx).sources), indent=2, ensure_ascii=False))


@directory_app.command("list")
def directory_list(
    agency: Annotated[str | None, typer.Option(help="only of this agency")] = None, as_json: AsJson = False
) -> None:
    """The services, what each is for and where."""
    from .policy import places
    from .store import directory

    with opened() as room, room.store.begin() as tx:
        services = directory.look(tx).services
        rows = [
            {
                "id": one.id, "agency": one.agency, "name": one.name, "needs": ", ".join(sorted(one.needs)),
                "places": ", ".join(sorted(map(places.name, one.places))),
                "urgency": ", ".join(sorted(one.urgency)), "configured": "yes" if one.agency in room.agencies else "no",
            }
            for one in services if agency in (None, one.agency)
        ]  # fmt: skip
    show(rows, as_json, "services")


@audit_app.command("verify")
def audit_verify(
    as_json: AsJson = False,
    exported: Annotated[
        Path | None,
        typer.Option("--export", exists=True, dir_okay=False, help="check a file of gateway audit export instead"),
    ] = None,
    public: Annotated[str, typer.Option("--public-key", help="of the signatures; needs no other setting")] = "",
    kept: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints", exists=True, dir_okay=False, help="checkpoints kept elsewhere, such as the audit_file"
        ),
    ] = None,
) -> None:
    """Check the audit's hash chain against its signed checkpoints; name the first broken row. Exit code 1 if there is one."""
    from .store import audit, checkpoints

    elsewhere = _checkpoints(kept) if kept else []
    if exported:
        if not public:
            raise typer.BadParameter("an export is checked with the public key", param_hint="--public-key")
        with exported.open() as lines:
            verdict = audit.check(_lines(lines, audit.read, "position"), elsewhere + _checkpoints(exported), public)
    else:
        with opened() as room, room.store.begin() as tx:
            public = public or (room.notary.public if room.notary else "")
            verdict = audit.verify(tx, elsewhere + (checkpoints.everyone(tx) if public else []), public)
    if as_json:
        print(json.dumps({**asdict(verdict), "holds": verdict.holds}))
    elif verdict.holds:
        print(f"the chain holds: {verdict.rows} rows, the first {verdict.signed} as they were signed")
    else:
        where = f"broken at row {verdict.broken}" if verdict.broken else "broken"
        print(f"{where}, after {verdict.rows} good ones: {verdict.why}")
    if not verdict.holds:
        raise typer.Exit(1)


@audit_app.command("export")
def audit_export() -> None:
    """Print every row of the audit and every checkpoint, a line of JSON each, to be checked elsewhere."""
    from .store import audit, checkpoints

    with opened() as room, room.store.begin() as tx:
        while audit.link(tx):
            pass
        for row in audit.rows(tx):
            print(json.dumps(audit.export(row)))
        for checkpoint in checkpoints.everyone(tx):
            print(json.dumps(checkpoint.document()))


@audit_app.command("sign")
def audit_sign() -> None:
    """Sign how far the audit goes now, and print the checkpoint: keep it where nobody can reach it from here."""
    from .store import audit, checkpoints

    with opened() as room, room.store.begin() as tx:
        if room.notary is None:
            raise Misconfigured("setting audit_key: set GATEWAY_AUDIT_KEY; gateway key makes one")
        while audit.link(tx):
            pass
        signed = checkpoints.sign(tx, room.notary, timedelta(0)) or checkpoints.everyone(tx)[-1]
        print(json.dumps(signed.document()))


@audit_app.command("public-key")
def audit_public_key() -> None:
    """Print the key that the audit's signatures are checked with."""
    from . import embedded, settings
    from .notary import Notary

    logs.configure("WARNING")
    with embedded.database(settings.load()) as ready:
        if ready.audit_key is None:
            raise Misconfigured("setting audit_key: set GATEWAY_AUDIT_KEY; gateway key makes one")
        print(Notary(ready.audit_key.get_secret_value()).public)


def _lines(lines: Iterable[str], read: Callable[[Any], Any], mark: str) -> Iterator[Any]:
    """What *read* makes of each line of JSON that has a member *mark*. Raises Misconfigured, which names the line."""
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            if mark in document:
                yield read(document)
        except (ValueError, KeyError, TypeError):
            raise Misconfigured(f"line {number} is not one of an audit export") from None


def _checkpoints(path: Path) -> list[Any]:
    from .notary import Checkpoint

    with path.open() as lines:
        return list(_lines(lines, Checkpoint.read, "checkpoint"))


@app.command()
def metrics() -> None:
    """What /metrics says, in Prometheus's text format, without a web process."""
    from . import metrics as figures

    with opened() as room, room.store.begin() as tx:
        print(figures.text(tx, room.agencies).decode(), end="")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What is configured, what answers, what is late. Exit code 1 if something needs a person."""
    from . import doctor as examination

    with opened() as room:
        findings = examination.examine(room)
    show([finding.row() for finding in findings], as_json, "doctor")
    if any(not finding.ok for finding in findings):
        raise typer.Exit(1)
