"""A disk that can be filled: a small tmpfs under a database, or, where we may not mount one, a database that says so."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gateway.embedded import Postgres

SIZE = 600  # MiB
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
"""
TABLES = ("consents", "referrals", "deliveries", "attempts", "audit", "events")


@dataclass(frozen=True)
class Disk:
    """Of *server*. *real*: something that can really be full; else its tables refuse, with the same SQLSTATE, 53100."""

    server: Postgres
    real: bool

    @property
    def ballast(self) -> Path:
        return self.server.home / "ballast"

    def fill(self) -> None:
        if self.real:
            with self.ballast.open("ab") as file:
                for piece in (64 << 20, 1 << 20, 4096):
                    _grow(file.fileno(), piece)
            return
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(REFUSE)
            for table in TABLES:
                connection.execute(
                    f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION refuse()"  # type: ignore[arg-type]
                )

    def free(self) -> None:
        if self.real:
            self.ballast.unlink(missing_ok=True)
            return
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            for table in TABLES:  # one at a time: who holds one of them may wait for another
                connection.execute(f"DROP TRIGGER IF EXISTS full_disk ON {table}")  # type: ignore[arg-type]
            connection.execute("DROP FUNCTION IF EXISTS refuse")


def _grow(file: int, piece: int) -> None:
    """Until no more such piece fits."""
    while True:
        try:
            os.posix_fallocate(file, os.fstat(file).st_size, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


@contextmanager
def under(server: Postgres) -> Iterator[Disk]:
    """A small disk of its own for *server*, which is not started yet, and is gone at the end."""
    account = server._account
    owner = f"uid={account.pw_uid},gid={account.pw_gid}," if account else ""
    server.home.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"{owner}mode=700,size={SIZE}m", "tmpfs", str(server.home)]
    real = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not real:
        server.home.rmdir()  # it wants to make it itself
    try:
        yield Disk(server, real)
    finally:
        if real:
            subprocess.run(["umount", "--lazy", str(server.home)], check=True)
            server.home.rmdir()
