"""Whose clock we go by: the database's, which all processes share, and time.monotonic() for what takes long."""

import ast
from collections.abc import Iterator
from pathlib import Path

HOME = Path(__file__).parents[2]
WALL = {
    "time": {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime", "asctime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
MAY = {  # what is told to others who compare it with their clock, and what is only shown
    "gateway/wire/soap.py": "WS-Security: when a message was made, and ends",
    "gateway/wire/alerts.py": "Standard Webhooks: when a message was posted",
    "gateway/telemetry/otlp.py": "OpenTelemetry: when a span began",
    "gateway/console/pages.py": "how old something is, on a page",
    "plugins/sdk/gateway_sdk/messages.py": "a Retry-After that is a date, from a server that does not say what time it is",
}


def sources() -> Iterator[Path]:
    for folder in ("gateway", "schemas/gateway_schemas", *(HOME.glob("plugins/*/gateway_*"))):
        for path in (HOME / folder).rglob("*.py"):
            if path.name != "simulator.py" and "testing" not in path.parts:
                yield path


def reads_the_wall_clock(source: str) -> bool:
    """Whether *source* calls, or hands on, anything that tells this machine's time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in WALL.get({"dt": "datetime"}.get(owner, owner), ()):
                return True
        if isinstance(node, ast.ImportFrom) and node.module == "time" and {n.name for n in node.names} & WALL["time"]:
            return True
    return False


def test_nothing_is_decided_by_this_machines_clock() -> None:
    read = {str(path.relative_to(HOME)) for path in sources() if reads_the_wall_clock(path.read_text("utf-8"))}
    assert read == set(MAY)


def test_it_is_seen_when_it_is_read() -> None:
    assert reads_the_wall_clock("import time\ntime.time()")
    assert reads_the_wall_clock("from datetime import datetime\nx = datetime.now")
    assert reads_the_wall_clock("import datetime as dt\ndt.datetime.utcnow()")
    assert reads_the_wall_clock("import datetime as dt\ndt.date.today()")
    assert reads_the_wall_clock("from time import time")
    assert not reads_the_wall_clock("import time\ntime.monotonic(); tx.now(); row.date")
