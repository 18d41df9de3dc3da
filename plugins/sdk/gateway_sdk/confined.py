"""An adapter in a process of its own, shut in: ``python -P -m gateway_sdk.confined``, started by the gateway.

Standard input is a socket. The first line names the adapter (its entry point), its settings and the memory it may
use; the answer describes it. Each further line is a call, ``[method, arguments]``, and the answer its result, or the
name of the exception: never its text, which could quote what the adapter was given.
"""

import os
import socket
import sys
from importlib.metadata import entry_points
from typing import Any

from . import jail
from .adapter import ENTRY_POINTS, Adapter
from .codec import dumps, loads

CALLS = ("translate", "classify", "ask", "read_update", "withdraw", "update", "message")
SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
)


class Failed(Exception):
    """What the gateway is told: the name of what happened."""


def main() -> None:
    connection = socket.socket(fileno=os.dup(0))
    lines = connection.makefile("rb")
    first = loads(next(lines))
    try:
        jail.enter({*sys.path, sys.prefix, sys.base_prefix, *SYSTEM} - {""}, first["memory"])
        adapter = load(first["adapter"], first["settings"])
        connection.sendall(dumps({"is": describe(adapter)}))
    except Exception as error:  # noqa: BLE001  an adapter is code we did not write
        words = str(error) if isinstance(error, jail.Open | Failed) else type(error).__name__
        connection.sendall(dumps({"failed": words}))
        return
    for line in lines:
        method, arguments = loads(line)
        try:
            answer = {"is": getattr(adapter, method)(*arguments)} if method in CALLS else {"failed": "no such call"}
            sent = dumps(answer)
        except Exception as error:  # noqa: BLE001  as above
            sent = dumps({"failed": type(error).__name__})
        connection.sendall(sent)


def load(name: str, settings: dict[str, Any]) -> Adapter:
    """The adapter that the entry point *name* registers. Raises Failed."""
    found: list[type[Adapter]] = []
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        entry.load().register_adapters(register=found.append)
    if len(found) != 1:
        raise Failed(f"registers {len(found)} adapters, must register one")
    try:
        own = found[0].Settings.model_validate(settings)
    except ValueError as error:
        raise Failed(f"its settings are not right: {type(error).__name__}") from None
    return found[0](own)


def describe(adapter: Adapter) -> dict[str, Any]:
    """What the gateway must know of *adapter* to work with it."""
    return {
        "purpose": adapter.purpose, "needs": adapter.needs, "codes": dict(adapter.codes), "auth": adapter.auth,
        "callback_auth": adapter.callback_auth, "idempotent": adapter.idempotent, "polls": adapter.polls,
        "wsdl": str(adapter.wsdl) if adapter.wsdl else None, "asks": type(adapter).ask is not Adapter.ask,
        "takes_messages": adapter.takes_messages,
    }  # fmt: skip


if __name__ == "__main__":
    main()
