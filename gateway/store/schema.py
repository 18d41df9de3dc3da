"""Bringing the database's tables up to date, with alembic."""

from pathlib import Path
from typing import Any

import psycopg

from gateway.errors import Misconfigured

from . import walls
from .session import plain_url

LOCK = 7_203_001  # one migration at a time, whoever starts first
VERSIONS = Path(__file__).parent / "migrations" / "versions"


def head() -> str:
    """The revision that this version needs: the last of the files, which are numbered."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def current(url: str) -> str | None:
    """The revision of the database at *url*; None without tables. Raises Misconfigured."""
    try:
        with psycopg.connect(plain_url(url), connect_timeout=10) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.OperationalError:
        raise Misconfigured("setting database_url: the database does not answer there") from None
    except psycopg.ProgrammingError:  # its text quotes the address, password included
        raise Misconfigured("setting database_url: give postgresql://user:password@host/database") from None
    return row[0] if row else None


def require_current(url: str) -> None:
    """Raises Misconfigured unless the tables are those of this version."""
    found = current(url)
    if found != head():
        raise Misconfigured(
            f"the database is at revision {found or 'none'}, this version needs {head()}: run gateway migrate"
        )


def upgrade(url: str, to: str = "head", *, login: str | None = None) -> None:
    """Apply what is missing, up to revision *to*, as the tables' owner. Safe to run from several processes at once.

    *login*: the role that the gateway's processes log in as, if that is another; it may work with the tables from then on.
    Raises Misconfigured when roles cannot be made.
    """
    if to != "head" or current(url) != head() or login:
        prepare(url, login)
        _alembic("upgrade", url, to)


def prepare(url: str, login: str | None = None) -> None:
    """Make the roles that work with the tables, and let whoever connects, and *login*, be them. Raises Misconfigured."""
    with psycopg.connect(plain_url(url), autocommit=True, connect_timeout=10) as connection:
        walls.prepare(connection)
        if login:
            walls.prepare(connection, login)


def downgrade(url: str, to: str) -> None:
    """Go back to revision *to*; ``base`` removes everything."""
    _alembic("downgrade", url, to)


def _alembic(verb: str, url: str, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "gateway:store/migrations")
    config.attributes["url"] = url.replace("postgresql://", "postgresql+psycopg://", 1)
    run: Any = getattr(command, verb)
    run(config, to)
