"""The ``gateway`` command: a module for each noun, put together here.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused by consent or policy, 5 try later.
"""

import sys

import typer

from .. import memory
from ..errors import Conflict, ConsentMissing, Forbidden, GatewayError, Misconfigured, NotFound
from . import agencies, audit, backups, clients, deliveries, directory, hubs, keys, people, processes, records, reports

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The referral gateway."
)
for command in (
    processes.up, processes.serve, processes.worker, processes.migrate, processes.key, agencies.agencies,
    agencies.adapters, deliveries.tasks, agencies.pause, agencies.resume, reports.metrics, reports.doctor,
    records.erase, records.retention, records.subject_access, backups.backup, backups.restore,
):  # fmt: skip
    app.command()(command)
for name, noun in (
    ("deliveries", deliveries.app), ("hubs", hubs.hubs), ("clients", clients.app), ("webhooks", hubs.webhooks), ("people", people.app),
    ("audit", audit.app), ("report", reports.app), ("directory", directory.app), ("areas", directory.areas),
    ("keys", keys.keys),
):  # fmt: skip
    app.add_typer(noun, name=name)


def main() -> None:
    """The entry point: errors become one line on standard error and an exit code."""
    memory.keep()
    try:
        app()
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: GatewayError) -> int:
    from ..store.session import StoreUnavailable

    codes: dict[type[GatewayError], int] = {
        NotFound: 3, ConsentMissing: 4, Forbidden: 4, Conflict: 4, StoreUnavailable: 5, Misconfigured: 2,
    }  # fmt: skip
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 1)
