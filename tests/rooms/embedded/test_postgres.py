"""The private PostgreSQL: its data stays, its light goes out last, and nobody's folders change."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from gateway.embedded import postgres
from gateway.embedded.postgres import SYSTEM_FOLDER, Postgres
from gateway.errors import Misconfigured


@pytest.fixture
def server() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        made = Postgres(Path(folder), durable=False)
        yield made
        made.destroy()


def ask(server: Postgres, sql: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(sql).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def test_a_second_start_finds_its_data(server: Postgres) -> None:
    with server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert not server.running()
    with server:
        assert ask(server, "SELECT number FROM kept") == 7


def test_the_last_user_turns_off_the_light(server: Postgres) -> None:
    other = Postgres(server.folder, durable=False)
    server.start()
    other.start()
    server.stop()
    assert ask(other, "SELECT 1") == 1
    other.stop()
    assert not other.running()


def test_a_server_whose_owner_was_killed_is_used_on(server: Postgres) -> None:
    program = (
        "import os, signal; from pathlib import Path; from gateway.embedded import Postgres; "
        f"Postgres(Path({str(server.folder)!r}), durable=False).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert server.running()
    with server:
        assert ask(server, "SELECT 1") == 1
    assert not server.running()


def test_a_killed_server_starts_again(server: Postgres) -> None:
    with server:
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 9)
        subprocess.run(["sleep", "0.3"], check=True)
    with server:
        assert ask(server, "SELECT 1") == 1


def test_it_is_private_and_its_log_quotes_nothing(server: Postgres) -> None:
    with server:
        assert ask(server, "SHOW listen_addresses") == ""
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE once (value text PRIMARY KEY)")
            connection.execute("INSERT INTO once VALUES ('CANARY')")
            with pytest.raises(psycopg.errors.UniqueViolation, match="CANARY"):
                connection.execute("INSERT INTO once VALUES ('CANARY')")
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT 'CANARY' FROM nowhere")
    assert "CANARY" not in server.log.read_text()


def test_no_existing_folder_changes_its_mode() -> None:
    home = Path(tempfile.mkdtemp(prefix="gw-home-"))
    home.chmod(0o700)
    parents = [home, *home.parents, Path(sys.prefix), *Path(sys.prefix).parents]
    before = {path: path.stat().st_mode for path in parents}
    server = Postgres(home / "data", durable=False)
    try:
        with server:
            assert ask(server, "SELECT 1") == 1
        assert {path: path.stat().st_mode for path in parents} == before
        if os.geteuid() == 0:
            assert server.home.is_relative_to(SYSTEM_FOLDER)
            assert server.data.stat().st_uid != 0
    finally:
        server.destroy()
        shutil.rmtree(home)


def test_what_goes_wrong_is_one_line_that_names_the_log(server: Postgres) -> None:
    with server:
        pass
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(Misconfigured) as caught:
        server.start()
    assert str(server.log) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_system_user_is_made_once_however_many_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    nobody, arrived = pwd.getpwnam("nobody"), threading.Barrier(2)

    def getpwnam(name: str) -> pwd.struct_passwd:
        if made:
            return nobody
        with suppress(threading.BrokenBarrierError):
            arrived.wait(0.5)  # both have looked, and found nobody, before either goes on
        raise KeyError(name)

    def run(command: Sequence[str], **options: object) -> None:
        time.sleep(0.2)
        made.append(command[-1])

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(postgres, "SYSTEM_LOCK", tmp_path / "lock")
    with ThreadPoolExecutor(2) as pool:
        assert [one.result() for one in [pool.submit(postgres._account) for _ in range(2)]] == [nobody] * 2
    assert made == [postgres.SYSTEM_USER]


def test_a_system_user_that_cannot_be_made_is_told_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SYSTEM_USER", "referral-gateway-nobody-has-this")
    monkeypatch.setattr(postgres, "SYSTEM_LOCK", tmp_path / "lock")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Misconfigured, match="make it by hand, run as an ordinary user, or set GATEWAY_DATABASE_URL"):
        postgres._account()
