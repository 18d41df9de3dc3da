"""What operators look at: ``gateway report``, ``gateway metrics``, ``gateway doctor``."""

import typer

from . import terminal
from .terminal import AsJson

app = typer.Typer(no_args_is_help=True, help="Reports: ids and counts, never names.")


@app.command("lawful-bases")
def report_lawful_bases(as_json: AsJson = False) -> None:
    """Every use of another lawful basis than consent."""
    from .. import reports

    with terminal.opened() as room, room.store.begin() as tx:
        rows = reports.lawful_bases(tx)
    if not as_json:
        rows = [
            {**row, "referrals": " ".join(row["referrals"]) or None,
             "deliveries": " ".join(f"{state}:{count}" for state, count in row["deliveries"].items()) or None}
            for row in rows
        ]  # fmt: skip
    terminal.show(rows, as_json, "other lawful bases")


def metrics() -> None:
    """What /metrics says, in Prometheus's text format, without a web process."""
    from .. import metrics as figures

    with terminal.opened() as room, room.store.begin() as tx:
        print(figures.text(tx, room.agencies).decode(), end="")


def doctor(as_json: AsJson = False) -> None:
    """What is configured, what answers, what is late. Exit code 1 if something needs a person."""
    from .. import doctor as examination
    from .. import production

    with terminal.opened() as room:
        with room.store.begin() as tx:
            refused = production.refusals(room.settings, terminal.found(tx, room.settings))
        findings = examination.examine(room, refused)
    terminal.show([finding.row() for finding in findings], as_json, "doctor")
    if any(not finding.ok for finding in findings):
        raise typer.Exit(1)
