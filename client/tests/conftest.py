"""A server that answers as it is told to."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gateway_client import Client, transport

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Gateway:
    """*answers*: given in turn, the last one for ever; None breaks the connection. *seen*: method, path, headers, body."""

    url: str = ""
    answers: list[Answer | None] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self) -> Answer | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(transport, "PAUSE", 0.01)
    found = Gateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.seen.append((self.command, self.path, {n.lower(): v for n, v in self.headers.items()}, body))
            answer = found.answer()
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, document, headers = answer
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.url, "gw_secret", timeout=1, patience=2) as found:
        yield found


def told(status: int, slug: str, **more: Any) -> Answer:
    kind = f"https://referral-gateway.example/problems/{slug}"
    return status, {"type": kind, "title": "T", "status": status, "detail": "Do this.", **more}, {}


OK: Answer = (202, {"id": "ref_1", "accepted_at": "2026-01-01T00:00:00Z", "deliveries": {}}, {})
DRAFT = {"person": {"name": {"family": "CANARY"}}}
