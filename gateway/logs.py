"""Logs: one line an event, known keys only.

A key that is not listed here is left out, and its name is told, so that a value nobody
thought about cannot reach a log. Exceptions are told by type and place: their texts quote data.
Logs of libraries are kept from the loggers named here, without their exception texts.
"""

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog

KEYS = frozenset(
    [
        "event",
        "level",
        "timestamp",
        "logger",
        "hub",
        "agency",
        "adapter",
        "referral",
        "consent",
        "delivery",
        "attempt",
        "state",
        "status",
        "code",
        "move",
        "outcome",
        "kind",
        "action",
        "count",
        "claimed",
        "linked",
        "seconds",
        "due",
        "age",
        "path",
        "method",
        "http_status",
        "route",
        "error",
        "where",
        "pid",
        "signal",
        "host",
        "port",
        "reason",
    ]
)
LIBRARIES = ("uvicorn.error", "celery.worker", "celery.apps.worker")


def place(error: BaseException) -> str:
    """Where *error* was raised, as ``file:line in function``, innermost first, our own code only up to three frames."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}" for frame in frames[-3:][::-1]
    )


def _tell_exceptions(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"], event["where"] = type(error).__name__, place(error)
    return event


def _known_keys(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    unknown = sorted(key for key in event if key not in KEYS and not key.startswith("_"))
    kept = {key: value for key, value in event.items() if key not in unknown}
    if unknown:
        kept["reason"] = f"left out: {', '.join(unknown)}"
    return kept


class _Libraries(logging.Filter):
    """Lets library records through from the named loggers only, reduced to what cannot quote data."""

    def filter(self, record: logging.LogRecord) -> bool:
        named = record.name.startswith(LIBRARIES)
        if record.levelno < (logging.INFO if named else logging.WARNING):  # at DEBUG, all of them quote
            return False
        if not named:
            record.msg, record.args = "a library warned", None
        record.exc_text = record.stack_info = None
        return True


_LIBRARIES = _Libraries()
_COMMON: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _tell_exceptions,
]
# From the first import on: an unconfigured structlog would print tracebacks with their variables.
structlog.configure(
    processors=[*_COMMON, _known_keys, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
)


def configure(level: str = "INFO") -> None:
    """Send everything to standard error: for people on a terminal, else as JSON."""
    human = sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer(colors=True) if human else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: record.name == "gateway" or _LIBRARIES.filter(record))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_COMMON],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _known_keys, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = silence
    threading.excepthook = lambda args: silence(args.exc_type, args.exc_value, args.exc_traceback)


def get() -> Any:
    """The gateway's logger: ``log.info("delivered", delivery=…, agency=…)``."""
    return structlog.stdlib.get_logger("gateway")


def silence(error: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
    """An excepthook that tells type and place only."""
    where = place(value.with_traceback(trace)) if value else "an unknown place"
    print(f"gateway: {error.__name__} at {where}", file=sys.stderr)
