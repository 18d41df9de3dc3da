"""Databases for tests: a new one from a template, or one that was emptied, which costs a tenth of that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

TEMPLATE = Identifier("template_gateway")
LARGE = 8 << 20  # bytes of a table that is not worth emptying

OURS = "FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind ="
COLUMNS = """SELECT attname FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"""
LEAVE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
# Whoever changes what a database is made of leaves rows of a new transaction in one of these.
SHAPE = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name}"
    for name in (
        "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_trigger", "pg_proc", "pg_policy", "pg_namespace",
        "pg_db_role_setting",
    )
)  # fmt: skip


class Databases:
    """Those of one private server, at *url*, whose first database has the tables that every other gets."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._free: list[Emptied] = []
        self._administer(SQL("CREATE DATABASE {} TEMPLATE postgres").format(TEMPLATE))

    def new(self) -> str:
        """The address of one with current tables."""
        name = f"test_{uuid4().hex[:12]}"
        self._administer(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), TEMPLATE))
        return self.url.replace("///postgres?", f"///{name}?")

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The address of one that is as new. What was done to it is undone, or it is dropped."""
        database = self._free.pop() if self._free else Emptied(self.new())
        yield database.url
        if database.empty():
            self._free.append(database)
        else:
            self._administer(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(database.name)))

    def _administer(self, statement: Composable) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


class Emptied:
    """A database that is new, at *url*, and remembers it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as connection:
            self.name = connection.info.dbname
            self.shape = _all(connection, SHAPE)
            tables = [Identifier(name) for (name,) in _all(connection, f"SELECT relname {OURS} 'r'")]
            kept = [(where, _copied(connection, where)) for where in (_columns(connection, table) for table in tables)]
            self.rows = [(where, rows) for where, rows in kept if rows]
            self.numbers = [_number(connection, name) for (name,) in _all(connection, f"SELECT relname {OURS} 'S'")]

    def empty(self) -> bool:
        """Make it as it was; False if more than its rows changed, or too many of them."""
        with psycopg.connect(self.url) as connection:
            connection.execute(LEAVE)
            sizes = dict(_all(connection, f"SELECT relname, pg_relation_size(oid) {OURS} 'r'"))
            if max(sizes.values()) > LARGE or _all(connection, SHAPE) != self.shape:
                return False
            written = [SQL("DELETE FROM {}").format(Identifier(name)) for name, size in sizes.items() if size]
            connection.execute("SET LOCAL session_replication_role = replica")  # the audit would refuse
            connection.execute(SQL(";").join([*written, *self.numbers]))
            for where, rows in self.rows:
                with connection.cursor().copy(SQL("COPY {} FROM STDIN").format(where)) as copy:
                    copy.write(rows)
        return True


def _all(connection: psycopg.Connection, sql: Any, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(sql, values).fetchall()


def _columns(connection: psycopg.Connection, table: Identifier) -> Composable:
    """*table* and those of its columns that can be written."""
    columns = _all(connection, COLUMNS, table.as_string())
    return SQL("{} ({})").format(table, SQL(", ").join(Identifier(name) for (name,) in columns))


def _copied(connection: psycopg.Connection, where: Composable) -> bytes:
    with connection.cursor().copy(SQL("COPY {} TO STDOUT").format(where)) as copy:
        return b"".join(copy)


def _number(connection: psycopg.Connection, sequence: str) -> Composable:
    """What sets *sequence* to where it is now."""
    [(last, called)] = _all(connection, SQL("SELECT last_value, is_called FROM {}").format(Identifier(sequence)))
    return SQL("SELECT setval({}, {}, {})").format(Literal(sequence), Literal(last), Literal(called))
