"""``gateway up``, as a person meets it."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from gateway.embedded import Postgres
from gateway.embedded.supervisor import gateway, wait_ready
from gateway.vault import generate


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A data folder and a port of its own."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="gw-up-") as folder:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        yield {**os.environ, "GATEWAY_DATA_FOLDER": folder, "GATEWAY_PORT": port}
        Postgres(Path(folder)).destroy()


@contextmanager
def started(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``gateway up`` once it is ready, and what it said; stopped at the end, if it is not gone by then."""
    command = gateway("up")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Stop with Ctrl-C" in line:
                break
        try:
            assert wait_ready(f"http://127.0.0.1:{environment['GATEWAY_PORT']}/readyz", 10)
            yield process, said
        finally:
            process.terminate()


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(gateway(*arguments), env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_starts_serves_the_commands_and_finds_its_data_again(environment: dict[str, str]) -> None:
    with started(environment) as (process, said):
        assert "this password, shown only now" in said
        assert run(environment, "hubs", "add", "glasgow-hub").stdout.startswith("gw_")
        with urlopen(
            f"http://127.0.0.1:{environment['GATEWAY_PORT']}/.well-known/oauth-authorization-server"
        ) as answer:
            assert answer.status == 200  # access tokens are on, with a key of its own
        second = run(environment, "up")
        assert (second.returncode, "runs already" in second.stderr) == (2, True)
        process.terminate()
        assert process.wait(30) == 0
    with started(environment) as (process, said):
        assert "password" not in said
        assert "glasgow-hub" in run(environment, "hubs", "list").stdout
        process.kill()  # its processes notice, and the next start goes on where it was
    gone(environment)
    with started(environment):
        assert "glasgow-hub" in run(environment, "hubs", "list").stdout


def gone(environment: dict[str, str], patience: float = 20) -> None:
    """Wait until nothing answers any more."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            urlopen(f"http://127.0.0.1:{environment['GATEWAY_PORT']}/healthz", timeout=1).close()
        except OSError:
            return
        time.sleep(0.1)
    raise AssertionError("the web process outlives its supervisor")


@pytest.mark.parametrize(
    ("sign", "there"),
    [(signal.SIGINT, "data/PG_VERSION"), (signal.SIGTERM, "socket/.s.PGSQL.5432")],
    ids=["while it is made", "while it starts"],
)
def test_told_to_stop_at_its_first_start_it_leaves_no_server_and_keeps_no_password_to_itself(
    environment: dict[str, str], sign: signal.Signals, there: str
) -> None:
    """The signal goes to all that share its terminal, as Ctrl-C does."""
    server = Postgres(Path(environment["GATEWAY_DATA_FOLDER"]))
    with subprocess.Popen(
        gateway("up"), env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        until = time.monotonic() + 30
        while not (server.home / there).exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        os.killpg(process.pid, sign)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not server.running()
    assert "this password, shown only now" in said


def test_a_port_that_is_taken_is_named(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(environment["GATEWAY_PORT"]))):
        done = run(environment, "up")
    assert done.returncode == 2
    assert f"{environment['GATEWAY_PORT']} is taken" in done.stderr.splitlines()[-1]


def test_it_runs_on_a_configured_database_too(environment: dict[str, str], database: str) -> None:
    """Its processes, that is; the database and the master key are ours to give, and the audit goes unsigned."""
    configured = {**environment, "GATEWAY_DATABASE_URL": database, "GATEWAY_MASTER_KEY": generate()}
    with started(configured) as (process, said):
        assert process.poll() is None, said
        assert not (Path(environment["GATEWAY_DATA_FOLDER"]) / "audit.key").exists()
