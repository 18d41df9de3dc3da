"""``python -m tests.faults.clock SECONDS serve|worker``: the gateway, on a machine whose clock steps back and forth.

Every other second it is wrong by SECONDS, as time.time() and datetime.now() tell it; time.monotonic() is not touched.
"""

import datetime as dt
import sys
import time
from typing import Any

_time, _time_ns, _gmtime, _localtime = time.time, time.time_ns, time.gmtime, time.localtime
_steps = 0.0


def _wrong() -> float:
    return _steps if int(time.monotonic()) % 2 else 0.0


class _Instances(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])


class Datetime(dt.datetime, metaclass=_Instances):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)


def step_by(seconds: float) -> None:
    """From now on, for everything that is imported after."""
    global _steps
    _steps = seconds
    time.time = lambda: _time() + _wrong()
    time.time_ns = lambda: _time_ns() + int(_wrong() * 1e9)
    time.gmtime = lambda at=None: _gmtime(time.time() if at is None else at)  # type: ignore[misc,assignment]
    time.localtime = lambda at=None: _localtime(time.time() if at is None else at)  # type: ignore[misc,assignment]
    dt.datetime = Datetime  # type: ignore[misc]


if __name__ == "__main__":
    step_by(float(sys.argv[1]))
    from gateway.__main__ import main

    sys.argv = ["gateway", *sys.argv[2:]]
    main()
