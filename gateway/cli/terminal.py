"""What the commands share: who types, the opened gateway, how answers are shown."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import logs

if TYPE_CHECKING:
    from ..delivery.room import PostRoom
    from ..production import Found
    from ..settings import Settings
    from ..store.session import Tx

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]
Reason = Annotated[str, typer.Option(help="why; kept in the audit, so no names")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, do nothing")]


def actor() -> str:
    """Who runs the command, for the audit."""
    return f"cli:{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


def duration(text: str, option: str) -> timedelta:
    """A time as in the settings: ``90d``, ``24h``."""
    from pydantic import TypeAdapter, ValidationError

    from ..settings import Duration

    try:
        return TypeAdapter[timedelta](Duration).validate_python(text)
    except ValidationError:
        raise typer.BadParameter("give a time such as 90d, 24h or 30m", param_hint=option) from None


@contextmanager
def opened() -> Iterator["PostRoom"]:
    """The configured gateway; its embedded database is started for the command, if it is not running."""
    from .. import embedded, settings

    logs.configure("WARNING")
    with embedded.database(settings.load()) as ready:
        from ..delivery.room import open_room

        room = open_room(ready)
        try:
            yield room
        finally:
            room.store.close()


def found(tx: "Tx", settings: "Settings") -> "Found":
    """What production asks beyond *settings*."""
    from .. import embedded, production
    from ..store import people, server

    return production.Found(
        kept_beside=embedded.kept_beside(settings),
        first_password=people.first_password(tx),
        all_powerful=server.all_powerful(tx),
        plain_database=bool(settings.database_url) and server.plain(settings.database),
    )


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def show(rows: Iterable[Mapping[str, Any]], as_json: bool, title: str) -> None:
    """Rows as JSON, or as a table on a terminal, or as tab-separated text in a pipe."""
    rows = list(rows)
    if as_json:
        print(json.dumps(rows, default=plain, indent=2))
        return
    if not rows:
        print(f"{title}: none", file=sys.stderr)
        return
    cells = [{key: "–" if value is None else plain(value) for key, value in row.items()} for row in rows]
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
