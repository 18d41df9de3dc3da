"""A pretend agency that is a real server on loopback.

Subclass :class:`Simulator`, write :meth:`Simulator.answer`, and it remembers what it received,
fails when told to, and shows both to a test or a person::

    GET    /_simulator/received     every request it took, oldest first
    GET    /_simulator/cases        every referral it holds
    POST   /_simulator/faults       {"name": "unavailable", "times": 2, "site": "glasgow-housing"}
    POST   /_simulator/advance      {"site": ..., "reference": ..., "status": "accepted", "reason": null}
    POST   /_simulator/ask          {"site": ..., "reference": ..., "text": "Has she a passport?"}
    DELETE /_simulator              forget everything

One server can play several agencies (*sites*): each is a first path segment. It holds what it
received in memory, in the clear: it is for synthetic data only and listens on 127.0.0.1 only.
"""

import argparse
import contextlib
import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from .status import Reason, Status

log = logging.getLogger(__name__)

Callback = tuple[bytes, dict[str, str]]
"""Body and headers of what an agency posts to the gateway."""

FAULTS = {
    "unavailable": "says 503 and takes nothing",
    "busy": "says 429 with Retry-After: 1 and takes nothing",
    "error": "says 500 and takes nothing",
    "timeout": "takes it, then says nothing for as long as the server lives",
    "drop": "takes it, then closes the connection without an answer",
    "truncate": "takes it, then sends half of the answer",
    "garbage": "takes it, then answers 200 with a page of HTML",
}


@dataclass
class Incoming:
    """A request as received. *path* is without the site. *form* is a parsed form body, if it was one."""

    site: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode("utf-8", "replace")).items()}


@dataclass
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, content_type: str = "application/json", **headers: str) -> Self:
        return cls(
            status, json.dumps(value).encode(), content_type, {k.replace("_", "-"): v for k, v in headers.items()}
        )


@dataclass
class Case:
    """One referral the agency holds. *times* counts how often it was handed over, resends included."""

    site: str
    reference: str
    key: str
    document: Any  # what it was given, decoded
    status: Status = Status.SENT
    reason: Reason | None = None
    times: int = 1
    updated_at: str = ""
    updates: int = 0
    messages: list["Said"] = field(default_factory=list)


@dataclass
class Said:
    """A message about a case. *sender*: ``hub`` or ``agency``; *id*: the sender's own; *answers*: the other's id."""

    sender: str
    id: str
    text: str
    at: str
    answers: str | None = None


class Simulator:
    """The base of an agency's simulator. Thread-safe through *lock*, held while :meth:`answer` runs."""

    name: ClassVar[str] = "agency"
    pauses: ClassVar[tuple[float, ...]] = (0.2, 0.5, 1, 2, 5, 10)
    """Seconds between the tries to tell the gateway something, until it takes it."""

    def __init__(
        self,
        sites: tuple[str, ...] = (),
        callback_base: str | None = None,
        auto: tuple[Status, ...] = (),
        auto_delay: float = 0.3,
        port: int = 0,
    ) -> None:
        """*callback_base*: the gateway's address, if it should be told of changes. *auto*: statuses every new
        case goes through by itself, *auto_delay* seconds apart."""
        self.sites = sites or (self.name,)
        self.callback_base = callback_base
        self.auto, self.auto_delay = auto, auto_delay
        self.lock = threading.RLock()
        self.received: list[dict[str, Any]] = []
        self.cases: dict[tuple[str, str], Case] = {}  # (site, delivery key)
        self._by_reference: dict[tuple[str, str], Case] = {}
        self.faults: list[dict[str, Any]] = []
        self._callbacks: queue.Queue[tuple[float, Case, Callable[[], Callback | None]] | None] = queue.Queue()
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)

    # What a subclass writes

    def answer(self, request: Incoming) -> Response:
        """Validate *request*, act on it, answer. Called for everything outside ``/_simulator``."""
        raise NotImplementedError

    def is_business(self, request: Incoming) -> bool:
        """Whether faults apply to *request*: true but for tokens and the like."""
        return True

    def failure(self, fault: str) -> Response:
        """The answer to ``unavailable``, ``busy``, ``error`` or a fault of the subclass's own."""
        status = {"unavailable": 503, "busy": 429}.get(fault, 500)
        return Response.json(status, {"title": fault}, **({"Retry_After": "1"} if fault == "busy" else {}))

    def callback(self, case: Case) -> Callback | None:
        """Body and headers of the message that tells the gateway how *case* stands; None if it is not told."""
        return None

    def question(self, case: Case, said: Said) -> Callback | None:
        """Body and headers of the message that tells the gateway what the agency *said* about *case*; None if it asks for it."""
        return None

    # What a subclass uses

    def take(self, site: str, key: str, reference: str, document: Any) -> tuple[Case, bool]:
        """Remember a referral under its delivery *key*. Returns the case and whether it is new."""
        with self.lock:
            known = self.cases.get((site, key))
            if known:
                known.times += 1
                return known, False
            case = Case(site, reference, key, document, updated_at=now())
            self.cases[site, key] = self._by_reference[site, reference] = case
            for step, status in enumerate(self.auto, start=1):
                self._callbacks.put(
                    (time.monotonic() + step * self.auto_delay, case, partial(self._move, case, status))
                )
            return case, True

    def find(self, site: str, *, key: str | None = None, reference: str | None = None) -> Case | None:
        with self.lock:
            return self.cases.get((site, key)) if key else self._by_reference.get((site, reference or ""))

    def advance(self, case: Case, status: Status, reason: Reason | None = None) -> None:
        """Move *case* on and, if the simulator calls back, tell the gateway (from a thread of its own)."""
        self._callbacks.put((time.monotonic(), case, partial(self._move, case, status, reason)))

    def ask(self, case: Case, text: str) -> Said:
        """Ask the hub something about *case*, as advance() tells of a change."""
        with self.lock:
            said = Said("agency", f"question-{len(case.messages) + 1}-{case.reference}", text, now())
            case.messages.append(said)
        self._callbacks.put((time.monotonic(), case, partial(self.question, case, said)))
        return said

    def hear(self, case: Case, said: Said) -> None:
        """Remember what a hub *said* about *case*, once for each id."""
        with self.lock:
            if all(said.id != known.id for known in case.messages):
                case.messages.append(said)

    def forget(self) -> None:
        """Everything that was received, and every fault to come."""
        with self.lock:
            for kept in (self.received, self.cases, self._by_reference, self.faults):
                kept.clear()

    def fail_next(self, name: str, times: int = 1, site: str | None = None) -> None:
        """Fail the next *times* business requests (to *site*, or any) with the fault called *name*."""
        with self.lock:
            self.faults.append({"name": name, "times": times, "site": site})

    # The server

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def base_url(self, site: str | None = None) -> str:
        return f"{self.url}/{site or self.sites[0]}"

    def start(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True, name=f"{self.name}-simulator"
        ).start()
        threading.Thread(target=self._tell, daemon=True, name=f"{self.name}-callbacks").start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._callbacks.put(None)
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _fault_for(self, request: Incoming) -> str | None:
        if not self.is_business(request):
            return None
        for fault in self.faults:
            if fault["site"] in (None, request.site):
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return str(fault["name"])
        return None

    def respond(self, request: Incoming) -> tuple[Response, str | None]:
        """The answer, and what to do to it on the way out (a fault of the connection), if anything."""
        if request.path.startswith("/_simulator"):
            return self._control(request), None
        with self.lock:
            fault = self._fault_for(request)
            if fault is not None and fault not in ("timeout", "drop", "truncate", "garbage"):
                return self.failure(fault), None
            self.received.append({"at": now(), **asdict(request), "body": request.body.decode("utf-8", "replace")})
            response = self.answer(request)
        if fault == "garbage":
            return Response(200, b"<html><body>Service temporarily moved</body></html>", "text/html"), None
        return response, fault

    def _control(self, request: Incoming) -> Response:
        with self.lock:
            match request.method, request.path:
                case "GET", "/_simulator/received":
                    return Response.json(200, self.received)
                case "GET", "/_simulator/cases":
                    return Response.json(200, [asdict(case) for case in self.cases.values()])
                case "POST", "/_simulator/faults":
                    self.fail_next(**json.loads(request.body))
                case "POST", "/_simulator/advance":
                    wanted = json.loads(request.body)
                    case = self.find(wanted["site"], reference=wanted["reference"])
                    if case is None:
                        return Response.json(404, {"title": "no such case"})
                    self.advance(
                        case, Status(wanted["status"]), Reason(wanted["reason"]) if wanted.get("reason") else None
                    )
                case "POST", "/_simulator/ask":
                    wanted = json.loads(request.body)
                    case = self.find(wanted["site"], reference=wanted["reference"])
                    if case is None:
                        return Response.json(404, {"title": "no such case"})
                    self.ask(case, wanted["text"])
                case "DELETE", "/_simulator":
                    self.forget()
                case _:
                    return Response.json(404, {"title": "see the documentation of gateway_sdk.simulator"})
        return Response.json(200, {})

    def _tell(self) -> None:
        while (item := self._callbacks.get()) is not None:
            due, case, happen = item
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            with self.lock:
                message = happen()
            if message and self.callback_base:
                self._post(f"{self.callback_base}/v1/callbacks/{case.site}", *message)

    def _move(self, case: Case, status: Status, reason: Reason | None = None) -> Callback | None:
        case.status, case.reason, case.updated_at = status, reason, now()
        case.updates += 1
        return self.callback(case)

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        for pause in self.pauses:
            try:
                with urlopen(UrlRequest(url, body, headers, method="POST"), timeout=10) as reply:
                    reply.read()
                    return
            except (URLError, OSError) as error:
                log.warning("callback not taken: %s", error)
                if getattr(error, "code", 503) in range(400, 500) or self._stopping.wait(pause):
                    return


def now() -> str:
    return datetime.now(UTC).isoformat()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], simulator: Simulator) -> None:
        self.simulator = simulator
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a connection ended badly", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the whole reply in one write: two cost a delayed acknowledgement, 40 ms a call
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        simulator = self.server.simulator
        address = urlsplit(self.path)
        first, _, rest = address.path.lstrip("/").partition("/")
        site, path = (first, f"/{rest}") if first in simulator.sites else (simulator.sites[0], address.path)
        request = Incoming(
            site, self.command, path,
            {key: values[0] for key, values in parse_qs(address.query).items()},
            {key.lower(): value for key, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )  # fmt: skip
        response, fault = simulator.respond(request)
        if fault == "timeout":
            simulator._stopping.wait()
        if fault in ("timeout", "drop"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body[: len(response.body) // 2] if fault == "truncate" else response.body)
        self.wfile.flush()
        if fault == "truncate":
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: ``/_simulator/received`` shows what came."""


def main(kind: type[Simulator]) -> None:
    """The command line of ``python -m your_adapter.simulator``. Runs until interrupted."""
    parser = argparse.ArgumentParser(
        description=kind.__doc__, epilog="Faults: " + "; ".join(f"{k}: {v}" for k, v in FAULTS.items())
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one and prints it")
    parser.add_argument("--site", action="append", default=[], help="an agency to play; repeat for several")
    parser.add_argument("--callback-base", help="the gateway's address, to tell it of changes")
    parser.add_argument(
        "--auto", action="append", default=[], type=Status, help="a status every new case moves to by itself; repeat"
    )
    parser.add_argument("--auto-delay", type=float, default=0.3, help="seconds between those")
    options = parser.parse_args()
    simulator = kind(tuple(options.site), options.callback_base, tuple(options.auto), options.auto_delay, options.port)
    with simulator:
        print(f"{kind.name} simulator on {simulator.url}, playing {', '.join(simulator.sites)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
