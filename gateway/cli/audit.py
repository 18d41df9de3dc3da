"""``gateway audit``: check the chain, sign it, take it elsewhere."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import logs
from ..errors import Misconfigured
from . import terminal
from .terminal import AsJson

app = typer.Typer(no_args_is_help=True, help="The audit chain.")


@app.command("verify")
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
    from ..store import audit, checkpoints

    elsewhere = _checkpoints(kept) if kept else []
    if exported:
        if not public:
            raise typer.BadParameter("an export is checked with the public key", param_hint="--public-key")
        with exported.open() as lines:
            verdict = audit.check(_lines(lines, audit.read, "position"), elsewhere + _checkpoints(exported), public)
    else:
        with terminal.opened() as room, room.store.begin() as tx:
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


@app.command("export")
def audit_export() -> None:
    """Print every row of the audit and every checkpoint, a line of JSON each, to be checked elsewhere."""
    from ..store import audit, checkpoints

    with terminal.opened() as room, room.store.begin() as tx:
        while audit.link(tx):
            pass
        for row in audit.rows(tx):
            print(json.dumps(audit.export(row)))
        for checkpoint in checkpoints.everyone(tx):
            print(json.dumps(checkpoint.document()))


@app.command("sign")
def audit_sign() -> None:
    """Sign how far the audit goes now, and print the checkpoint: keep it where nobody can reach it from here."""
    from ..store import audit, checkpoints

    with terminal.opened() as room, room.store.begin() as tx:
        if room.notary is None:
            raise Misconfigured("setting audit_key: set GATEWAY_AUDIT_KEY; gateway key makes one")
        while audit.link(tx):
            pass
        signed = checkpoints.sign(tx, room.notary, timedelta(0)) or checkpoints.everyone(tx)[-1]
        print(json.dumps(signed.document()))


@app.command("public-key")
def audit_public_key() -> None:
    """Print the key that the audit's signatures are checked with."""
    from .. import embedded, settings
    from ..notary import Notary

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
    from ..notary import Checkpoint

    with path.open() as lines:
        return list(_lines(lines, Checkpoint.read, "checkpoint"))
