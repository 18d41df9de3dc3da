"""A process that is told to stop says that this is no failure, whatever it was doing."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.embedded.supervisor import gateway
from gateway.vault import generate
from tests.running import free_port

PROCESSES = ["up", "serve", "worker"]
SIGNALS = pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=lambda sign: sign.name)

# The first library that the command imports. It swallows an exception that a signal raises, as others may.
IMPORTED = """
import os, sys
try:
    os.kill(os.getpid(), int(os.environ["SIGN"]))
except BaseException:
    sys.exit("told to stop, it goes on")
"""

# Told once more at the very last, when Python has taken away its handlers of signals.
LAST = """
import os
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), sign=int(os.environ["SIGN"])):
        kill(pid, sign)
last = Last()
"""


@contextmanager
def started(*command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        gateway(*command), env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def with_module(folder: Path, name: str, code: str, sign: signal.Signals) -> Mapping[str, str]:
    """The environment in which a process finds *code* as the module *name*."""
    (folder / f"{name}.py").write_text(code)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "SIGN": str(int(sign))}


@SIGNALS
@pytest.mark.parametrize("name", PROCESSES)
def test_while_it_is_still_imported(name: str, sign: signal.Signals, tmp_path: Path) -> None:
    with started(name, **with_module(tmp_path, "typer", IMPORTED, sign)) as process:
        assert process.wait(20) == 0


def test_other_commands_do_not_say_that_they_are_done(tmp_path: Path) -> None:
    with started("migrate", **with_module(tmp_path, "typer", IMPORTED, signal.SIGTERM)) as process:
        assert process.wait(20) == -signal.SIGTERM


@SIGNALS
@pytest.mark.parametrize("name", PROCESSES)
def test_while_it_waits_for_its_database(name: str, sign: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        with started(name, GATEWAY_DATABASE_URL=url, GATEWAY_MASTER_KEY=generate()) as process, silent.accept()[0]:
            process.send_signal(sign)
            assert process.wait(5) == 0  # it would wait for longer


@SIGNALS
@pytest.mark.parametrize(("name", "word"), [("serve", "Uvicorn running"), ("worker", " ready.")])
def test_while_it_runs_and_once_more_at_its_last(
    name: str, word: str, sign: signal.Signals, database: str, tmp_path: Path
) -> None:
    where = {"GATEWAY_DATABASE_URL": database, "GATEWAY_MASTER_KEY": generate(), "GATEWAY_PORT": str(free_port())}
    with started(name, **where, **with_module(tmp_path, "sitecustomize", LAST, sign)) as process:
        assert process.stdout is not None
        assert any(word in line for line in process.stdout)
        process.send_signal(sign)
        process.stdout.read()
        assert process.wait(20) == 0
