"""How a process ends that is told to stop: by SIGTERM, or by SIGINT, which is Ctrl-C.

As long as nothing has begun it is gone at once. Then Celery and uvicorn take the signals over and finish what is in
flight, whereupon uvicorn raises its signal again; the embedded default waits for them here.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)

begun = threading.Event()  # set by who has begun what must be finished, and asks whether we are told to stop
_told: SimpleQueue[int] = SimpleQueue()  # a handler may put into it, whatever it interrupts; an Event could deadlock


@contextmanager
def properly() -> Iterator[None]:
    """Told to stop in this block, or after it, the process ends, and its exit code says that this is no failure."""
    for sign in SIGNALS:
        signal.signal(sign, _stop)
    try:
        yield
    finally:
        for sign in SIGNALS:  # Python takes its handlers away some time before it is gone, but leaves this
            signal.signal(sign, signal.SIG_IGN)


def _stop(sign: int, _: FrameType | None) -> None:
    if not begun.is_set():
        os._exit(0)  # an exception would be raised in whatever is being imported, which may swallow it or fail
    _told.put(sign)


def is_told() -> bool:
    return not _told.empty()


def wait() -> None:
    """Wait until told to stop."""
    _told.get()
