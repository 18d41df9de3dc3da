"""A collector of traces: a real OTLP receiver on loopback that keeps what it is sent (OTLP/HTTP, binary protobuf)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span as it arrived; ids as in a traceparent, times in nanoseconds. *service*: the process it is of."""

    name: str
    trace: str
    id: str
    parent: str
    told: dict[str, str]
    began: int
    ended: int
    service: str
    failed: bool
    whole: Any


class Collector:
    """*spans*: what arrived. *raw*: the bytes. While *ill*, it answers 503 to everything."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.raw = b""
        self.ill = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, condition: Callable[[list[Seen]], bool], patience: float = 20) -> list[Seen]:
        """The spans, once they fulfil *condition*."""
        until = time.monotonic() + patience
        while not condition(self.spans):
            assert time.monotonic() < until, f"not in {patience} s: {[(span.name, span.told) for span in self.spans]}"
            time.sleep(0.05)
        return list(self.spans)

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.raw += body
        for resource in request.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {each.key: each.value.string_value for each in span.attributes}
                    seen = Seen(
                        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), told,
                        span.start_time_unix_nano, span.end_time_unix_nano, about["service.name"],
                        span.status.code == span.status.STATUS_CODE_ERROR, (span, resource.resource),
                    )  # fmt: skip
                    self.spans.append(seen)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                right = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
                if right and not collector.ill:
                    collector._take(body)
                self.send_response(503 if collector.ill else 200 if right else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
