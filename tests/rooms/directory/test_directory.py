"""The directory in the database: imported twice it changes once, and every process sees a change at once."""

import copy
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway import cli, logs
from gateway.errors import NotFound
from gateway.policy import hsds
from gateway.policy.places import Phase
from gateway.store import directory
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.rooms.policy.test_hsds import DOCUMENT


def imported(store: Store, document: Any) -> list[str]:
    """The verbs of what the import of *document* changed."""
    wanted = hsds.read(document)
    with store.begin() as tx:
        found = directory.changes(directory.lock(tx), wanted.services, sorted(wanted.agencies))
        directory.apply(tx, found, by="test")
    return [change.verb for change in found]


def kept(store: Store) -> directory.Directory:
    with store.begin() as tx:
        return directory.look(tx)


def actions(store: Store, like: str) -> list[str]:
    with store.begin() as tx:
        return [
            row["action"] for row in tx.all("SELECT action FROM audit WHERE action LIKE %(a)s ORDER BY id", {"a": like})
        ]


def test_an_import_is_idempotent_keeps_ids_and_leaves_others_alone(store: Store) -> None:
    other = json.loads(json.dumps(DOCUMENT).replace('"refuge"', '"other"').replace('"s1"', '"s2"'))
    assert (imported(store, DOCUMENT), imported(store, other)) == (["add"], ["add"])
    first = kept(store)
    assert imported(store, DOCUMENT) == []
    assert kept(store).version == first.version
    changed = copy.deepcopy(DOCUMENT)
    changed["services"][0]["name"] = "More rooms"
    assert imported(store, changed) == ["change"]
    assert kept(store).sources["s1"].id == first.sources["s1"].id
    assert imported(store, {**DOCUMENT, "services": []}) == ["remove"]
    assert set(kept(store).sources) == {"s2"}
    assert actions(store, "directory.%") == ["directory.add", "directory.add", "directory.change", "directory.remove"]


def test_a_process_sees_at_once_what_another_changed_and_reads_only_then(store: Store, database: str) -> None:
    with closing(Store(database, Vault(generate()), 2).open()) as other:
        before = kept(other)
        assert kept(other) is before
        imported(store, DOCUMENT)
        assert set(kept(other).sources) == {"s1"}
        with store.begin() as tx:
            directory.switch(tx, "dundee", Phase.PLANNED, by="test", reason="r")
        assert "dundee" not in kept(other).areas_on


def test_switching_an_area_is_audited_and_a_stranger_is_named(store: Store) -> None:
    with store.begin() as tx:
        directory.switch(tx, "glasgow", Phase.PILOT, by="admin:a", reason="they begin")
        [row] = tx.all("SELECT actor, object, detail FROM audit WHERE action = 'area.switch' AND actor <> 'test'")
        assert (row["actor"], row["object"]) == ("admin:a", "glasgow")
        assert json.loads(row["detail"]) == {"phase": "pilot", "reason": "they begin"}
        with pytest.raises(NotFound, match="there is no area atlantis; there are aberdeen"):
            directory.switch(tx, "atlantis", Phase.LIVE, by="admin:a", reason="r")


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command line, in this process, on the test's database."""
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database)
    monkeypatch.setenv("GATEWAY_MASTER_KEY", generate())
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    return lambda *words: CliRunner().invoke(cli.app, [str(word) for word in words])


def test_the_command_line(run: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    file = tmp_path / "directory.json"
    file.write_text(json.dumps(DOCUMENT))
    dry = run("directory", "import", file, "--dry-run")
    assert (dry.exit_code, kept(store).services) == (0, [])
    assert "1 changes would be made" in dry.stderr
    assert "refuge is not configured as an agency" in dry.stderr
    assert "1 changes were made" in run("directory", "import", file).stderr
    assert "0 changes were made" in run("directory", "import", file).stderr
    [row] = json.loads(run("directory", "list", "--json").stdout)
    assert (row["agency"], row["places"], row["configured"]) == ("refuge", "Dundee, Glasgow City", "no")
    again = tmp_path / "again.json"
    again.write_text(run("directory", "export").stdout)
    assert "0 changes would be made" in run("directory", "import", again, "--dry-run").stderr

    wrong = tmp_path / "wrong.json"
    wrong.write_text("{")
    assert str(run("directory", "import", wrong).exception) == f"{wrong}: is not JSON in UTF-8"
    wrong.write_text('{"services": [{"id": "x"}]}')
    assert str(run("directory", "import", wrong).exception).startswith("At /services/0/name: ")


def test_areas_on_the_command_line(run: Callable[..., Any], store: Store) -> None:
    assert run("areas", "set", "glasgow", "planned", "--reason", "not yet").stdout == "glasgow is planned\n"
    rows = {row["area"]: row["phase"] for row in json.loads(run("areas", "--json").stdout)}
    assert (rows["glasgow"], rows["dundee"], len(rows)) == ("planned", "live", 7)
    unknown = run("areas", "set", "glasgow", "soon", "--reason", "r")
    assert unknown.exit_code == 2
    assert "there is no phase soon" in unknown.stderr
    assert run("areas", "set", "glasgow", "live").exit_code == 2  # a reason is required
