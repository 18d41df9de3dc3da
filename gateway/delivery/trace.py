"""A delivery's place in the trace of its referral, and what its spans tell."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import gateway_sdk as sdk

from gateway import telemetry
from gateway.plugins import Agency
from gateway.policy.lifecycle import State
from gateway.store.deliveries import Delivery

from . import settle

ON_ITS_WAY = frozenset({State.QUEUED, State.SENDING, State.ASKING})


def tell_the_way(delivery: Delivery, lease: timedelta, now: datetime) -> None:
    """What a claimed *delivery* has behind it: it waited for its claim, then for a thread. *lease*: what a claim gives it."""
    parent = _parent(delivery)
    if parent is None or delivery.due_at is None:
        return
    claimed = delivery.due_at - lease
    due = claimed - timedelta(seconds=delivery.waited or 0)
    for step, began, ended in (("claim", due, claimed), ("queue", claimed, now)):
        telemetry.past(step, parent=parent, began=began, ended=ended, delivery=delivery.id, agency=delivery.agency)


def attempt(delivery: Delivery, began: float) -> AbstractContextManager[telemetry.Span]:
    """The span of an attempt that *began* before it was known whether there would be one (of time.monotonic())."""
    return telemetry.span(
        "attempt", parent=_parent(delivery), since=began,
        delivery=delivery.id, agency=delivery.agency, kind=delivery.kind, state=delivery.state,
    )  # fmt: skip


def tell(span: telemetry.Span, agency: Agency, result: sdk.Outcome | sdk.Answer | settle.Unmade) -> None:
    """What a step came to."""
    outcome, code = settle.told(agency, result)
    span.tell(outcome=outcome, code=code)


def headers(span: telemetry.Span, agency: Agency) -> Mapping[str, str]:
    """What *agency* is told of the trace: nothing, unless its settings say so."""
    return {"traceparent": span.traceparent} if span.traceparent and agency.settings.traceparent else {}


def _parent(delivery: Delivery) -> str | None:
    """Its referral's trace, while it is on its way: asking for news, for months, is a trace of its own each time."""
    return delivery.traceparent if delivery.state in ON_ITS_WAY else None
