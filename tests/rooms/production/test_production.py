"""What is for trying out does not start in production; all of it is told at once."""

import os
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from gateway import embedded, production
from gateway.embedded.default import first_start
from gateway.embedded.supervisor import gateway as command
from gateway.errors import Misconfigured
from gateway.production import Found
from gateway.settings import Settings
from gateway.store import people, server
from gateway.store.session import Store
from gateway.vault import generate
from tests.rooms.console.visiting import HASH
from tests.support import as_owner

KEY = generate()
OIDC = {
    "issuer": "https://login.hub.example", "client_id": "a", "groups": {},
    "redirect_uri": "https://gateway.example/console/provider/callback",
}  # fmt: skip
MAIL = {"host": "mail.example", "sender": "gateway@hub.example", "to": ["a@hub.example"]}
AGENCY = {"adapter": "housing", "base_url": "https://housing.example", "areas": ["glasgow"]}
FIT: dict[str, Any] = {
    "mode": "production",
    "database_url": "postgresql://gateway@db.example/gateway",
    "broker_url": "amqps://gateway@broker.example//",
    "master_key": KEY,
    "public_url": "https://gateway.example",
    "secure_cookies": True,
    "agencies": {"council": AGENCY, "refuge": {"adapter": "by-hand", "areas": ["glasgow"]}},
    "alerts": {"webhook": "https://pager.example", "mail": MAIL},
    "otlp_endpoint": "https://collector.example",
    "people": {"oidc": OIDC},
}
UNFIT: dict[str, tuple[dict[str, Any], Found]] = {
    "master_key: the one made at the first start": ({"master_key": None}, Found()),
    "master_key: the one made at": ({}, Found(kept_beside=True)),
    "master_keys.1: is not random": ({"master_key": "A" * 43 + "="}, Found()),
    "log_level: DEBUG": ({"log_level": "DEBUG"}, Found()),
    "database_url: the embedded default": ({"database_url": None}, Found()),
    "database_url: its role": ({}, Found(all_powerful=True)),
    "broker_url: memory": ({"broker_url": "memory://"}, Found()),
    "database_url: can be read": ({}, Found(plain_database=True)),
    "broker_url: can be read": ({"broker_url": "amqp://gateway:secret@broker.example//"}, Found()),
    "broker_url: can be": ({"broker_url": "amqps://broker.example//;amqp://other.example//"}, Found()),
    "broker_url: what follows": ({"broker_url": "amqps://broker.example//?ssl=1"}, Found()),
    "alerts.mail.security: mail can be": ({"alerts": {"mail": {**MAIL, "security": "none"}}}, Found()),
    "otlp_endpoint: http": ({"otlp_endpoint": "http://collector.example:4318"}, Found()),
    "webhooks.allow_private: ": ({"webhooks": {"allow_private": True}}, Found()),
    "agencies.council.base_url: http": ({"agencies": {"council": {**AGENCY, "base_url": "http://c.example"}}}, Found()),
    "alerts.webhook: http": ({"alerts": {"webhook": "http://pager.example/secret"}}, Found()),
    "people.oidc.issuer: http": ({"people": {"oidc": {**OIDC, "issuer": "http://login.example"}}}, Found()),
    "people.oidc.redirect_uri: http": ({"people": {"oidc": {**OIDC, "redirect_uri": "http://g.example/c"}}}, Found()),
    "public_url: hubs must reach": ({"public_url": "http://gateway.example"}, Found()),
    "public_url: hubs": ({"public_url": None}, Found()),
    "secure_cookies: ": ({"secure_cookies": False}, Found()),
    "people.second_factor: ": ({"people": {"second_factor": False}}, Found()),
    "people: a password is still": ({}, Found(first_password=True)),
}


def test_what_is_fit_for_production_starts() -> None:
    assert production.refusals(Settings(**FIT), Found()) == []
    production.require(Settings(**FIT), Found())


@pytest.mark.parametrize("says", UNFIT)
def test_each_thing_that_is_for_trying_out_is_refused(says: str) -> None:
    changes, found = UNFIT[says]
    [line] = production.refusals(Settings(**{**FIT, **changes}), found)
    assert line.startswith(says)
    assert "; " in line  # what is wrong; what to do


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_what_does_not_leave_this_machine_may_be_plain(host: str) -> None:
    mail = {**MAIL, "host": host.strip("[]"), "security": "none"}
    plain = {"broker_url": f"amqp://{host}//", "alerts": {"mail": mail}, "otlp_endpoint": f"http://{host}:4318"}
    assert production.refusals(Settings(**{**FIT, **plain}), Found()) == []


@pytest.mark.parametrize("host", ["localhost.hub.example", "10.0.0.1", "0.0.0.0", ""])
def test_what_is_only_near_is_not_this_machine(host: str) -> None:
    assert not production.on_this_machine(host)
    assert production.refusals(Settings(**{**FIT, "broker_url": f"amqp://{host}//"}), Found())


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("postgresql://gateway@db.example/gateway", True),
        ("postgresql+psycopg://gateway@db.example/gateway", True),
        ("postgresql://db.example/gateway?sslmode=require", True),  # whoever answers is believed
        ("postgresql://db.example/gateway?sslmode=verify-ca", True),  # so is any server of the same authority
        ("postgresql://db.example/gateway?sslmode=verify-full", False),
        ("host=db.example sslmode=verify-full", False),
        ("host=db.example", True),
        ("postgresql://localhost,db.example/gateway", True),
        ("postgresql://localhost/gateway?hostaddr=10.0.0.1", True),  # where it goes in truth
        ("hostaddr=127.0.0.1, host=localhost,db.example", True),
        ("host=@gateway", False),
        ("service=gateway", True),
        ("postgresql://127.0.0.1:5432/gateway", False),
        ("postgresql://[::1]/gateway", False),
        ("postgresql://localhost/gateway", False),
        ("postgresql:///gateway?host=/run/postgresql", False),
        ("postgresql:///gateway", False),
    ],
)
def test_a_line_to_the_database_that_can_be_read(url: str, plain: bool) -> None:
    assert server.plain(url) is plain


def test_what_the_environment_says_of_the_line_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert server.plain("postgresql:///gateway")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert not server.plain("postgresql:///gateway")
    assert server.plain("postgresql:///gateway?sslmode=require")


def test_a_plain_line_to_the_database_is_told_with_the_rest() -> None:
    given = {**os.environ, "GATEWAY_MODE": "production", "GATEWAY_DATABASE_URL": "postgresql://db.invalid/gateway"}
    done = subprocess.run(command("serve"), env=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "database_url: can be read on the way" in done.stderr


@pytest.mark.parametrize("process", ["serve", "worker", "up", "doctor", "migrate"])
@pytest.mark.parametrize("mode", ["trial", "production"])
def test_an_address_of_no_database_is_named_and_not_quoted(process: str, mode: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    environment = {
        **kept, "GATEWAY_MODE": mode, "GATEWAY_MASTER_KEY": generate(), "GATEWAY_DATA_FOLDER": str(tmp_path),
        "GATEWAY_DATABASE_URL": "postgresql://gateway:s3cret@[bad/gateway",
    }  # fmt: skip
    ended = subprocess.run(command(process), env=environment, capture_output=True, text=True, timeout=60)
    said = ended.stdout + ended.stderr
    assert (ended.returncode, "Traceback" in said, "s3cret" in said) == (2, False, False)
    assert "setting database_url: give postgresql://user:password@host/database" in said


def test_all_of_it_is_told_at_once_and_in_production_only() -> None:
    wrong: dict[str, Any] = {}
    for changes, _ in UNFIT.values():
        wrong |= {**changes, "master_key": "A" * 43 + "="}
    wrong |= {"alerts": {"webhook": "http://pager.example/secret", "mail": {**MAIL, "security": "none"}}}
    plain = {**OIDC, "issuer": "http://a.example", "redirect_uri": "http://g.example/c"}
    wrong |= {"people": {"second_factor": False, "oidc": plain}}
    found = Found(kept_beside=True, first_password=True, all_powerful=True, plain_database=True)
    with pytest.raises(Misconfigured) as told:
        production.require(Settings(**{**FIT, **wrong}), found)
    heading, *lines = str(told.value).splitlines()
    assert heading == "not for production:"
    assert sorted({line.split(":")[0].strip() for line in lines}) == sorted({says.split(":")[0] for says in UNFIT})
    assert not any(secret in str(told.value) for secret in ("A" * 10, "pager.example/secret"))
    production.require(Settings(**{**FIT, **wrong, "mode": "trial"}), found)


@pytest.mark.parametrize("process", ["serve", "worker", "up"])
def test_the_processes_do_not_start(process: str, database: str) -> None:
    given = {"GATEWAY_MODE": "production", "GATEWAY_DATABASE_URL": database, "GATEWAY_MASTER_KEY": KEY}
    done = subprocess.run(
        command(process), env={**os.environ, **given}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()][-4:] == [
        "database_url", "broker_url", "public_url", "secure_cookies",
    ]  # fmt: skip


def test_without_a_database_that_is_told_among_the_rest() -> None:
    given = {**os.environ, "GATEWAY_MODE": "production"}
    done = subprocess.run(command("up"), env=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert {"master_key", "database_url"} <= {line.split(":")[0].strip() for line in done.stderr.splitlines()}


def test_the_password_of_the_first_start_must_be_changed(database: str) -> None:
    settings = Settings(database_url=database, master_key=KEY)
    assert first_start(settings)
    store = Store(database, Namespace(), 2).open()  # type: ignore[arg-type]
    try:
        with store.begin() as tx:
            admin = people.get(tx, "admin").person
            assert people.first_password(tx)
            people.disable(tx, admin, by="test")
            assert not people.first_password(tx)
            people.enable(tx, admin, by="test")
            assert people.first_password(tx)
            people.set_password(tx, admin, HASH, keeping="")
            assert not people.first_password(tx)
    finally:
        store.close()


def test_a_key_from_beside_the_data_is_known_again(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(KEY + "\n")
    assert embedded.kept_beside(Settings(master_keys={2: KEY, 1: generate()}, data_folder=tmp_path))
    assert not embedded.kept_beside(Settings(master_key=generate(), data_folder=tmp_path))
    assert not embedded.kept_beside(Settings(master_key=KEY, data_folder=tmp_path / "none"))


def test_a_role_that_nothing_holds_is_told_from_others(store: Store) -> None:
    with store.begin() as tx:
        assert server.all_powerful(tx)  # it works in a role that is held, and could leave it
        as_owner(tx)
        tx.run("CREATE ROLE modest")
        tx.run("CREATE ROLE passed_by BYPASSRLS")
        tx.run("SET LOCAL SESSION AUTHORIZATION passed_by")
        assert server.all_powerful(tx)
        tx.run("SET LOCAL SESSION AUTHORIZATION modest")
        assert not server.all_powerful(tx)
        tx.run("SET LOCAL SESSION AUTHORIZATION DEFAULT")
        as_owner(tx)
        tx.run("ALTER TABLE audit OWNER TO modest")
        tx.run("SET LOCAL SESSION AUTHORIZATION modest")
        assert server.all_powerful(tx)
        tx.run("SET LOCAL SESSION AUTHORIZATION DEFAULT")
        as_owner(tx)
        tx.run("ALTER TABLE audit OWNER TO CURRENT_USER")
        tx.run("DROP ROLE modest, passed_by")


def test_a_server_that_writes_values_into_its_log_is_found(store: Store) -> None:
    with store.begin() as tx:
        assert server.logs_values(tx) == []
        as_owner(tx)
        tx.run("SET LOCAL log_parameter_max_length = -1")
        assert server.logs_values(tx) == []  # it logs no statements
        for setting, chosen in {
            "log_statement": "mod",
            "log_min_duration_statement": 0,
            "log_min_duration_sample": 0,
        }.items():
            tx.run(f"SET LOCAL {setting} = {chosen}")  # type: ignore[arg-type]
            assert server.logs_values(tx) == ["log_parameter_max_length"]
            tx.run(f"RESET {setting}")  # type: ignore[arg-type]
        tx.run("SET LOCAL log_parameter_max_length_on_error = 10")
        assert server.logs_values(tx) == ["log_parameter_max_length_on_error"]
