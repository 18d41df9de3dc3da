"""What operators look at: ``gateway report``, ``gateway metrics``, ``gateway doctor``."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Invalid
from . import terminal
from .terminal import AsJson

if TYPE_CHECKING:
    from ..policy.disclosure import Figure

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


@app.command("progress")
def report_progress(
    quarter: Annotated[str | None, typer.Option(help="such as 2026-Q3; without it, the last one that is over")] = None,
    as_json: AsJson = False,
) -> None:
    """What became of a quarter's referrals, of women who agree to be counted: by service, area and outcome; never of few."""
    from .. import reports

    with terminal.opened() as room, room.store.begin() as tx:
        try:
            found = reports.of_quarter(tx, quarter)
        except Invalid as problem:
            raise typer.BadParameter(problem.detail, param_hint="--quarter") from None
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        from ..policy.disclosure import THRESHOLD

        few = f"of fewer than {THRESHOLD} women"
        terminal.show(_lines(found.counted), False, f"progress in {found.quarter}")
        print(
            f"not counted, since she did not agree to it: {few if found.left_out is None else found.left_out}",
            file=sys.stderr,
        )
    if not found.is_over:
        print(
            f"{found.quarter} is not over: two readings, subtracted, tell of one woman. Do not pass it on.",
            file=sys.stderr,
        )


def _lines(found: "Figure | None", path: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """A line for the whole and for each part, the whole first."""
    if found is None:
        return []
    names = (*path, "", "", "")[:3]
    line = dict(zip(("service", "area", "outcome"), names, strict=True)) | {
        "referrals": found.count,
        "median_days": found.days,
    }
    return [line, *(row for name, part in found.parts.items() for row in _lines(part, (*path, name)))]


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
