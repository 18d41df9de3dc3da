"""A database that tests were lent before is as a new one."""

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.databases import LARGE, Databases

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"


def run(url: str, sql: str) -> list[TupleRow]:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(sql)  # type: ignore[call-overload]
        return sorted(done.fetchall(), key=str) if done.description else []


def everything(url: str) -> dict[str, list[TupleRow]]:
    """What is in each table and each sequence."""
    tables = {name: run(url, f"SELECT held::text FROM {name} AS held") for (name,) in run(url, TABLES)}
    return {**tables, "sequences": run(url, "SELECT sequencename, last_value FROM pg_sequences")}


@pytest.mark.parametrize(
    "deed",
    [
        "INSERT INTO audit (actor, action, object) VALUES ('a', 'b', 'c')",
        "UPDATE areas SET phase = 'planned'",
        "DELETE FROM areas",
        "INSERT INTO areas (name, phase) SELECT repeat('x', number), 'planned' FROM generate_series(1, 99) AS number",
    ],
)
def test_what_was_written_is_undone(databases: Databases, deed: str) -> None:
    with databases.lent() as url:
        new = everything(url)
        run(url, deed)
        assert everything(url) != new
    with databases.lent() as again:
        assert again == url
        assert everything(again) == new


@pytest.mark.parametrize(
    "deed",
    [
        "CREATE TABLE more ()",
        "ALTER TABLE areas ADD more text",
        "ALTER TABLE areas ALTER phase SET DEFAULT 'live'",
        "DROP INDEX deliveries_due",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public', current_database()); END $$",
        f"INSERT INTO areas (name, phase) SELECT 'x' || number, 'planned' FROM generate_series(1, {LARGE // 30}) AS number",
        "TRUNCATE events CASCADE",
    ],
)
def test_what_was_built_is_lent_to_nobody(databases: Databases, deed: str) -> None:
    with databases.lent() as url:
        run(url, deed)
    with databases.lent() as again:
        assert again != url


def test_who_stays_is_sent_away(databases: Databases) -> None:
    with databases.lent() as url:
        held = psycopg.connect(url)
        held.execute("UPDATE areas SET phase = 'planned'")
    with databases.lent() as again:
        assert again == url
        run(again, "UPDATE areas SET phase = 'planned'")
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
