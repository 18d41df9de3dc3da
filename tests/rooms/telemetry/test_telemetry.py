"""Spans say what they are told and no more; a collector that is away is nobody's trouble."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import telemetry
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, Misconfigured
from gateway.telemetry import otlp
from tests.collector import Collector
from tests.rooms.delivery.test_attempt import submit
from tests.support import HOUSING

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        telemetry.start(running.url, "test")
        yield running
        telemetry.stop()


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (PARENT, PARENT),
        (PARENT[:-2] + "00", PARENT[:-2] + "00"),
        (PARENT[:-2] + "03", PARENT),  # level 2's flag for random ids is not ours to pass on
        (PARENT[:-2] + "ff", PARENT),
        (None, None),
        ("", None),
        (PARENT.upper(), None),
        ("01" + PARENT[2:], None),
        ("ff" + PARENT[2:], None),
        (PARENT + "-extra", None),
        (PARENT + "\n", None),
        (" " + PARENT, None),
        (PARENT + "," + PARENT, None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        ("00-00000000000000000000001705941265-00f067aa0ba902b7-01", None),  # a CHI number
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000001705941265-01", None),
        ("00-٤bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
    ],
)
def test_a_callers_traceparent_is_taken_only_as_it_should_be(header: str | None, kept: str | None) -> None:
    assert telemetry.received(header) == kept


@given(
    st.one_of(st.text(max_size=80), st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
)
def test_what_is_kept_is_one_and_stays_one(header: str) -> None:
    kept = telemetry.received(header)
    assert kept is None or (telemetry.received(kept) == kept and kept[:-2] == header[:-2] and kept[-2:] in ("00", "01"))


def test_a_span_tells_what_is_on_the_list(collector: Collector) -> None:
    unknown: Any = {"person": "Ileana"}
    with telemetry.span("accept", parent=PARENT, agency="a") as outer, telemetry.span("commit", **unknown) as inner:
        inner.tell(outcome="accepted", code=None, **unknown)
    now = datetime.now(UTC)
    telemetry.past("claim", parent=outer.traceparent, began=now - timedelta(seconds=2), ended=now, delivery="del_1")
    telemetry.past("claim", parent=None, began=now, ended=now)
    spans = {span.name: span for span in collector.wait(lambda spans: len(spans) >= 3)}
    assert {name: span.told for name, span in spans.items()} == {
        "accept": {"gateway.agency": "a"}, "commit": {"gateway.outcome": "accepted"}, "claim": {"gateway.delivery": "del_1"}
    }  # fmt: skip
    assert {span.trace for span in spans.values()} == {PARENT.split("-")[1]}
    assert spans["accept"].parent == PARENT.split("-")[2]
    assert spans["commit"].parent == spans["claim"].parent == spans["accept"].id == outer.traceparent.split("-")[2]
    assert 1.9e9 < spans["claim"].ended - spans["claim"].began < 2.1e9
    assert b"Ileana" not in collector.raw
    assert {each.key for each in spans["accept"].whole[1].attributes} == {"service.name", "service.version"}


@pytest.mark.parametrize(("error", "failed"), [(ValueError("CANARY"), True), (Conflict("CANARY"), False)])
def test_an_error_is_marked_and_not_quoted(collector: Collector, error: Exception, failed: bool) -> None:
    with pytest.raises(type(error)), telemetry.span("attempt"):
        raise error
    [span] = collector.wait(lambda spans: bool(spans))
    assert (span.failed, len(span.whole[0].events), span.whole[0].status.message) == (failed, 0, "")
    assert b"CANARY" not in collector.raw
    assert b"Error" not in collector.raw


def test_a_caller_that_does_not_record_is_followed(collector: Collector) -> None:
    with telemetry.span("accept", parent=PARENT[:-2] + "00") as span:
        assert span.traceparent is not None
        assert span.traceparent.endswith("-00")
    with telemetry.span("attempt", parent=span.traceparent):
        pass
    with telemetry.span("later"):
        pass
    assert [span.name for span in collector.wait(lambda spans: bool(spans))] == ["later"]


def test_when_off_there_is_nothing() -> None:
    with telemetry.span("accept", parent=PARENT, agency="a") as span:
        span.tell(outcome="accepted")
        assert span.traceparent is None
    assert telemetry.span("accept") is telemetry.span("commit")
    program = (
        "import sys, gateway.cli, gateway.app, gateway.worker; "
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus_client'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("how", ["nobody there", "never answers"])
def test_a_collector_that_is_away_delays_and_fails_nothing(how: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if how == "never answers":
            silent.listen()
        telemetry.start(f"http://127.0.0.1:{silent.getsockname()[1]}", "test")
        started = time.monotonic()
        for _ in range(4000):  # more than are kept
            with telemetry.span("attempt", agency="a") as span:
                span.tell(outcome="delivered")
        assert time.monotonic() - started < 3
        stopping = time.monotonic()
        telemetry.stop()
        assert time.monotonic() - stopping < 4


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export is given up sooner."""
    monkeypatch.setattr(otlp, "PATIENCE", 0.5)


@pytest.mark.usefixtures("hurried")
def test_an_outage_of_the_collector_is_told_once(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    def send_until(word: str) -> None:
        until = time.monotonic() + 30
        while word not in caplog.text:
            assert time.monotonic() < until, word
            with telemetry.span("attempt"):
                pass
            time.sleep(0.3)

    with caplog.at_level(logging.DEBUG):
        for _ in range(2):
            collector.ill = True
            send_until("does not take spans")
            time.sleep(1.5)  # exports go on failing
            collector.ill = False
            send_until("collector takes spans")
            told = [record for record in caplog.records if record.name == "gateway"]
            assert len(told) == 2
            assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
            caplog.clear()


@pytest.mark.parametrize("value", ["Ileana", PARENT + "\n", PARENT[:-2] + "03", PARENT.upper(), PARENT + " Ileana"])
def test_nothing_else_than_a_traceparent_can_be_kept(room: PostRoom, value: str) -> None:
    submit(room, HOUSING)
    with room.store.begin() as tx:
        assert tx.run("UPDATE deliveries SET traceparent = %(value)s", {"value": PARENT}) == 1
    with pytest.raises(psycopg.errors.CheckViolation), room.store.begin() as tx:
        tx.run("UPDATE deliveries SET traceparent = %(value)s", {"value": value})


def test_without_its_packages_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(Misconfigured, match="setting otlp_endpoint: install"):
        telemetry.start("http://127.0.0.1:1", "test")
    assert telemetry.span("accept") is telemetry.span("commit")
