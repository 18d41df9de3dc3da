"""``gateway backup`` and ``gateway restore``."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .. import logs
from .terminal import actor

KeysFolder = Annotated[Path | None, typer.Option("--keys", help="where the data keys are kept; none: FOLDER/keys")]


def backup(folder: Annotated[Path, typer.Argument(help="a new folder")], keys: KeysFolder = None) -> None:
    """Back up the database into FOLDER, the data keys apart from it. Master keys are in no backup: keep them elsewhere."""
    from .. import backup as backups
    from .. import embedded, settings

    logs.configure("WARNING")
    with embedded.database(settings.load()) as ready:
        made = backups.write(ready.database, folder, keys or folder / "keys")
    print(f"backed up at {made.made_at} into {folder}, the data keys into {keys or folder / 'keys'}: keep them apart")


def restore(folder: Annotated[Path, typer.Argument(help="of gateway backup")], keys: KeysFolder = None) -> None:
    """Put a backup into the configured database, which must be empty, and check that the audit holds and records open."""
    from .. import backup as backups
    from .. import embedded, settings
    from ..delivery.room import open_room
    from ..store import audit
    from ..store import keys as data_keys

    logs.configure("WARNING")
    with embedded.database(settings.load(), tables=False) as ready:
        made = backups.read(ready.database, folder, keys or folder / "keys")
        room = open_room(ready)
        with closing(room.store), room.store.begin() as tx:
            verdict = audit.verify(tx)
            opened, shredded = data_keys.prove(tx)
            audit.write(tx, actor(), "backup.restore", made.made_at, shredded=shredded)
    print(f"restored what was backed up at {made.made_at}: {opened} records open, {shredded} have no key any more")
    print(f"the audit's chain {'holds' if verdict.holds else 'is broken'}: {verdict.rows} rows")
    if not verdict.holds:
        raise typer.Exit(1)
