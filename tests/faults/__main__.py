"""``make faults``: every fault in every house, and a table of what came of it. Exit code 1 if anything is not as promised.

A whole run that is as promised writes the table to docs/faults.md and into docs/delivery.md.
"""

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway import logs

from .agencies import BENEFITS, COUNCIL, PLAIN
from .house import NoServer
from .outages import OUTAGES
from .scenarios import ALL_AT_ONCE, SCENARIOS, Opener, Played, Scenario, play

EVERYTHING = [*SCENARIOS, *OUTAGES]
DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?<=<!-- make faults -->\n).*?(?=<!-- end of make faults -->)", re.DOTALL)
COLUMNS = [
    "house",
    "what went wrong",
    "faults",
    "accepted",
    "lost",
    "twice, keyed",
    "twice, asked",
    "twice, plain",
    "late",
    "asking",
    "drained",
]
LEGEND = """Lost: accepted with a 202 and not held by its agency at the end, or a withdrawal or an agency's answer that never
arrived. Twice: handed over more than once, to an agency that honours the delivery key, one that can be asked, and a
plain one with neither. Late: begun after she had withdrawn. Asking: left to a person, who asks the agency and decides;
only ever at the plain one. Drained: from the last referral until nothing is under way."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults", description="Inject faults and count what is lost or doubled.")
    parser.add_argument(
        "--only", action="append", default=[], help="scenarios whose name holds this; repeat for several"
    )
    parser.add_argument("--quick", action="store_true", help="all kills as one scenario, so that it drains once")
    parser.add_argument("--seconds", type=float, default=1800, help="begin no scenario after so many seconds")
    options = parser.parse_args()
    logs.configure("ERROR")
    rest = [scenario for scenario in EVERYTHING if not scenario.name.startswith("killed")]
    chosen = [ALL_AT_ONCE, *rest] if options.quick else EVERYTHING
    chosen = [one for one in chosen if not options.only or any(word in one.name for word in options.only)]
    if not chosen:
        parser.error(f"no scenario of that name; there are: {'; '.join(one.name for one in EVERYTHING)}")
    played, unplayed = run(chosen, time.monotonic() + options.seconds)
    report(played, unplayed)
    good = bool(played) and all(one.account.good for one in played) and "time" not in " ".join(unplayed)
    if good and chosen == EVERYTHING:
        write(markdown(played, unplayed))
    sys.exit(0 if good else 1)


def run(scenarios: Sequence[Scenario], until: float) -> tuple[list[Played], list[str]]:
    """Each scenario in each of its houses, and a sentence for what could not be played."""
    played: list[Played] = []
    unplayed: list[str] = []
    for name, opener, here in houses(scenarios):
        try:
            with opener() as house:
                for scenario in here:
                    if time.monotonic() > until:
                        unplayed.append(f"{scenario.name}, {name}: not played, the time is over")
                        continue
                    with console.status(f"{name}: {scenario.name} ..."):
                        played.append(play(scenario, name, house))
                    tell(played[-1])
        except NoServer as error:
            unplayed.append(f"{name}: not played, {error}")
    return played, unplayed


def houses(scenarios: Sequence[Scenario]) -> Iterator[tuple[str, Opener, list[Scenario]]]:
    """Every house that is needed, opened once for all that is played in it."""
    wanted = {(name, opener): None for scenario in scenarios for name, opener in scenario.houses.items()}
    for name, opener in wanted:
        yield name, opener, [one for one in scenarios if one.houses.get(name) is opener]


def tell(one: Played) -> None:
    mark = "as promised" if one.account.good else "[red]NOT as promised[/red]"
    console.print(f"{one.house}: {one.scenario}: {mark}")
    for sentence in [*one.notes, *one.account.wrong[:8]]:
        console.print(f"    {sentence[:140]}", markup=False)


def cells(played: Sequence[Played]) -> list[str]:
    """A row of the table for *played*, without house and name."""
    accounts = [one.account for one in played]
    counts = [
        sum(one.faults for one in played),
        sum(one.accepted for one in accounts),
        sum(one.lost for one in accounts),
        *(sum(one.doubled[agency] for one in accounts) for agency in (COUNCIL, BENEFITS, PLAIN)),
        sum(one.late for one in accounts),
        sum(one.asking for one in accounts),
    ]
    return [f"{count:,}" for count in counts] + [f"{max(one.drained for one in accounts):.1f} s"]


def rows(played: Sequence[Played]) -> Iterator[list[str]]:
    """The table, and its last row: the whole."""
    yield from ([one.house, one.scenario, *cells([one])] for one in played)
    yield ["all", "", *cells(played)]


def report(played: Sequence[Played], unplayed: Sequence[str]) -> None:
    if played:
        table = Table(title="What became of the referrals", title_justify="left")
        for column in COLUMNS:
            table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
        for row in rows(played):
            table.add_row(*row)
        console.print(table)
        console.print(LEGEND)
    for sentence in unplayed:
        console.print(f"[yellow]{sentence}[/yellow]")


def markdown(played: Sequence[Played], unplayed: Sequence[str]) -> str:
    """The table, and on what it was measured."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"`make faults` on {machine}; hubs, agencies, servers and gateway share them:",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- | --- |{' ---: |' * (len(COLUMNS) - 2)}",
        *(f"| {' | '.join(row)} |" for row in rows(played)),
        *(line for one in played for note in one.notes for line in ("", f"{one.house}, {one.scenario}: {note}.")),
        *(line for sentence in unplayed for line in ("", f"{sentence}.")),
        "",
        LEGEND,
    ]
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Renew docs/faults.md, and the block of docs/delivery.md that repeats it."""
    (DOCS / "faults.md").write_text(f"# Faults injected, and what came of them\n\n{text}", "utf-8")
    page = DOCS / "delivery.md"
    page.write_text(BLOCK.sub(lambda _: text, page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
