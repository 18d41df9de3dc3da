"""What a process holds in memory stays there."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import cli

LOOK = "import ctypes, resource; print(resource.getrlimit(resource.RLIMIT_CORE)[1], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)


def test_no_dump_is_made_and_nobody_of_the_same_user_may_look(tmp_path: Path) -> None:
    assert run(f"from gateway import memory; memory.keep(); {LOOK}", tmp_path).stdout.split() == ["0", "0"]
    assert run(LOOK, tmp_path).stdout.split()[1] == "1"  # otherwise it may


def test_every_command_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(cli.memory, "keep", lambda: order.append("keep"))
    monkeypatch.setattr(cli, "app", lambda: order.append("command"))
    cli.main()
    assert order == ["keep", "command"]
