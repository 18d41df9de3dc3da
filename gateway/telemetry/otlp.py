"""Spans to a collector: OpenTelemetry's SDK, with everything off that would say more than it is told."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Unpack

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__, logs
from gateway.errors import Problem

from . import Span, Told

log = logs.get()
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it warns at each export that fails; see _Exporter

KINDS = {"accept": SpanKind.SERVER, "wire.send": SpanKind.CLIENT}
PATIENCE = 5.0  # seconds for one export, in its own thread
LAST = 2.0  # seconds for what is left when the process ends


class _Exporter(SpanExporter):
    """Sends spans, and says once that it cannot, and once that it can again."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint, timeout=PATIENCE)
        self._fails = self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails is not self._fails and not self._closed:
            self._fails = fails
            log.warning("the collector does not take spans; they are dropped" if fails else "the collector takes spans")
        return result

    def shutdown(self) -> None:
        self._closed = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Told(Span):
    def __init__(self, span: trace.Span) -> None:
        self.span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-0{context.trace_flags & 1}"

    def tell(self, **told: Unpack[Told]) -> None:
        self.span.set_attributes(_attributes(told))


def _attributes(told: Told) -> dict[str, str]:
    return {f"gateway.{name}": str(value) for name, value in told.items() if name in Told.__annotations__ and value}


def _within(parent: str | None) -> Context | None:
    """The context of *parent*; None stands for the span around, if there is one."""
    if parent is None:
        return None
    _, of, span, flags = parent.split("-")
    context = SpanContext(int(of, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000


class Collector:
    """Takes spans in passing, and sends them from a thread of its own; what it cannot send is dropped."""

    def __init__(self, endpoint: str, process: str) -> None:
        resource = Resource({"service.name": f"referral-gateway-{process}", "service.version": __version__})
        limits = SpanLimits(max_span_attributes=len(Told.__annotations__), max_span_attribute_length=128)
        self._provider = TracerProvider(ParentBased(ALWAYS_ON), resource, shutdown_on_exit=False, span_limits=limits)
        self._exporter = _Exporter(endpoint.rstrip("/") + "/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, 2048, 500, 512))
        self._tracer = self._provider.get_tracer("gateway")

    @contextmanager
    def span(self, name: str, parent: str | None, since: float | None, told: Told) -> Iterator[Span]:
        kind = KINDS.get(name, SpanKind.INTERNAL)
        at = None if since is None else time.time_ns() - int((time.monotonic() - since) * 1e9)
        span = self._tracer.start_span(name, _within(parent), kind, _attributes(told), start_time=at)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield _Told(span)
            except Exception as error:
                if not isinstance(error, Problem):  # which is an answer
                    span.set_status(Status(StatusCode.ERROR))
                raise

    def past(self, name: str, parent: str, began: datetime, ended: datetime, told: Told) -> None:
        span = self._tracer.start_span(
            name, _within(parent), attributes=_attributes(told), start_time=_nanoseconds(began)
        )
        span.end(_nanoseconds(ended))

    def close(self) -> None:
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(LAST)
        self._exporter.shutdown()
