"""``make bench``: accepting, delivering, latency, memory and backlog, each beside what it is compared with, in one run."""

import os
import platform
from collections.abc import Mapping

import psycopg
from rich.console import Console
from rich.table import Table

from tests.support import HOUSING, SOCIAL_SECURITY

from . import servers
from .accepting import accepts
from .at_once import at_once, hand_at_once
from .audited import audited
from .backlog import claims
from .delivering import bare_rest, bare_soap, delivers, hand_delivers
from .latency import latency
from .load import THREADS
from .memory import memories

BACKLOG = int(os.environ.get("BENCH_BACKLOG", "100000"))


def table(title: str, found: Mapping[str, float], against: str) -> None:
    shown = Table(title=title, title_justify="left")
    for column in ("", "a second", "the gateway against it"):
        shown.add_column(column, justify="left" if not column else "right")
    for name, value in found.items():
        shown.add_row(name, f"{value:,.0f}", "" if name == against else f"{found[against] / value:.2f}")
    Console(width=90).print(shown)


def figures(title: str, unit: str, found: Mapping[str, float]) -> None:
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    shown.add_column(unit, justify="right")
    for name, value in found.items():
        shown.add_row(name, f"{value:,.0f}")
    Console(width=90).print(shown)


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )
    with servers.running() as bench:
        with psycopg.connect(bench.server.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        print(
            f"PostgreSQL {row[0] if row else '?'}, fsync on; servers, clients and simulators share these cores, "
            "so ratios mean more than figures"
        )
        hand = servers.broker_answers()
        if not hand:
            print("RabbitMQ does not answer (GATEWAY_TEST_BROKER_URL): without the pipeline written by hand")
        table("Accepted: validated, consent-checked, sealed, audited, committed", accepts(bench), "the gateway")
        found = {f"bare requests, {THREADS} threads": bare_rest(bench)}
        if hand:
            found["written by hand"] = hand_delivers(bench)
        found["the gateway"] = fast = delivers(bench, HOUSING)
        title = "Delivered by {}: claimed, consent checked again, opened, minimised, sent, settled, audited"
        table(title.format("REST"), found, "the gateway")
        found = {f"bare zeep, {THREADS} threads": bare_soap(bench), "the gateway": delivers(bench, SOCIAL_SECURITY)}
        table(title.format("SOAP"), found, "the gateway")
        if hand:
            by_them, by_us = hand_at_once(bench), at_once(bench)
            for place, what in enumerate(("Accepted", "Delivered by REST")):
                found = {"written by hand": by_them[place], "the gateway": by_us[place]}
                table(f"{what}, while both go on at once over RabbitMQ", found, "the gateway")
        table("Commits of eight writers, each with one row of the audit", audited(bench), "linked by the clock")
        half = fast / 4  # accepting shares the cores with delivering
        figures(f"From 202 to the agency's 201, at {half:,.0f} a second", "ms", latency(bench, half))
        figures("Memory of the whole embedded default", "MiB", memories(bench))
        figures(
            "Claimed and settled in batches: 20 agencies, one of them never answers", "a second",
            {f"{waiting:,} due": claims(bench, waiting) for waiting in (1000, BACKLOG)},
        )  # fmt: skip


if __name__ == "__main__":
    main()
