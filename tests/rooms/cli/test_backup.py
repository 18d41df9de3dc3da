"""What was backed up comes back whole, into a new database; what was erased since does not, with the present keys."""

import json
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from gateway import backup as backups
from gateway.delivery.room import PostRoom, open_room
from gateway.embedded import Postgres, binaries
from gateway.errors import Conflict, Misconfigured, NotFound, Sealed
from gateway.policy.roles import Role
from gateway.settings import Settings
from gateway.store import audit, referrals, sessions
from gateway.vault import generate
from tests.rooms.console.visiting import add, as_owner, person
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.rooms.delivery.test_erasure import erase
from tests.rooms.store.test_keys import run
from tests.support import HOUSING, REFERRAL, Agencies
from tests.walks.test_canary import secrets_of

KEY = generate()
MASTERS = {1: KEY}


@pytest.fixture
def empty(postgres: Postgres) -> str:
    """A database with nothing in it."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
        connection.execute("CREATE DATABASE restored TEMPLATE template0")
    return postgres.url.replace("///postgres?", "///restored?")


@pytest.fixture
def house(room: PostRoom, agencies: Agencies) -> Iterator[PostRoom]:
    """The room of all tests, under a master key that other processes can be given."""
    settings = Settings(**agencies.settings(database_url=room.store.url, master_key=KEY))
    opened = open_room(settings)
    yield opened
    opened.store.close()


def backup(house: PostRoom, *more: str) -> None:
    done = run("backup", *more, database=house.store.url, masters=MASTERS)
    assert done.returncode == 0, done.stderr
    assert "keep them apart" in done.stdout


def restored(empty: str, *more: str, masters: Mapping[int, str] = MASTERS) -> subprocess.CompletedProcess[str]:
    return run("restore", *more, database=empty, masters=masters)


def opens(url: str, identifier: str) -> bool:
    room = open_room(Settings(database_url=url, master_key=KEY))
    with closing(room.store), room.store.begin() as tx:
        try:
            return referrals.sealed(tx, identifier).open(tx.vault)["person"]["name"] == REFERRAL["person"]["name"]
        except Sealed:
            return False


def test_it_comes_back_whole_with_its_audit(house: PostRoom, empty: str, tmp_path: Path, agencies: Agencies) -> None:
    _, identifier = submit(house, HOUSING)
    work(house)
    backup(house, str(tmp_path / "b"))
    done = restored(empty, str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    assert "2 records open, 0 have no key any more" in done.stdout
    assert "the audit's chain holds" in done.stdout
    assert opens(empty, identifier)
    again = open_room(Settings(**agencies.settings(database_url=empty, master_key=KEY)))
    with closing(again.store):
        before, after = of(house, identifier), of(again, identifier)
        assert after == before
        submit(again, HOUSING)  # and it goes on
        with again.store.begin() as tx:
            assert audit.verify(tx).holds
            assert audit.latest(
                tx, "backup.restore", json.loads((tmp_path / "b" / "manifest.json").read_text())["made_at"]
            )
    second = restored(empty, str(tmp_path / "b"))
    assert (second.returncode, second.stderr) == (4, "gateway: there is something in the database: give an empty one\n")


def test_what_was_erased_since_stays_unreadable_with_the_present_keys(
    house: PostRoom, empty: str, tmp_path: Path
) -> None:
    _, erased = submit(house, HOUSING)
    _, kept = submit(house, HOUSING)
    last_week, today, keys = (str(tmp_path / name) for name in ("last-week", "today", "keys"))
    backup(house, last_week, "--keys", keys)
    assert opens(house.store.url, erased)
    erase(house, erased)
    backup(house, today, "--keys", keys)  # the newest keys lie where the older ones lay
    done = restored(empty, last_week, "--keys", keys)
    assert done.returncode == 0, done.stderr
    assert "3 records open, 1 have no key any more" in done.stdout
    assert (opens(empty, erased), opens(empty, kept)) == (False, True)


def test_an_audit_that_was_broken_before_is_not_called_whole(house: PostRoom, empty: str, tmp_path: Path) -> None:
    submit(house, HOUSING)
    with house.store.begin() as tx:
        audit.link(tx)
    as_owner(
        house, "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
        "UPDATE audit SET actor = 'nobody' WHERE position = 1", "ALTER TABLE audit ENABLE TRIGGER audit_append_only",
    )  # fmt: skip
    backup(house, str(tmp_path / "b"))
    done = restored(empty, str(tmp_path / "b"))
    assert (done.returncode, "the audit's chain is broken" in done.stdout) == (1, True)


def test_who_was_logged_in_then_is_not_now(house: PostRoom, empty: str, tmp_path: Path) -> None:
    who = add(house, person(Role.AUDITOR))
    with house.store.begin() as tx:
        sessions.begin(tx, who, timedelta(days=1))
    backup(house, str(tmp_path / "b"))
    assert restored(empty, str(tmp_path / "b")).returncode == 0
    with psycopg.connect(empty) as connection:
        found = connection.execute(
            "SELECT name, fingerprint FROM people LEFT JOIN sessions ON name = person"
        ).fetchall()
    assert found == [("alex", None)]


def test_data_and_keys_are_apart_and_neither_holds_anything_in_the_clear(house: PostRoom, tmp_path: Path) -> None:
    _, identifier = submit(house, HOUSING)
    work(house)
    backup(house, str(tmp_path / "data"), "--keys", str(tmp_path / "keys"))
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == {"data/data.dump", "data/manifest.json", "keys/keys.dump"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    text = {name: plain(path) if path.suffix == ".dump" else path.read_text() for name, path in files.items()}
    with house.store.begin() as tx:
        [wrapped] = (
            row["wrapped"] for row in tx.all("SELECT wrapped FROM data_keys WHERE record = %(id)s", {"id": identifier})
        )
    assert wrapped.hex() in text["keys/keys.dump"]
    assert wrapped.hex() not in text["data/data.dump"]
    assert identifier in text["data/data.dump"]
    for name, content in text.items():
        assert KEY not in content
        assert not [place for place, value in secrets_of(REFERRAL).items() if len(value) > 5 and value in content], name


def plain(dump: Path) -> str:
    """A dump as SQL."""
    return subprocess.run(
        [binaries() / "bin" / "pg_restore", "-f", "-", dump], capture_output=True, text=True, check=True
    ).stdout


def spoil(folder: Path) -> None:
    with (folder / "data.dump").open("r+b") as file:
        file.seek(200)
        file.write(b"spoilt")


def remove_keys(folder: Path) -> None:
    (folder / "keys" / "keys.dump").unlink()


def newer(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "revision": "9999"}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (spoil, "is not what was backed up: it was changed or cut off"),
        (remove_keys, "there is no keys.dump in"),
        (newer, "the backup is of revision 9999"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "is not one that gateway backup wrote"),
        (lambda folder: (folder / "manifest.json").unlink(), "there is no backup in"),
    ],
)
def test_what_is_not_whole_is_said_in_a_line(
    house: PostRoom, empty: str, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    folder = tmp_path / "b"
    backups.write(house.store.url, folder, folder / "keys")
    damage(folder)
    with pytest.raises((Misconfigured, NotFound), match=says) as caught:
        backups.read(empty, folder, folder / "keys")
    assert "\n" not in str(caught.value)
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_another_master_key_is_found_out(house: PostRoom, empty: str, tmp_path: Path) -> None:
    backup(house, str(tmp_path / "b"))
    done = restored(empty, str(tmp_path / "b"), masters={1: generate()})
    assert (done.returncode, "another key than the one" in done.stderr) == (2, True)


def test_a_backup_is_not_written_over(house: PostRoom, tmp_path: Path) -> None:
    backups.write(house.store.url, tmp_path / "b", tmp_path / "keys")
    with pytest.raises(Conflict, match="there is a backup in"):
        backups.write(house.store.url, tmp_path / "b", tmp_path / "keys")
