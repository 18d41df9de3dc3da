"""Dumps of the database, by PostgreSQL's own pg_dump and pg_restore: the data keys in one, everything else in another."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import pq

from gateway.errors import Misconfigured

from .session import plain_url
from .walls import WORK

KEYS = "public.data_keys"
NOT_KEPT = ("public.sessions",)  # who was logged in then is not to be logged in again


def server(url: str) -> tuple[int, datetime]:
    """The server's major version, and its time. Raises Misconfigured."""
    try:
        with psycopg.connect(plain_url(url), connect_timeout=10) as connection:
            row = connection.execute("SELECT date_trunc('second', now())").fetchone()
            assert row is not None
            return connection.info.server_version // 10_000, row[0]
    except psycopg.OperationalError:
        raise Misconfigured("setting database_url: the database does not answer there") from None


def require_whole(url: str) -> None:
    """Raises Misconfigured where the role of *url* would leave out rows without a word: row-level security holds it."""
    with psycopg.connect(plain_url(url), connect_timeout=10) as connection:
        row = connection.execute(
            "SELECT to_regrole(%(work)s) IS NULL OR rolbypassrls OR pg_has_role(to_regrole(%(work)s), 'USAGE') "
            "FROM pg_roles WHERE rolname = current_user",
            {"work": WORK},
        ).fetchone()
    if not (row and row[0]):
        raise Misconfigured("setting database_url: this role does not see every row; back up as the tables' owner")


def write_data(tools: Path, url: str, file: Path) -> None:
    """Everything but the data keys. Raises Misconfigured, as all of these."""
    left_out = [f"--exclude-table-data={table}" for table in (KEYS, *NOT_KEPT)]
    _write(tools, url, file, *left_out)


def write_keys(tools: Path, url: str, file: Path) -> None:
    """The wrapped data keys and nothing else. To be written after the data: a key too many does no harm."""
    # as rows to insert: row-level security, which is there when they are put back, lets nothing be copied
    _write(tools, url, file, "--data-only", f"--table={KEYS}", "--rows-per-insert=1000")


def read(tools: Path, url: str, *files: Path) -> None:
    """Put back what *files* hold, each in one transaction."""
    for file in files:
        _run(
            tools / "pg_restore",
            url,
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--enable-row-security",
            f"--dbname={_name(url)}",
            file,
        )


def _write(tools: Path, url: str, file: Path, *options: str) -> None:
    draft = file.with_name(file.name + ".part")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _run(
            tools / "pg_dump",
            url,
            "--format=custom",
            "--no-owner",
            "--enable-row-security",
            f"--file={draft}",
            *options,
        )
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _name(url: str) -> str:
    """The name of the database: no secret, unlike the rest of its address."""
    found = [one.val for one in pq.Conninfo.parse(plain_url(url).encode()) if one.keyword == b"dbname" and one.val]
    return found[0].decode() if found else "postgres"


def _run(tool: Path, url: str, *arguments: object) -> None:
    """Where the database is goes by the environment: everybody on the machine sees arguments, and the password with them."""
    where = {
        one.envvar.decode(): one.val.decode()
        for one in pq.Conninfo.parse(plain_url(url).encode())
        if one.envvar and one.val
    }
    done = subprocess.run(
        [tool, *map(str, arguments)], env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", **where},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (
            [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines() or ["no word"]
        )
        raise Misconfigured(f"PostgreSQL: {said[0].strip()}")
