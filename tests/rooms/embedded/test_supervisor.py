"""Processes: restarted, drained, and gone with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gateway.embedded.supervisor import Supervisor, wait_ready

NOTE = "import sys, os, time; open(sys.argv[1], 'a').write(str(os.getpid()) + '\\n'); time.sleep(60)"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.stop(2)


def until(condition: Callable[[], object], patience: float = 10) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_process_that_dies_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    notes = tmp_path / "pids"
    supervisor.start("a", [sys.executable, "-c", NOTE, str(notes)], dict(os.environ))
    until(lambda: len(pids(notes)) == 1)
    os.kill(pids(notes)[0], signal.SIGKILL)
    until(lambda: len(pids(notes)) == 2)
    assert supervisor.pid("a") == pids(notes)[1]


def test_a_stop_asks_first_and_kills_who_does_not_listen(tmp_path: Path) -> None:
    polite = (
        "import signal, sys, time; note = open(sys.argv[1], 'w', buffering=1); "
        "signal.signal(15, lambda *_: (note.write(' drained'), note.close(), sys.exit(0))); "
        "note.write('up '); note.flush(); time.sleep(60)"
    )
    stubborn = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); open(sys.argv[1], 'w').write('up'); time.sleep(60)"
    supervisor, first, second = Supervisor(), tmp_path / "polite", tmp_path / "stubborn"
    supervisor.start("polite", [sys.executable, "-c", polite, str(first)], dict(os.environ))
    supervisor.start("stubborn", [sys.executable, "-c", stubborn, str(second)], dict(os.environ))
    until(lambda: first.exists() and second.exists() and first.read_text() and second.read_text())
    pid = supervisor.pid("stubborn")
    started = time.monotonic()
    supervisor.stop(patience=1)
    assert time.monotonic() - started < 4
    assert first.read_text() == "up  drained"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_children_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    child = (
        "import sys, os, time; from gateway.embedded.supervisor import watch_lifeline; watch_lifeline(); "
        "open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    )
    parent = (
        "import sys, os, time; from gateway.embedded.supervisor import Supervisor; s = Supervisor(); "
        f"s.start('a', [sys.executable, '-c', {child!r}, sys.argv[1]], dict(os.environ)); time.sleep(60)"
    )
    note = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", parent, str(note)])
    until(lambda: note.exists() and note.read_text())
    process.kill()
    process.wait()
    pid = int(note.read_text())
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_waiting_for_nobody_ends() -> None:
    assert not wait_ready("http://127.0.0.1:1/readyz", 0.3)
