"""Connections and transactions."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from gateway.errors import GatewayError, Malformed, Misconfigured
from gateway.vault import Vault

from .walls import NARROW, WORK

Cursor = psycopg.Cursor[DictRow]
Result = TypeVar("Result")

CONNECTING = 5  # seconds; and for so long one failed connection is tried again before somebody has to ask for another
OPENING = 10  # seconds, for a process that starts
SILENCE = 15  # seconds after which a server that says nothing is taken to be gone, and so are we by the server
PLANS = "-c plan_cache_mode=force_generic_plan"  # our few statements come again and again: planned once a connection


class StoreUnavailable(GatewayError):
    """The database does not answer, or has no room. Nothing was done, unless it fell silent at the commit."""


class Connection(psycopg.Connection[DictRow]):
    """A connection that stays in pipeline mode: statements travel together until somebody wants a result."""

    pipe: psycopg.Pipeline
    _left = ExitStack()  # of the class: empty

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Every wait goes through here, and ends. What fell silent is closed: nothing more is to be heard of it."""
        try:
            return super().wait(gen, interval, timeout or SILENCE)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise

    def stay_in_pipeline(self) -> None:
        self._left = ExitStack()
        self.pipe = self._left.enter_context(self.pipeline())

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._left.close()
        super().close()


@dataclass(frozen=True)
class Tx:
    """One open transaction, and the vault that seals what it stores.

    *kept*: what this process remembers from one transaction to the next; whoever uses it checks that it still holds.
    """

    connection: Connection
    vault: Vault
    kept: dict[str, Any]

    def put(self, sql: LiteralString, values: Mapping[str, Any] | None = None) -> Cursor:
        """A statement that travels with the next one whose result is wanted, or with the commit.

        What goes wrong is raised then. Fetching from the returned cursor is wanting its result.
        """
        return self.connection.execute(sql, values)

    def all(self, sql: LiteralString, values: Mapping[str, Any] | None = None) -> list[DictRow]:
        return self.put(sql, values).fetchall()

    def one(self, sql: LiteralString, values: Mapping[str, Any] | None = None) -> DictRow | None:
        return self.put(sql, values).fetchone()

    def run(self, sql: LiteralString, values: Mapping[str, Any] | None = None) -> int:
        """Returns the number of rows changed."""
        cursor = self.put(sql, values)
        self.connection.pipe.sync()
        return cursor.rowcount

    def only(self, hubs: Collection[str]) -> None:
        """From here on the transaction sees and changes what is *hubs'* and nothing else: the database sees to it."""
        self.put(NARROW, {"hubs": list(hubs)})

    def now(self) -> datetime:
        """The database's clock, this instant: every process goes by the same one."""
        row = self.one("SELECT clock_timestamp() AS now")
        assert row is not None
        now: datetime = row["now"]
        return now


class Store:
    """The database and the vault, for one process. Thread-safe; close it at the end."""

    def __init__(self, url: str, vault: Vault, size: int = 20) -> None:
        self.url, self.vault = url, vault
        self.kept: dict[str, Any] = {}
        self._pool = ConnectionPool(
            plain_url(url), min_size=1, max_size=size, open=False, timeout=10, reconnect_timeout=CONNECTING,
            connection_class=Connection, configure=Connection.stay_in_pipeline,
            # autocommit: BEGIN and COMMIT are sent below, with the statements; psycopg's own cost a round trip each
            kwargs={"row_factory": dict_row, "application_name": "referral-gateway", "autocommit": True,
                    "connect_timeout": CONNECTING, "options": f"-c role={WORK} -c idle_in_transaction_session_timeout={SILENCE}s {PLANS}"},
            name="store",
        )  # fmt: skip

    def open(self) -> "Store":
        """Connect. Raises Misconfigured if the database cannot be reached."""
        try:
            self._pool.open(wait=True, timeout=OPENING)
        except (PoolTimeout, psycopg.Error):
            self._pool.close()
            raise Misconfigured("setting database_url: the database does not answer there") from None
        return self

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def begin(self, *, hub: str | Collection[str] | None = None) -> Iterator[Tx]:
        """A transaction: committed when the block ends, rolled back when it raises.

        *hub*: for whom, if it is done for a hub or some of them; see Tx.only().
        Raises StoreUnavailable when there is no connection to be had. Errors of the database are
        raised without their texts, which quote values.
        """
        with self._connection() as connection:
            connection.execute("BEGIN")
            tx = Tx(connection, self.vault, self.kept)
            if hub is not None:
                tx.only([hub] if isinstance(hub, str) else hub)
            yield tx
            committed = connection.execute("COMMIT")
            connection.pipe.sync()
            if committed.statusmessage != "COMMIT":  # an error was swallowed inside the block
                raise psycopg.errors.InFailedSqlTransaction

    @contextmanager
    def single(self) -> Iterator[Tx]:
        """For what is put without wanting a result before the end: one transaction, in one round trip. As begin() otherwise.

        PostgreSQL takes the statements of a pipeline up to its sync for a transaction (its documentation, Pipeline Mode).
        """
        with self._connection() as connection:
            try:
                yield Tx(connection, self.vault, self.kept)
            except BaseException:
                connection.pgconn.finish()  # nothing of it is kept without the sync, which every gentler way sends
                raise
            connection.pipe.sync()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError):
            raise StoreUnavailable("the database does not answer") from None
        except psycopg.DataError as error:
            if error.sqlstate is not None:
                raise
            raise Malformed("A text holds a NUL character, or a number is out of range.") from None  # nothing was sent


def plain_url(url: str) -> str:
    """*url* as libpq takes it, without SQLAlchemy's driver name."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
