"""Set up and run: the processes, the tables, the keys."""

from contextlib import closing
from typing import Annotated, Any

import typer

from .. import logs
from ..errors import Misconfigured
from . import terminal


def up() -> None:
    """Run everything on this machine: a private PostgreSQL, the web process and the delivery process."""
    from .. import embedded, settings

    logs.configure()
    loaded = settings.load()
    _fit(loaded)
    embedded.up(loaded)


def serve() -> None:
    """Run the web process. Needs GATEWAY_DATABASE_URL and GATEWAY_MASTER_KEY."""
    from ..app import run
    from ..embedded import watch_lifeline

    watch_lifeline()
    run(_production())


def worker() -> None:
    """Run a delivery process. Needs GATEWAY_DATABASE_URL and GATEWAY_MASTER_KEY; with several, GATEWAY_BROKER_URL."""
    from ..embedded import watch_lifeline
    from ..worker import run

    watch_lifeline()
    run(_production())


def _production() -> Any:
    from .. import settings
    from ..store import schema

    loaded = settings.load()
    _fit(loaded)
    for name, given in (("database_url", loaded.database_url), ("master_key", loaded.masters)):
        if not given:
            raise Misconfigured(
                f"setting {name}: set GATEWAY_{name.upper()}, or run gateway up for the embedded default"
            )
    schema.require_current(loaded.database)
    return loaded


def _fit(loaded: Any) -> None:
    """Raises Misconfigured where *loaded* settings are for production and something in them, or in the database, is not."""
    from .. import production, vault
    from ..store import schema, server
    from ..store.session import Store

    found = production.Found()
    if loaded.mode == "production" and loaded.database_url:
        found = production.Found(plain_database=server.plain(loaded.database))  # needs no key, as what follows does
    if loaded.mode == "production" and loaded.database_url and loaded.masters:
        schema.require_current(loaded.database)
        with closing(Store(loaded.database, vault.of(loaded), 2).open()) as store, store.begin() as tx:
            found = terminal.found(tx, loaded)
    production.require(loaded, found)


def migrate(
    to: Annotated[str, typer.Option(help="a revision")] = "head",
    login: Annotated[str | None, typer.Option(help="the role that the gateway's processes log in as")] = None,
) -> None:
    """Bring the tables of GATEWAY_DATABASE_URL up to date, as their owner; the processes should log in as another."""
    from .. import settings
    from ..store import schema

    loaded = settings.load()
    if loaded.database_url is None:
        raise Misconfigured("setting database_url: set GATEWAY_DATABASE_URL; the embedded default migrates by itself")
    schema.upgrade(loaded.database, to, login=login)


def key() -> None:
    """Print a new key, for master_key, audit_key or tokens.keys. Keep it where the database is not."""
    from ..vault import generate

    print(generate())
