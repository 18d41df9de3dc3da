"""Traces: what a referral's way took, step by step, from the hub's request to the agency's reply.

Off unless the settings name a collector, and then they cost nothing. Spans are made by hand, because
ready-made instrumentation puts addresses, arguments and error texts into them: what a span can tell is
the list of Told, and how it ended. The trace is carried by the rows, as a traceparent (W3C Trace Context);
tracestate and baggage, in which a caller could write anything, are neither read nor sent.
"""

import re
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, TypedDict, Unpack

from gateway.errors import Misconfigured


class Told(TypedDict, total=False):
    """All that a span can tell: words of closed lists, and public ids, which are random."""

    agency: str
    kind: str
    state: str
    outcome: str
    code: str | None
    referral: str
    delivery: str


class Span(Protocol):
    """A step that is being taken."""

    traceparent: str | None
    """What makes another span this one's child, wherever it is made."""

    def tell(self, **told: Unpack[Told]) -> None: ...


class Tracer(Protocol):
    def span(self, name: str, parent: str | None, since: float | None, told: Told) -> AbstractContextManager[Span]: ...

    def past(self, name: str, parent: str, began: datetime, ended: datetime, told: Told) -> None: ...

    def close(self) -> None: ...


class _Nothing:
    """The span that is made when traces are off."""

    traceparent: str | None = None

    def tell(self, **told: Unpack[Told]) -> None:
        pass

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


_NOTHING = _Nothing()
_tracer: Tracer | None = None


def start(endpoint: str | None, process: str) -> None:
    """Send the spans of this *process* (``web``, ``delivery``) to the OTLP collector at *endpoint*, if there is one.

    Raises Misconfigured when the packages for it are not installed.
    """
    global _tracer
    if endpoint is None:
        return
    try:
        from .otlp import Collector
    except ImportError:
        raise Misconfigured("setting otlp_endpoint: install referral-gateway[traces], which sends them") from None
    _tracer = Collector(endpoint, process)


def stop() -> None:
    """Send what is left, as far as that takes no time worth speaking of."""
    global _tracer
    if _tracer is not None:
        _tracer.close()
        _tracer = None


def span(
    name: str, *, parent: str | None = None, since: float | None = None, **told: Unpack[Told]
) -> AbstractContextManager[Span]:
    """A step, for as long as the block runs; inside another one a part of it, unless it has a *parent* of its own.

    *since*: when it began in truth, of time.monotonic(). An error that ends it marks it as failed, without saying which.
    """
    return _NOTHING if _tracer is None else _tracer.span(name, parent, since, told)


def past(name: str, *, parent: str | None, began: datetime, ended: datetime, **told: Unpack[Told]) -> None:
    """A step that was taken already, as a part of *parent*, if there is one."""
    if _tracer is not None and parent is not None:
        _tracer.past(name, parent, began, ended, told)


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def received(header: str | None) -> str | None:
    """The traceparent that a caller sent (W3C Trace Context, version 00), or None: then the trace begins with us.

    A caller chooses its ids. They are to be random; what has no letter in it is taken for a number that means something,
    and is not kept. Of the flags only *sampled* is passed on.
    """
    found = _TRACEPARENT.fullmatch(header) if header else None
    if found is None or found[1].isdigit() or found[2].isdigit():
        return None
    return f"00-{found[1]}-{found[2]}-0{int(found[3], 16) & 1}"
