"""Adapters that are not trusted: each runs in processes of its own, shut in, and never in ours.

What such an adapter does wrong (crash, hang, endless loop, giant answer) fails the one call, and with it the
attempt of its own agency. Its process has no network, no files but the libraries it runs on, no secrets in its
environment, and a limit of memory; what it answers can only become a value of the contract.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
from gateway_sdk import codec

from .errors import GatewayError, Misconfigured

LONGEST = 4_000_000  # bytes of an answer
KEPT = 4  # idle processes of one adapter
STARTING = 20.0  # seconds to load an adapter


class Broken(GatewayError):
    """The adapter's process failed a call. The text is one word of what happened, never the adapter's own."""


@dataclass(frozen=True)
class Limits:
    """*deadline*: seconds for a call. *memory*: bytes of the process."""

    deadline: float
    memory: int


class _Process:
    """One process of an adapter, and the line to it."""

    def __init__(self, adapter: str, settings: dict[str, Any], limits: Limits) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-m", "gateway_sdk.confined"], stdin=theirs.fileno(), cwd="/",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                env={"LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            )  # fmt: skip
        self._line = ours
        self.end = weakref.finalize(self, _end, ours, self._process)  # when nobody holds it any more, at the latest
        try:
            self.description = self.ask({"adapter": adapter, "settings": settings, "memory": limits.memory}, STARTING)
        except Broken:
            self.end()
            raise

    def ask(self, request: Any, deadline: float) -> Any:
        """The answer to *request* within *deadline* seconds. Raises Broken; the process is useless after that."""
        until = time.monotonic() + deadline
        try:
            self._line.settimeout(deadline)
            self._line.sendall(codec.dumps(request))
            answer = codec.loads(self._receive(until))
        except TimeoutError:
            raise Broken("deadline") from None
        except OSError:
            raise Broken("crashed") from None
        except codec.Garbled:
            raise Broken("garbled") from None
        if not isinstance(answer, dict) or "is" not in answer:
            failure = answer.get("failed") if isinstance(answer, dict) else None
            raise Broken(failure if isinstance(failure, str) and failure.isprintable() else "garbled")
        return answer["is"]

    def _receive(self, until: float) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            self._line.settimeout(max(0.001, until - time.monotonic()))
            part = self._line.recv(1 << 16)
            if not part:
                raise Broken("crashed")
            received += part
            if len(received) > LONGEST:
                raise Broken("giant answer")
            if time.monotonic() > until:
                raise TimeoutError
        return bytes(received)


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    line.close()
    process.kill()
    process.wait()


@dataclass
class _Processes:
    """The processes of one agency's adapter: as many as there are calls at once, a few kept."""

    adapter: str
    settings: dict[str, Any]
    limits: Limits
    _idle: list[_Process] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, method: str, *arguments: Any) -> Any:
        process = self._take()
        try:
            answer = process.ask([method, arguments], self.limits.deadline)
        except BaseException:
            process.end()
            raise
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(process)
                return answer
        process.end()
        return answer

    def describe(self) -> dict[str, Any]:
        """What the adapter says of itself. Raises Misconfigured."""
        try:
            process = _Process(self.adapter, self.settings, self.limits)
        except Broken as error:
            raise Misconfigured(
                f"adapter {self.adapter}, shut in because it is untrusted, does not load: {error}"
            ) from None
        self._idle.append(process)
        found: dict[str, Any] = process.description
        return found

    def _take(self) -> _Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Process(self.adapter, self.settings, self.limits)


class Confined(sdk.Adapter):
    """Stands for an adapter that runs elsewhere. Methods raise Broken."""

    def __init__(self, adapter: str, settings: dict[str, Any], limits: Limits) -> None:
        self._elsewhere = _Processes(adapter, settings, limits)
        said = self._elsewhere.describe()
        try:
            for name, kind in KINDS.items():
                if not isinstance(said[name], kind):
                    raise TypeError
            codes = {str(code): str(sentence) for code, sentence in said["codes"].items()}
        except (KeyError, TypeError):
            raise Misconfigured(f"adapter {adapter}: it does not describe itself as the contract asks") from None
        own: dict[str, Any] = {**{name: said[name] for name in KINDS}, "codes": codes}
        own["wsdl"] = Path(said["wsdl"]) if said["wsdl"] else None
        for name, value in own.items():
            setattr(self, name, value)

    def translate(self, referral: sdk.Referral) -> sdk.Request:
        request: sdk.Request = self._elsewhere.call("translate", referral)
        return request

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        outcome: sdk.Outcome = self._elsewhere.call("classify", reply)
        return outcome

    def ask(self, sent: sdk.Sent) -> sdk.Request | None:
        request: sdk.Request | None = self._elsewhere.call("ask", sent) if self.asks else None
        return request

    def read_update(self, reply: sdk.Reply) -> sdk.Answer | sdk.Message:
        answer: sdk.Answer | sdk.Message = self._elsewhere.call("read_update", reply)
        return answer

    def withdraw(self, sent: sdk.Sent) -> sdk.Request | None:
        request: sdk.Request | None = self._elsewhere.call("withdraw", sent)
        return request

    def update(self, referral: sdk.Referral, sent: sdk.Sent) -> sdk.Request | None:
        request: sdk.Request | None = self._elsewhere.call("update", referral, sent)
        return request

    def message(self, message: sdk.Message, sent: sdk.Sent) -> sdk.Request | None:
        request: sdk.Request | None = self._elsewhere.call("message", message, sent)
        return request

    asks: bool


KINDS: dict[str, Any] = {
    "purpose": str, "needs": sdk.Needs, "codes": dict, "auth": sdk.Auth, "callback_auth": sdk.CallbackAuth | None,
    "idempotent": bool, "polls": bool, "wsdl": str | None, "asks": bool, "takes_messages": bool,
}  # fmt: skip
