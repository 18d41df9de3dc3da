"""Hubs are kept apart by the database itself: what the gateway's own statements forget to ask, nobody gets to see."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway import intake
from gateway.api import examples
from gateway.backup import read, write
from gateway.delivery import openings
from gateway.delivery.room import PostRoom
from gateway.embedded import Postgres
from gateway.errors import Misconfigured, NotFound
from gateway.policy.roles import Person, Role
from gateway.store import audit, callers, consents, people, referrals, schema, server
from gateway.store.callers import Caller
from gateway.store.session import Store, Tx
from gateway.vault import Vault, generate
from tests.rooms.console.visiting import HASH
from tests.rooms.delivery.test_attempt import work
from tests.support import HOUSING, as_owner, consent, referral

from .conftest import Hub

HERS, OTHERS = "glasgow-hub", "highland-hub"
OWN = "hub = %(hub)s"
SENT = "delivery IN (SELECT id FROM deliveries WHERE hub = %(hub)s)"

# What a hub may do with each table, and which rows are its own: said here anew, apart from the migration.
GRANTED: dict[str, tuple[str, str]] = {
    "consents": ("SELECT INSERT UPDATE", OWN),
    "consent_versions": ("SELECT INSERT", "consent IN (SELECT id FROM consents WHERE hub = %(hub)s)"),
    "referrals": ("SELECT INSERT UPDATE", OWN),
    "former_contacts": ("SELECT INSERT", "referral IN (SELECT id FROM referrals WHERE hub = %(hub)s)"),
    "data_keys": (
        "SELECT INSERT DELETE",
        "record IN (SELECT id FROM consents WHERE hub = %(hub)s UNION SELECT id FROM referrals WHERE hub = %(hub)s "
        "UNION SELECT id FROM webhooks WHERE hub = %(hub)s)",
    ),
    "idempotency": ("SELECT INSERT", OWN),
    "deliveries": ("SELECT INSERT UPDATE", OWN),
    "attempts": ("SELECT INSERT", SENT),
    "contradictions": ("SELECT INSERT UPDATE", SENT),
    "messages": ("SELECT INSERT", OWN),
    "events": ("SELECT INSERT", OWN),
    "webhooks": ("SELECT INSERT UPDATE DELETE", OWN),
    "audit": (
        "SELECT INSERT",
        "action = 'case.open' AND object IN (SELECT id FROM referrals WHERE hub = %(hub)s)",
    ),
    "agency_health": ("SELECT DELETE", "agency IN (SELECT id FROM webhooks WHERE hub = %(hub)s)"),
}
WHOLE = ("areas", "services", "directory", "agency_health")  # about no hub and nobody
OF_HUBS = [table for table in GRANTED if table not in WHOLE]


@pytest.fixture
def made(room: PostRoom, hub: Hub, other_hub: Hub) -> dict[str, str]:
    """Something in every table for either hub. The other hub's ids, by what they are of."""
    ids: dict[str, str] = {}
    for one in (hub, other_hub):
        agreed = one.consent()
        ids["consents"] = agreed
        ids["referrals"] = one.submit(referral(agreed, HOUSING)).json()["id"]
        work(room)
        address = f"/v1/referrals/{ids['referrals']}"
        contact = examples.CONTACT
        headers = {"Idempotency-Key": str(uuid4())}
        assert one.call("POST", f"{address}/contact", json=contact, headers=headers).status_code == 200
        said = {"agency": HOUSING, "text": "A synthetic message."}
        answer = one.call("POST", f"{address}/messages", json=said, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code in (201, 202), answer.text
        hook = one.call("POST", "/v1/webhooks", json={"url": "https://127.0.0.1:1/events"})
        assert hook.status_code == 201, hook.text
        ids["webhooks"] = hook.json()["id"]
        ids["deliveries"] = one.call("GET", address).json()["deliveries"][0]["id"]
        with room.store.begin() as tx:
            audit.write(tx, "caseworker:synthetic", "case.open", ids["referrals"])
            tx.put(
                "INSERT INTO contradictions (delivery, source, status) VALUES (%(delivery)s, 'poll', 'declined')",
                {"delivery": ids["deliveries"]},
            )
            tx.put("INSERT INTO agency_health (agency) VALUES (%(webhooks)s)", ids)
    return ids


def rows(tx: Tx, table: str, where: str = "true", **values: str) -> set[str]:
    return {row["ctid"] for row in tx.all(f"SELECT ctid::text FROM {table} WHERE {where}", values)}  # type: ignore[arg-type]


def own(room: PostRoom, table: str, hub: str) -> set[str]:
    with room.store.begin() as tx:
        found = rows(tx, table, GRANTED[table][1], hub=hub)
    assert found, f"the fixture leaves {table} empty"
    return found


@pytest.mark.usefixtures("made")
def test_a_hub_sees_its_own_rows_and_no_others(room: PostRoom) -> None:
    for table in OF_HUBS:
        for name in (HERS, OTHERS):
            expected = own(room, table, name)
            with room.store.begin(hub=name) as tx:
                assert rows(tx, table) == expected
        with room.store.begin(hub=(HERS, OTHERS)) as tx:
            assert rows(tx, table) == own(room, table, HERS) | own(room, table, OTHERS)
        with room.store.begin(hub=()) as tx:
            assert rows(tx, table) == set()


@pytest.mark.usefixtures("made")
def test_a_hub_changes_and_removes_its_own_rows_and_no_others(room: PostRoom) -> None:
    for table in GRANTED:
        commands = GRANTED[table][0].split()
        changes = {
            "UPDATE": f"UPDATE {table} SET {_column(room, table)} = {_column(room, table)}",
            "DELETE": f"DELETE FROM {table}",
        }
        mine = len(own(room, table, HERS))
        for command, statement in changes.items():
            with room.store.begin(hub=HERS) as tx, _undone(tx):
                if command in commands:
                    assert tx.run(statement) == mine  # type: ignore[arg-type]
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        tx.run(statement)  # type: ignore[arg-type]


@pytest.mark.usefixtures("made")
def test_a_hub_writes_nothing_in_anothers_name(room: PostRoom) -> None:
    for table in OF_HUBS:
        with room.store.begin() as tx:
            [copy] = tx.all(
                f"SELECT to_jsonb({table}) AS row FROM {table} WHERE {GRANTED[table][1]} LIMIT 1",  # type: ignore[arg-type]
                {"hub": OTHERS},
            )
            columns = tx.all(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %(table)s AND is_generated = 'NEVER'",
                {"table": table},
            )
        names = ", ".join(f'"{row["column_name"]}"' for row in columns)
        statement = (
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE "
            f"SELECT {names} FROM jsonb_populate_record(NULL::{table}, %(row)s::jsonb)"
        )
        row = {
            **copy["row"],
            **({"position": 1} if table == "audit" else {}),
        }  # of which a hub writes any, but unlinked
        with (
            room.store.begin(hub=HERS) as tx,
            _undone(tx),
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"),
        ):
            tx.run(statement, {"row": json.dumps(row)})  # type: ignore[arg-type]


def test_every_table_is_walled_and_nothing_is_granted_but_what_is_said_here(room: PostRoom) -> None:
    with room.store.begin() as tx:
        as_owner(tx)  # who is shown every grant
        tables = tx.all(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS walled, pg_get_userbyid(relowner) AS owner FROM pg_class "
            "WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
        )
        assert [row["relname"] for row in tables if not row["walled"]] == []
        assert {row["owner"] for row in tables}.isdisjoint({"gateway_hub", "gateway_work"})
        granted: dict[str, set[str]] = {}
        for row in tx.all(
            "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE grantee IN ('gateway_hub', 'PUBLIC') "
            "AND table_schema = 'public'"
        ):
            granted.setdefault(row["table_name"], set()).add(row["privilege_type"])
        assert granted == {
            **{table: {"SELECT"} for table in WHOLE},
            **{table: set(commands.split()) for table, (commands, _) in GRANTED.items()},
        }
        policies = tx.all(
            "SELECT tablename, qual FROM pg_policies WHERE roles && '{gateway_hub,public}' AND qual = 'true'"
        )
        assert {row["tablename"] for row in policies} == set(WHOLE)
        roles = tx.all(
            "SELECT rolname FROM pg_roles WHERE rolname IN ('gateway_hub', 'gateway_work') AND NOT (rolsuper OR rolbypassrls "
            "OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication)"
        )
        assert len(roles) == 2
        assert not tx.all(
            "SELECT FROM pg_auth_members WHERE member IN ('gateway_hub'::regrole, 'gateway_work'::regrole)"
        )


def forget_whose(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no statement asks whose a row is."""
    put = Tx.put

    def forgetful(tx: Tx, sql: str, values: Any = None) -> Any:
        return put(tx, sql.replace("hub = %(hub)s", "%(hub)s::text IS NOT NULL"), values)  # type: ignore[arg-type]

    monkeypatch.setattr(Tx, "put", forgetful)


@pytest.mark.parametrize("walls", [True, False], ids=["with walls", "without them"])
def test_a_statement_that_forgets_to_ask_whose_it_is_finds_nothing_of_anothers(
    room: PostRoom, hub: Hub, made: dict[str, str], monkeypatch: pytest.MonkeyPatch, walls: bool
) -> None:
    """The application's own filter is dropped from every statement; without walls all of it is to be had."""
    if not walls:
        with room.store.begin() as tx:
            as_owner(tx)
            for table in GRANTED:
                tx.run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")  # type: ignore[arg-type]
    forget_whose(monkeypatch)
    found = hub.call("GET", f"/v1/referrals/{made['referrals']}")
    assert found.status_code == (404 if walls else 200)
    told = [hub.call("GET", path).text for path in ("/v1/deliveries", "/v1/events?limit=1000", "/v1/webhooks")]
    assert (made["deliveries"] in told[0], made["referrals"] in told[1], made["webhooks"] in told[2]) == (
        (not walls,) * 3
    )


def test_data_is_opened_within_the_walls(room: PostRoom, made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Person("synthetic", Role.CASEWORKER, HERS)
    with room.store.begin() as tx:
        people.add(tx, worker, HASH, by="test")
    forget_whose(monkeypatch)
    with pytest.raises(AssertionError, match="stored referrals"):  # there is none, within the walls
        openings.for_case(room, made["referrals"], worker, "safety", "")
    for attempt in (
        lambda: openings.find(room, worker, "GLA-7Q2M"),
        lambda: openings.take(room, made["referrals"], worker),
    ):
        with suppress(NotFound):
            assert made["referrals"] not in {case.id for case in attempt() or ()}
    with room.store.begin() as tx:
        assert audit.latest(tx, "case.take", made["referrals"]) is None


@pytest.fixture
def owned(postgres: Postgres) -> Iterator[Callable[[str, str], str]]:
    """Makes databases that belong to a role which is no superuser, and the addresses of them for a role."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE walls_owner LOGIN")
        connection.execute("CREATE ROLE walls_login LOGIN")
        connection.execute("CREATE ROLE walls_reader LOGIN IN ROLE pg_read_all_data")  # of backups elsewhere

        def address(database: str, role: str) -> str:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).rowcount:
                connection.execute(f"CREATE DATABASE {database} OWNER walls_owner TEMPLATE template0")  # type: ignore[arg-type]
            return postgres.url.replace("///postgres?", f"///{database}?").replace("user=gateway", f"user={role}")

        yield address
        for database in ("walls_first", "walls_second"):
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")  # type: ignore[arg-type]
        connection.execute("DROP ROLE walls_owner, walls_login, walls_reader")


def test_the_gateway_works_with_a_login_that_owns_nothing(
    room: PostRoom, postgres: Postgres, owned: Callable[[str, str], str], tmp_path: Any
) -> None:
    owner, login = owned("walls_first", "walls_owner"), owned("walls_first", "walls_login")
    with pytest.raises(Misconfigured, match="GRANT gateway_work, gateway_hub TO walls_owner"):
        schema.upgrade(owner)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("GRANT gateway_work, gateway_hub TO walls_owner WITH ADMIN OPTION")
    schema.upgrade(owner, login="walls_login")
    vault = Vault(generate())
    with closing(Store(login, vault, 2).open()) as store:
        made = _submitted(store, room)
        for forbidden in (
            "ALTER TABLE referrals DISABLE ROW LEVEL SECURITY",
            "DROP POLICY work ON referrals",
            "DELETE FROM audit",
            "CREATE TABLE copied AS SELECT * FROM referrals",
            "SET ROLE walls_owner",
        ):
            with store.begin() as tx, _undone(tx), pytest.raises(psycopg.errors.InsufficientPrivilege):
                tx.run(forbidden)  # type: ignore[arg-type]
        with store.begin() as tx:
            assert not server.all_powerful(tx)
    with closing(Store(owner, vault, 2).open()) as store, store.begin() as tx:
        assert server.all_powerful(tx)
    with pytest.raises(Misconfigured, match="does not see every row"):
        write(owned("walls_first", "walls_reader"), tmp_path / "less", tmp_path / "keys")
    write(owner, tmp_path / "backup", tmp_path / "keys")
    second = owned("walls_second", "walls_owner")
    read(second, tmp_path / "backup", tmp_path / "keys")
    with closing(Store(owned("walls_second", "walls_login"), vault, 2).open()) as store:
        with store.begin(hub=HERS) as tx:
            assert referrals.sealed(tx, made).open(tx.vault)["subject"] == "GLA-7Q2M"
        with store.begin(hub=OTHERS) as tx, pytest.raises(NotFound):
            referrals.get(tx, made, hub=HERS)


def _submitted(store: Store, room: PostRoom) -> str:
    with store.begin() as tx:
        callers.add_hub(tx, HERS, by="test")
        as_work = tx.one("SELECT current_user AS name")
        assert as_work == {"name": "gateway_work"}
        tx.run("UPDATE areas SET phase = 'live'")
        tx.run("UPDATE directory SET version = version + 1")
    with store.begin(hub=HERS) as tx:
        agreed = consents.save(tx, consent(), hub=HERS)
    draft = referral(agreed, HOUSING)
    taken = intake.submit(store, room.agencies, draft, json.dumps(draft).encode(), str(uuid4()), Caller(HERS))
    return taken.id


@contextmanager
def _undone(tx: Tx) -> Iterator[None]:
    """Takes back what was done within, an error too, so that the transaction can end."""
    tx.run("SAVEPOINT here")
    yield
    tx.run("ROLLBACK TO here")


def _column(room: PostRoom, table: str) -> str:
    with room.store.begin() as tx:
        row = tx.one(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %(table)s AND is_generated = 'NEVER' "
            "AND is_identity = 'NO' ORDER BY ordinal_position LIMIT 1",
            {"table": table},
        )
    assert row is not None
    name: str = row["column_name"]
    return name
