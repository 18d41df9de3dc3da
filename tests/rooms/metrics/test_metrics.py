"""What /metrics says after real attempts, and who may read it."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from gateway import app, ids, metrics
from gateway.delivery import decisions, outbox
from gateway.delivery.room import PostRoom
from gateway.policy.hours import LONDON
from gateway.policy.lifecycle import DELIVERY, State
from gateway.store import health
from tests.rooms.api.test_referrals import problem
from tests.rooms.delivery.test_attempt import make_due, submit, until, work
from tests.rooms.delivery.test_breaker import probe_is_due
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
TOKEN = "0123456789abcdef"


def scrape(room: PostRoom) -> Series:
    with room.store.begin() as tx:
        return read(metrics.text(tx, room.agencies).decode())


def read(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(series: Series, name: str, **labels: str) -> float:
    return series[f"gateway_{name}", frozenset(labels.items())]


def test_accepted_attempted_and_waiting_are_counted(room: PostRoom, agencies: Agencies) -> None:
    before = scrape(room)
    assert of(before, "referrals_accepted_total") == 0
    assert of(before, "attempts_total", agency=HOUSING, kind="send", outcome="delivered") == 0  # there from the start
    agencies[HOUSING].fail_next("unavailable")
    agencies[SOCIAL_SECURITY].fail_next("drop")
    submit(room)
    submit(room, HEALTH)
    found = scrape(room)
    assert of(found, "referrals_accepted_total") == 2
    assert of(found, "deliveries", agency=HEALTH, state="waiting") == 2
    assert 0 < of(found, "agency_oldest_undelivered_age_seconds", agency=HOUSING) < 60
    assert of(found, "audit_unlinked_rows") > 4
    assert of(found, "events_unplaced") == 2
    work(room)
    found = scrape(room)
    for agency, outcome, count in (
        (HOUSING, "unavailable", 1),
        (SOCIAL_SECURITY, "uncertain", 1),
        (HEALTH, "delivered", 2),
    ):
        assert of(found, "attempts_total", agency=agency, kind="send", outcome=outcome) == count
        for histogram in ("attempt_duration_seconds", "claim_delay_seconds"):
            assert of(found, f"{histogram}_count", agency=agency) == count
            assert of(found, f"{histogram}_bucket", agency=agency, le="+Inf") == count
            assert 0 < of(found, f"{histogram}_sum", agency=agency) < 60
    assert of(found, "deliveries", agency=HOUSING, state="waiting") == 1
    assert of(found, "deliveries", agency=SOCIAL_SECURITY, state="asking") == 1
    assert of(found, "agency_oldest_undelivered_age_seconds", agency=HEALTH) == 0
    assert of(found, "oldest_undelivered_age_seconds") > 0
    until(room, submit(room, SOCIAL_SECURITY)[1], SOCIAL_SECURITY, State.DELIVERED)
    make_due(room)
    work(room)
    outbox.tidy(room)
    found = scrape(room)
    assert of(found, "attempts_total", agency=SOCIAL_SECURITY, kind="ask", outcome="update") == 1
    assert (of(found, "audit_unlinked_rows"), of(found, "events_unplaced")) == (0, 0)


def test_a_claim_delay_is_from_due_to_claimed(room: PostRoom) -> None:
    submit(room, HEALTH)
    with room.store.begin() as tx:
        tx.run("UPDATE deliveries SET due_at = now() - interval '100 s'")
    work(room)
    found = scrape(room)
    assert of(found, "claim_delay_seconds_bucket", agency=HEALTH, le="60.0") == 0
    assert of(found, "claim_delay_seconds_bucket", agency=HEALTH, le="300.0") == 1
    assert 100 < of(found, "claim_delay_seconds_sum", agency=HEALTH) < 130


def test_webhooks_are_counted_together_and_not_by_their_ids(room: PostRoom) -> None:
    submit(room, HOUSING)
    hook = ids.new("whe")
    with room.store.begin() as tx:
        health.pause(tx, hook, by="test", reason="so that it is not well")
        tx.run("UPDATE deliveries SET agency = %(hook)s, created_at = now() - interval '1 h'", {"hook": hook})
        tx.run("INSERT INTO attempts (delivery, agency, kind, outcome, seconds) "
               "SELECT id, agency, 'send', 'unavailable', 1 FROM deliveries")  # fmt: skip
    for _ in range(4):
        outbox.tidy(room)
        found = scrape(room)
        assert of(found, "attempts_total", agency="hub webhooks", kind="send", outcome="unavailable") == 1
        assert of(found, "attempt_duration_seconds_count", agency="hub webhooks") == 1
        assert of(found, "deliveries", agency="hub webhooks", state="waiting") == 1
        assert of(found, "agency_oldest_undelivered_age_seconds", agency="hub webhooks") > 3500
        assert of(found, "oldest_undelivered_age_seconds") == 0
        assert hook not in str(found)


def test_what_waits_for_a_person_shows(room: PostRoom, agencies: Agencies) -> None:
    agencies[HOUSING].fail_next("unavailable", times=4)
    until(room, submit(room, HOUSING)[1], HOUSING, State.DEAD)
    submit(room, SOCIAL_SECURITY)
    with room.store.begin() as tx:
        tx.run(
            "UPDATE deliveries SET state = 'asking', due_at = NULL WHERE agency = %(agency)s",
            {"agency": SOCIAL_SECURITY},
        )
    decisions.pause(room, HEALTH, by="admin:a", reason="they asked us to")
    found = scrape(room)
    assert of(found, "deliveries", agency=HOUSING, state="dead") == 1
    assert of(found, "agency_oldest_undelivered_age_seconds", agency=HOUSING) == 0
    assert of(found, "deliveries_undecided", agency=SOCIAL_SECURITY) == 1
    assert of(found, "deliveries_undecided", agency=HOUSING) == 0
    assert [of(found, "agency_paused", agency=agency) for agency in (HEALTH, HOUSING)] == [1, 0]


def test_the_breaker_shows(room: PostRoom) -> None:
    states = [of(scrape(room), "agency_breaker_state", agency=HOUSING)]
    with room.store.begin() as tx:
        tx.run(
            "INSERT INTO agency_health (agency, opened_at, probe_at) VALUES (%(a)s, now(), now() + interval '1 h')",
            {"a": HOUSING},
        )
    states.append(of(scrape(room), "agency_breaker_state", agency=HOUSING))
    probe_is_due(room)
    states.append(of(scrape(room), "agency_breaker_state", agency=HOUSING))
    with room.store.begin() as tx:
        assert health.succeeded(tx, HOUSING)
    states.append(of(scrape(room), "agency_breaker_state", agency=HOUSING))
    assert states == [0, 2, 1, 0]
    assert of(scrape(room), "agency_breaker_state", agency=HEALTH) == 0


def test_an_agency_outside_its_hours_shows(room: PostRoom) -> None:
    now = datetime.now(LONDON)
    tomorrow = f"{now + timedelta(days=1):%a}".lower()
    housing = room.agencies[HOUSING]
    chosen = housing.settings.model_copy(update={"hours": {tomorrow: "09:00-17:00"}})
    closed = PostRoom(room.store, {**room.agencies, HOUSING: replace(housing, settings=chosen)}, room.settings)
    found = scrape(closed)
    assert [of(found, "agency_closed", agency=agency) for agency in (HOUSING, HEALTH)] == [1, 0]


def test_buckets_add_up_and_nothing_falls(room: PostRoom) -> None:
    submit(room)
    work(room)
    seen = [scrape(room)]
    for _ in range(3):
        outbox.tidy(room)
        seen.append(scrape(room))
    rising = {key for key in seen[0] if key[0].endswith(("_total", "_bucket", "_count", "_sum"))}
    assert len(rising) > 50
    assert all(found[key] == seen[0][key] for found in seen for key in rising)
    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in seen[0].items()
        if name == "gateway_attempt_duration_seconds_bucket" and ("agency", HEALTH) in labels
    )
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1] == (inf, 1)


def test_labels_are_words_of_closed_lists(room: PostRoom) -> None:
    submit(room)
    work(room)
    with room.store.begin() as tx:
        tx.run("UPDATE attempts SET outcome = 'ileana', kind = 'exemplu' WHERE agency = %(a)s", {"a": HEALTH})
        text = metrics.text(tx, room.agencies).decode()
    assert 'gateway_attempts_total{agency="glasgow-health",kind="other",outcome="other"} 1.0' in text
    words = {value for _, labels in read(text) for name, value in labels if name not in ("agency", "le")}
    assert words == {
        *metrics.OUTCOMES,
        *(word for words in metrics.OUTCOMES.values() for word in words),
        *metrics.DEPTHS,
        "other",
    }
    assert not [
        mark
        for mark in ("del_", "ref_", "con_", "hub", "ileana")
        if mark in text.replace("from hubs", "").replace("the hubs'", "")
    ]


def test_every_state_that_an_operator_must_see_has_a_depth() -> None:
    ends = {State.DELIVERED, State.REFUSED, State.WITHDRAWN}
    assert {*metrics.DEPTHS} == {*DELIVERY.values(), State.HELD} - ends


@pytest.fixture
def watched(room: PostRoom) -> Any:
    room.settings.metrics_token = type(room.settings)(metrics_token=TOKEN).metrics_token  # type: ignore[arg-type]
    with TestClient(app.build(room), base_url="http://127.0.0.1") as client:
        yield client


def test_metrics_are_off_without_a_token(room: PostRoom) -> None:
    with TestClient(app.build(room), base_url="http://127.0.0.1") as client:
        problem(client.get("/metrics"), 404, "not-found")
        problem(client.get("/metrics", headers={"Authorization": "Bearer "}), 404, "not-found")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9"]
)
def test_only_the_token_opens_them(watched: TestClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    problem(watched.get("/metrics", headers=headers), 401, "unauthenticated")


def test_with_the_token_they_are_told(watched: TestClient, room: PostRoom) -> None:
    answer = watched.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, metrics.CONTENT_TYPE)
    assert read(answer.text) == scrape(room)
    assert "metrics" not in json.dumps(watched.get("/openapi.json").json()["paths"])
