"""Child processes: restarted when they die, drained when told to stop, gone when their parent is gone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from gateway import logs, stopping

log = logs.get()

LIFELINE = "GATEWAY_LIFELINE"
FIRST_PAUSE, LONGEST_PAUSE, PROVEN = 0.2, 5.0, 10.0  # seconds


@dataclass
class _Child:
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    threads: list[threading.Thread] = field(default_factory=list)


class Supervisor:
    """Runs named processes, each in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self) -> None:
        self._children: dict[str, _Child] = {}
        self._stopping = threading.Event()
        self._reader, self._writer = os.pipe()  # we hold the writing end: children see it close when we die

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run *command* under *name*, again and again until stop()."""
        child = self._children[name] = _Child(command, {**environment, LIFELINE: str(self._reader)})
        self._spawn(child)
        watcher = threading.Thread(target=self._watch, args=(name, child), daemon=True, name=f"watch {name}")
        child.threads.append(watcher)
        watcher.start()

    def pid(self, name: str) -> int:
        """The process id that *name* has now."""
        process = self._children[name].process
        assert process is not None
        return process.pid

    def stop(self, patience: float = 30.0) -> None:
        """Ask all to finish, the last started first; kill what has not after *patience* seconds."""
        self._stopping.set()
        until = time.monotonic() + patience
        for child in reversed(self._children.values()):
            if child.process and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in reversed(self._children.values()):
            if child.process:
                try:
                    child.process.wait(max(0.1, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()

    def _spawn(self, child: _Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.command, env=dict(child.environment), start_new_session=True, pass_fds=(self._reader,),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _watch(self, name: str, child: _Child) -> None:
        while not self._stopping.is_set():
            assert child.process is not None
            child.process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - child.started > PROVEN:
                child.pause = FIRST_PAUSE
            log.warning("process ended; starting it again", kind=name, code=child.process.returncode)
            self._stopping.wait(child.pause)
            child.pause = min(child.pause * 2, LONGEST_PAUSE)
            if not self._stopping.is_set():
                self._spawn(child)


def watch_lifeline() -> None:
    """In a child: stop as if told to, when the supervisor is gone. Does nothing outside one."""
    reader = os.environ.pop(LIFELINE, None)
    if reader is None:
        return

    def wait() -> None:
        os.read(int(reader), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="lifeline").start()


def wait_ready(url: str, patience: float) -> bool:
    """Whether *url* answers 200 within *patience* seconds, and before we are told to stop."""
    until = time.monotonic() + patience
    while time.monotonic() < until and not stopping.is_told():
        try:
            with urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False


def gateway(*arguments: str) -> list[str]:
    """The command line that runs ``gateway`` with this Python."""
    return [sys.executable, "-m", "gateway", *arguments]
