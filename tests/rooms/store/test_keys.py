"""Master keys change while everything runs, and nothing is lost; one that is in use cannot be taken away."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway import settings, vault
from gateway.delivery.room import open_room
from gateway.embedded.supervisor import gateway
from gateway.errors import Misconfigured
from gateway.settings import Settings
from gateway.store import callers, consents, keys
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.support import consent

HUB = "glasgow-hub"
ONE, TWO = generate(), generate()


def fill(database: str, count: int, master: Vault | None = None) -> str:
    """A consent, and as many data keys that belong to nothing. Returns the consent's id."""
    with closing(Store(database, master or Vault(ONE), 2).open()) as store, store.begin() as tx:
        callers.add_hub(tx, HUB, by="test")
        made = consents.save(tx, consent(), hub=HUB)
        for begin in range(0, count, 1000):
            records = [f"record-{number}" for number in range(begin, min(begin + 1000, count))]
            tx.run(
                "INSERT INTO data_keys (record, wrapped) SELECT * FROM unnest(%(records)s::text[], %(wrapped)b::bytea[])",
                {"records": records, "wrapped": [tx.vault.new_key(record)[1] for record in records]},
            )
    return made


def counts(database: str) -> dict[int, int]:
    with closing(Store(database, Vault(ONE), 2).open()) as store, store.begin() as tx:
        return keys.counts(tx)


def environment(database: str, masters: Mapping[int, str], **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "GATEWAY_DATABASE_URL": database, "GATEWAY_MASTER_KEYS": json.dumps(masters), **more}


def run(*command: str, database: str, masters: Mapping[int, str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        gateway(*command),
        env=environment(database, masters, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def opens(database: str, identifier: str, masters: Mapping[int, str]) -> bool:
    """Whether a process with these keys reads the consent, and finds it by the pseudonym."""
    room = open_room(Settings(database_url=database, master_keys=masters))
    with closing(room.store), room.store.begin() as tx:
        index = tx.vault.blind("subject", f"{HUB}:GLA-7Q2M")
        found = tx.one("SELECT id FROM consents WHERE subject_index = %(index)s", {"index": index})
        return found == {"id": identifier} and consents.get(tx, identifier, hub=HUB).document["subject"] == "GLA-7Q2M"


def test_a_rewrap_that_is_killed_loses_nothing_and_goes_on(database: str) -> None:
    agreed, both = fill(database, 12_000), {1: ONE, 2: TWO}
    assert opens(database, agreed, both)  # the first process keeps the key of the blind index
    rewrapping = subprocess.Popen(
        gateway("keys", "rewrap"),
        env=environment(database, both),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rewrapping.stderr is not None
    assert "wrapped anew" in rewrapping.stderr.readline()
    rewrapping.send_signal(signal.SIGKILL)
    rewrapping.communicate()
    found = counts(database)
    assert set(found) == {1, 2}, "it was killed too late"
    assert sum(found.values()) == 12_002
    assert opens(database, agreed, both)
    with pytest.raises(Misconfigured, match="version 1 is missing"):
        opens(database, agreed, {2: TWO})
    done = run("keys", "rewrap", database=database, masters=both)
    assert done.stdout == f"{found[1]} data keys were wrapped anew, 0 are left\n"
    assert counts(database) == {2: 12_002}
    assert opens(database, agreed, {2: TWO}), "it needs the first key no more, and finds her all the same"


def test_a_change_can_be_taken_back(database: str) -> None:
    agreed, both = fill(database, 10), {1: ONE, 2: TWO}
    assert opens(database, agreed, both)
    for version in (2, 1):
        assert run("keys", "rewrap", database=database, masters=both, GATEWAY_WRAP_WITH=str(version)).returncode == 0
        assert counts(database) == {version: 12}
    assert opens(database, agreed, {1: ONE})


def test_two_rewrap_at_once_and_each_key_is_wrapped_once(database: str) -> None:
    fill(database, 3_000)
    both = {1: ONE, 2: TWO}
    running = [
        subprocess.Popen(gateway("keys", "rewrap"), env=environment(database, both), stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True) for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=60)[0] for process in running]
    assert sum(int(words.split()[0]) for words in said) == 3_001
    assert counts(database) == {2: 3_002}


def test_what_is_new_is_wrapped_with_the_highest_version_or_the_one_that_is_said(database: str) -> None:
    fill(database, 3)
    both = {1: ONE, 2: TWO}
    for wrap_with, expected in ((None, 2), (1, 1)):
        room = open_room(Settings(database_url=database, master_keys=both, wrap_with=wrap_with))
        with closing(room.store), room.store.begin() as tx:
            tx.put("DELETE FROM data_keys WHERE version = 2")
            made = consents.save(tx, consent(), hub=HUB)
            row = tx.one("SELECT version FROM data_keys WHERE record = %(id)s", {"id": made})
        assert row == {"version": expected}


def test_keys_are_shown_with_what_may_be_done(database: str) -> None:
    fill(database, 3)
    done = run("keys", "--json", database=database, masters={1: ONE, 2: TWO, 3: generate()})
    assert json.loads(done.stdout) == [
        {"version": 1, "data_keys": 4, "says": "in use: gateway keys rewrap"},
        {"version": 2, "data_keys": 0, "says": "may be taken away"},
        {"version": 3, "data_keys": 1, "says": "wraps what is new"},
    ]


def test_a_key_in_use_that_is_missing_or_wrong_stops_the_start_in_a_line(database: str) -> None:
    fill(database, 3)
    assert run("keys", database=database, masters={1: ONE}).returncode == 0
    missing = run("doctor", database=database, masters={2: TWO})
    assert (missing.returncode, missing.stderr) == (
        2,
        "gateway: setting master_keys: version 1 is missing, and data keys are wrapped with it: give it, and run "
        "gateway keys rewrap before you take it away\n",
    )
    wrong = run("doctor", database=database, masters={1: TWO})
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "gateway: setting master_keys: version 1 is another key than the one this database was sealed with\n",
    )


def test_a_new_database_may_begin_with_any_version(database: str) -> None:
    masters = {7: TWO}
    room = open_room(Settings(database_url=database, master_keys=masters))
    with closing(room.store), room.store.begin() as tx:
        callers.add_hub(tx, HUB, by="test")
        made = consents.save(tx, consent(), hub=HUB)
    assert opens(database, made, masters)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"master_key": ONE, "master_keys": {1: TWO}}, "setting master_keys.1: is another key than master_key"),
        ({"master_keys": {0: ONE}}, "setting master_keys.0"),
        ({"master_keys": {256: ONE}}, "setting master_keys.256"),
        ({"master_keys": {2: "short"}}, "setting master_keys.2: give the base64 of 32 random bytes"),
        ({"master_keys": {1: ONE}, "wrap_with": 2}, "setting wrap_with: there is no master key of version 2"),
        ({"master_keys": {1: "kms:AAAA"}}, "setting key_service: none is not installed"),
        ({"master_keys": {1: "kms:AAAA"}, "key_service": "nowhere"}, "setting key_service: nowhere is not installed"),
    ],
)
def test_a_bad_master_key_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        vault.of(settings.load(**given))
    assert says in str(caught.value)
    assert ONE not in str(caught.value)


def test_a_key_service_unwraps_master_keys_when_a_process_starts(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cloud-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cloud\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[referral_gateway.key_services]\ncloud = cloud_kms:unwrap\n")
    (tmp_path / "cloud_kms.py").write_text(
        "def unwrap(wrapped):\n    if len(wrapped) != 32:\n        raise ValueError('SECRET')\n    return bytes(b ^ 255 for b in wrapped)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = settings.load(master_keys={2: f"kms:{TWO}"}, key_service="cloud", database_url=database)
    wrapped = vault.of(loaded).new_key("record")[1]
    assert wrapped[0] == 2
    with pytest.raises(Misconfigured, match=r"master_keys\.2: cloud does not unwrap it \(ValueError\)$"):
        vault.of(settings.load(master_keys={2: "kms:AAAA"}, key_service="cloud"))
    plain = Vault({2: base64.b64encode(bytes(b ^ 255 for b in base64.b64decode(TWO))).decode()})
    assert plain.key(wrapped, "record")
