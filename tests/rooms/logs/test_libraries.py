"""Errors of libraries quote what they were given; nothing that we write down does."""

import subprocess
import sys

from tests.rules.test_house import HOME


def test_errors_of_libraries_are_told_by_type_and_place_only(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.rooms.logs.raising", database],
        cwd=HOME, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    raised = [line.split(": ") for line in done.stdout.splitlines()]
    assert len(raised) == 11, done.stderr[-2000:]
    assert done.returncode == 1
    assert "Canary" not in done.stdout + done.stderr
    for name, kind, quotes in raised:
        assert quotes == "True", f"{name} quotes nothing, so that nothing is tried"
        assert f'"error": "{kind}"' in done.stderr  # our own log
        assert f"gateway: {kind} at " in done.stderr  # the thread that died of it
    assert "gateway: RuntimeError at raising.py" in done.stderr.splitlines()[-1]
    assert "left out: payload" in done.stderr
