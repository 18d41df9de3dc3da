"""An untrusted adapter harms nothing but its own agency's attempt, and sees nothing but the minimised referral."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
import psutil
import pytest
from gateway_sdk import codec
from hypothesis import given
from hypothesis import strategies as st

from gateway import confinement, plugins, provenance
from gateway.confinement import Broken, Confined, Limits
from gateway.delivery.room import PostRoom
from gateway.errors import Misconfigured
from gateway.policy.lifecycle import State
from gateway.settings import Settings
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.support import HEALTH, HOUSING, Agencies

HERE = Path(__file__).parent
REFERRAL = sdk.Referral(
    "del_00000000000000000", datetime(2026, 1, 2, tzinfo=UTC),
    {"person": {"name": {"given": "Canary", "family": "CanaryFamily"}}, "request": {"ask": "Help."}},
    sdk.needs("/person/name", "/request/ask"),
)  # fmt: skip
MEMORY = 512 * 1024 * 1024


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The hostile adapter as an installed distribution."""
    site = tmp_path / "site"
    info = site / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "hostile_adapter.py", site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[referral_gateway.adapters]\nhostile = hostile_adapter\n")
    (info / "RECORD").write_text("hostile_adapter.py,,\nhostile-1.0.dist-info/METADATA,,\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("hostile_adapter", None)


def hostile(does: str, deadline: float = 3.0, path: Path | str = "") -> Confined:
    return Confined("hostile", {"does": does, "path": str(path)}, Limits(deadline, MEMORY))


def found(does: str, path: Path | str = "") -> str:
    request = hostile(does, path=path).translate(REFERRAL)
    assert isinstance(request, sdk.RestRequest)
    text: str = request.json["found"]
    return text


def test_it_works_as_any_other_and_its_code_is_never_ours(installed: Path) -> None:
    adapter = hostile("nothing")
    assert adapter.translate(REFERRAL) == sdk.RestRequest("POST", "/referrals", json={"key": REFERRAL.delivery_key})
    assert adapter.classify(sdk.Reply(201)) == sdk.Delivered("H-1")
    assert (adapter.purpose, adapter.needs) == ("housing", REFERRAL.needs)
    assert "hostile_adapter" not in sys.modules


@pytest.mark.parametrize(
    ("does", "refused"),
    [
        ("network", "URLError"), ("run", ""), ("fork", ""), ("thread", ""), ("memory", "MemoryError"),
        ("read environment of parent", "PermissionError"), ("signal", "PermissionError"),
    ],
)  # fmt: skip
def test_it_reaches_nothing(installed: Path, does: str, refused: str) -> None:
    seen = found(does)
    assert not seen.startswith("got"), seen
    assert seen == refused or not refused


def test_its_environment_holds_nothing_of_ours(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MASTER_KEY", "a secret")
    assert found("environment") == "got ['LC_ALL', 'PYTHONPATH']"


def test_it_reads_and_writes_no_files(installed: Path, tmp_path: Path) -> None:
    secret = tmp_path / "master.key"
    secret.write_text("a secret")
    assert found("read", secret) == "PermissionError"
    assert found("write", tmp_path / "new") in ("PermissionError", "OSError")
    assert found("list", tmp_path) == "PermissionError"
    assert not (tmp_path / "new").exists()


def test_it_reaches_no_server_by_a_unix_socket(installed: Path, room: PostRoom) -> None:
    from psycopg.conninfo import conninfo_to_dict

    folder = conninfo_to_dict(room.store.url)["host"]
    assert not found("unix socket", f"{folder}/.s.PGSQL.5432").startswith("got")


@pytest.mark.parametrize(
    ("does", "word"),
    [("crash", "crashed"), ("hang", "deadline"), ("loop", "deadline"), ("giant", ""), ("babble", "garbled"),
     ("quote", "ValueError")],
)  # fmt: skip
def test_what_it_does_fails_the_call_within_the_deadline(installed: Path, does: str, word: str) -> None:
    adapter = hostile(does, deadline=1.0)
    started = time.monotonic()
    with pytest.raises(Broken) as broken:
        adapter.translate(REFERRAL)
    assert time.monotonic() - started < 3
    assert word in str(broken.value)
    assert "Canary" not in str(broken.value)


def test_nothing_is_left_running(installed: Path) -> None:
    before = len(psutil.Process().children())
    for does in ("hang", "loop", "crash"):
        with pytest.raises(Broken):
            hostile(does, deadline=0.3).translate(REFERRAL)
    assert len(psutil.Process().children()) == before


@pytest.fixture
def shared(installed: Path, room: PostRoom, agencies: Agencies) -> Any:
    """A room where the housing agency's adapter is hostile and the health board's is not."""

    def make(does: str) -> PostRoom:
        given = agencies.settings()
        given["agencies"][HOUSING].update(
            adapter="hostile", untrusted=True, settings={"does": does}, credentials={}, adapter_deadline="0.5s"
        )
        settings = Settings(**given)
        return PostRoom(room.store, plugins.load(settings), settings)

    return make


@pytest.mark.parametrize("does", ["crash", "hang", "giant", "wrong"])
def test_it_fails_the_attempt_of_its_own_agency_only(shared: Any, does: str) -> None:
    room = shared(does)
    _, identifier = submit(room, HOUSING, HEALTH)
    work(room)
    states = {name: (delivery.state, delivery.code) for name, delivery in of(room, identifier).items()}
    assert states == {HOUSING: (State.DEAD, "adapter_error"), HEALTH: (State.DELIVERED, None)}


def test_a_wrong_hash_loads_nothing(installed: Path, agencies: Agencies) -> None:
    [own] = [one for one in provenance.installed() if one.adapter == "hostile"]
    assert own.hash is not None
    given = agencies.settings()
    given["agencies"] = {HOUSING: {**given["agencies"][HOUSING], "adapter": "hostile", "credentials": {}}}
    assert plugins.load(Settings(**given, adapter_hashes={"hostile": own.hash}))
    sys.modules.pop("hostile_adapter", None)
    with (installed / "hostile_adapter.py").open("a") as file:
        file.write("\n# changed\n")
    for untrusted in (False, True):
        given["agencies"][HOUSING]["untrusted"] = untrusted
        with pytest.raises(Misconfigured, match="adapter_hashes"):
            plugins.load(Settings(**given, adapter_hashes={"hostile": own.hash}))
    assert "hostile_adapter" not in sys.modules


def test_the_command_line_tells_the_hash(installed: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "adapters"], capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("hostile")]
    [own] = [one for one in provenance.installed() if one.adapter == "hostile"]
    assert line.split("\t") == ["hostile", "hostile", "1.0", own.hash]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.datetimes()
    | st.dates() | st.decimals(allow_nan=False) | st.sampled_from([*sdk.Status, *sdk.Reason]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
    | st.builds(sdk.RestRequest, st.text(), st.text(), inner),
)  # fmt: skip


@given(values)
def test_every_value_of_the_contract_comes_back_as_it_went(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value


@given(st.binary() | st.text().map(str.encode) | st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
).map(lambda value: __import__("json").dumps(value).encode()))  # fmt: skip
def test_anything_else_is_garbled_and_nothing_worse(line: bytes) -> None:
    try:
        codec.loads(line)
    except codec.Garbled:
        return


def test_an_adapter_that_does_not_load_stops_the_start(installed: Path) -> None:
    (installed / "hostile_adapter.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(Misconfigured, match="does not load: ModuleNotFoundError"):
        confinement.Confined("hostile", {}, Limits(1.0, MEMORY))
