"""Every leaf of a referral has a value of its own; after a walk with failures, where are they all?

At each agency exactly what it may have; nowhere else at all.
"""

import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_schemas
import psutil
import psycopg
import pytest
from gateway_sdk.simulator import Simulator
from gateway_sdk.testing import filled
from gateway_sdk.testing.documents import places

from gateway.embedded import Postgres, binaries
from gateway.store import schema
from gateway.vault import Vault
from tests.collector import Collector
from tests.rooms.wire.hostile import always, reply, serving
from tests.running import Gateway
from tests.support import ALL_CATEGORIES, HEALTH, HOUSING, PURPOSES, SOCIAL_SECURITY, consent, switch_on

CANARIES = ("Canary", "canary", "07700 000", "S-000", "en-x000", "00000001")
"""What a value can be told by: free texts, e-mails, phones, subject, language, CHI number."""

TOKEN = "a-token-for-metrics"
IN_ADDRESS = "CanaryPath"
TRACED = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "hub=CanaryState",
    "baggage": "name=CanaryBaggage",
}


class Talkative(Postgres):
    """A server whose operator had it write down every statement with its values, and count them."""

    def _options(self) -> str:
        spoken = {
            "log_statement": "all", "log_min_duration_statement": "0", "log_min_messages": "debug1",
            "log_min_error_statement": "debug1", "log_error_verbosity": "verbose", "log_parameter_max_length": "-1",
            "log_parameter_max_length_on_error": "-1", "shared_preload_libraries": "pg_stat_statements",
            "track_activity_query_size": "100kB",
        }  # fmt: skip
        return super()._options() + "".join(f" -c {name}='{value}'" for name, value in spoken.items())


@pytest.fixture
def talkative() -> Iterator[Talkative]:
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        server = Talkative(Path(folder), durable=False)
        server.start()
        try:
            schema.upgrade(server.url)
            switch_on(server.url)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE watching")
            with psycopg.connect(beside(server)) as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
            yield server
        finally:
            server.destroy()


def beside(server: Postgres) -> str:
    """Another database of the same server."""
    return server.url.replace("///postgres?", "///watching?")


@pytest.fixture
def database(talkative: Talkative) -> str:
    return talkative.url


@pytest.fixture
def more(collector: Collector) -> dict[str, Any]:
    """With everything on that could tell something."""
    of_agencies = {name: {"traceparent": True} for name in PURPOSES}
    of_agencies[HEALTH]["untrusted"] = True  # its adapter in processes of its own
    return {
        "otlp_endpoint": collector.url, "of_agencies": of_agencies, "metrics_token": TOKEN, "log_level": "DEBUG",
    }  # fmt: skip


def document() -> dict[str, Any]:
    """A referral to all three agencies, every leaf filled."""
    whole: dict[str, Any] = filled(gateway_schemas.load("referral"))
    ask = {name: value for name, value in whole["requests"][0].items() if name != "need"}
    whole["requests"] = [
        {**ask, "agency": agency, "purpose": purpose, "ask": f"CanaryAsk-{agency}", "benefits": ["universal-credit"]}
        for agency, purpose in PURPOSES.items()
    ]
    whole["area"], whole["council"] = "glasgow", "S12000049"
    whole["person"]["birth_date"], whole["person"]["chi_number"] = "1994-05-17", "1705941265"
    whole["housing"]["lost_on"] = "2020-01-01"
    return whole


def secrets_of(referral: dict[str, Any]) -> dict[str, str]:
    """``{pointer: text}`` of every leaf that is personal and can be told from others."""
    leaves = gateway_schemas.leaves("referral")
    found = {}
    for pointer, value in places(referral):
        template = "/".join("*" if part.isdigit() else part for part in pointer.split("/"))
        schema = leaves[template]
        if schema["dataCategory"] not in ("administrative",) and isinstance(value, str) and "enum" not in schema:
            found[pointer] = value
    return found


def allowed(referral: dict[str, Any], agency: str, consented: list[str], room: Any) -> set[str]:
    """The texts that *agency* may have, by the schema alone."""
    free = {code for code, category in gateway_schemas.categories().items() if not category["needsConsent"]}
    needs = room.agencies[agency].adapter.needs
    kept = gateway_schemas.keep(gateway_schemas.agency_view(referral, agency), needs.pointers, {*consented, *free})
    return {value for _, value in places(kept) if isinstance(value, str)}


def dump(url: str) -> str:
    """Everything the database holds, as its own dump of plain text would show it."""
    text = []
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            buffer = io.BytesIO()
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:  # type: ignore[arg-type]
                for part in copy:
                    buffer.write(part)
            text.append(buffer.getvalue().decode())
        text += [str(row[0]) for row in connection.execute("SELECT query FROM pg_stat_activity").fetchall()]
    assert sum(map(len, text)) > 5000
    return "\n".join(text)


def backed_up(walk: Gateway, folder: Path) -> str:
    """A backup, as its own tool shows it."""
    assert "keep them apart" in shown(walk, "backup", str(folder))
    restore = [str(binaries() / "bin" / "pg_restore"), "-f", "-"]
    files = [folder / "data.dump", folder / "keys" / "keys.dump"]
    return "\n".join(
        subprocess.run([*restore, str(file)], capture_output=True, text=True, check=True).stdout for file in files
    )


def arguments_and_environment(walk: Gateway) -> str:
    """Of every process and its children: adapters that are not trusted have their own."""
    found = []
    for process in walk.processes.values():
        parent = psutil.Process(process.pid)
        for seen in (parent, *parent.children(recursive=True)):
            found += [seen.name(), *seen.cmdline(), *seen.environ().values()]
    assert "gateway_sdk.confined" in found
    return "\n".join(found)


def told_by_the_server(server: Talkative) -> dict[str, str]:
    """What PostgreSQL writes down and counts by itself, in a house where it was the database."""
    with psycopg.connect(beside(server)) as connection:
        rows = connection.execute("SELECT query FROM pg_stat_statements(true)").fetchall()
    found = {
        "PostgreSQL's own log": server.log.read_text(),
        "statistics of statements": "\n".join(row[0] for row in rows),
    }
    assert all("INSERT INTO referrals" in text for text in found.values())
    own = found["PostgreSQL's own log"]
    assert "Parameters: " in own
    assert IN_ADDRESS in own  # what comes in the place of an id is asked for, whatever it is: docs/security.md says so
    return {**found, "PostgreSQL's own log": own.replace(IN_ADDRESS, "")}


def test_personal_data_is_where_it_must_be_and_nowhere_else(
    house: str, walk: Gateway, collector: Collector, talkative: Talkative, tmp_path: Path
) -> None:
    with serving(always(reply(b"", "204 No Content"))) as receiver:
        walk.hub.webhooks.create(receiver.url)
        search_everywhere(walk, receiver.requests, collector, tmp_path, talkative if house == "embedded" else None)


def search_everywhere(
    walk: Gateway, told: list[bytes], collector: Collector, folder: Path, server: Talkative | None
) -> None:
    """*told*: what the hub's webhook received. *folder*: for a backup. *server*: whose own log can be read."""
    from gateway import plugins, settings

    referral = document()
    secrets = secrets_of(referral)
    assert len(secrets) > 60
    consented = [category for category in ALL_CATEGORIES if category not in ("safety", "children")]
    record = consent(dict.fromkeys(PURPOSES, consented))
    record["subject"], record["given"]["recorded_by"] = referral["subject"], "CanaryRecorder"
    for agency, fault in (
        (HOUSING, "drop"),
        (SOCIAL_SECURITY, "garbage"),
        (HEALTH, "truncate"),
        (HOUSING, "unavailable"),
    ):
        walk.agencies[agency].fail_next(fault)

    agreed = walk.consent(record)
    taken = walk.call(
        "POST", "/v1/referrals", json={**referral, "consent": agreed}, headers={"Idempotency-Key": "first", **TRACED}
    )
    answer = taken.json()["id"]
    walk.settled(answer)
    refusals = [
        walk.call("POST", "/v1/referrals", json=spoilt, headers={"Idempotency-Key": str(number), **TRACED}).text
        for number, spoilt in enumerate(spoilt_documents(referral, agreed, walk))
    ]
    strange = strange_requests(walk)

    os.environ["GATEWAY_CONFIG"] = walk.environment["GATEWAY_CONFIG"]
    try:
        loaded = settings.load(database_url="", master_key=None)
    finally:
        del os.environ["GATEWAY_CONFIG"]
    room = type("Room", (), {"agencies": plugins.load(loaded)})()
    for agency in PURPOSES:
        check_agency(walk.agencies[agency], referral, secrets, allowed(referral, agency, consented, room))

    changed = {"phone": {**referral["contact"]["phone"], "number": "07700 000999", "caller_may_say": "CanaryChanged"}}
    key = {"Idempotency-Key": "changed"}
    assert walk.call("POST", f"/v1/referrals/{answer}/contact", json=changed, headers=key).ok
    given = {**record["given"], "recorded_by": "CanaryWithdrawn"}
    assert walk.call("POST", f"/v1/consents/{agreed}/withdraw", json={"categories": ["health"], "given": given}).ok
    walk.settled(answer)
    assert all("CanaryChanged" in str(simulator.received) for simulator in walk.agencies.simulators.values())
    secrets |= {"changed": "CanaryChanged", "number": "07700 000999", "withdrawn": "CanaryWithdrawn"}
    walk.wait("the hub was told of it all", lambda: len(told) == len(walk.hub.events()["events"]))
    collector.wait(lambda spans: len([span for span in spans if span.name == "accept"]) == 1 + len(refusals))
    everywhere = {
        "the database": dump(walk.environment["GATEWAY_DATABASE_URL"]),
        "the log": walk.log.read_text(),
        "arguments and environment": arguments_and_environment(walk),
        "error answers": "\n".join(refusals + strange),
        "the hub's own views": json.dumps([walk.referral(answer), walk.hub.events(), walk.hub.webhooks.list()]),
        "the hub's webhook": b"\n".join(told).decode(),
        "the command line": "".join(
            shown(walk, *command)
            for command in (
                ("deliveries", "list", "--json"),
                ("doctor",),
                ("agencies", "--json"),
                ("webhooks", "list"),
                ("metrics",),
            )
        ),
        "the backup": backed_up(walk, folder / "backup"),
        "the metrics": walk.call("GET", "/metrics", key=TOKEN).text,
        "the spans": collector.raw.decode("utf-8", "replace"),
        **(told_by_the_server(server) if server else {}),
    }
    assert 'outcome="uncertain"} 1.0' in everywhere["the metrics"]
    assert "gateway_attempts_total" in everywhere["the command line"]
    assert all(word in everywhere["the spans"] for word in ("HTTP 503", "consent-missing", answer))
    for place, text in everywhere.items():
        found = [pointer for pointer, value in {**secrets, "recorder": "CanaryRecorder"}.items() if value in text]
        assert not found, f"{place} holds {found}"
        around = [text[max(0, at.start() - 300) : at.end() + 50] for at in re.finditer(CANARIES[0], text)]
        assert not around, f"{place} holds something like a canary: {around}"
    everywhere_else = json.dumps([simulator.received for simulator in walk.agencies.simulators.values()], default=str)
    assert not [mark for mark in ("CanaryState", "CanaryBaggage") if mark in everywhere_else]


def check_agency(simulator: Simulator, referral: dict[str, Any], secrets: dict[str, str], may_have: set[str]) -> None:
    """Exactly the texts it may have, and no others, in anything it ever received."""
    [case] = simulator.cases.values()
    received = json.dumps([case.document, simulator.received], ensure_ascii=False, default=str)
    for pointer, value in secrets.items():
        agency_own = pointer.startswith("/requests/")
        if value in may_have:
            assert value in received, f"{simulator.name} lacks {pointer}"
        elif not agency_own or value.startswith("CanaryAsk"):
            assert value not in received, f"{simulator.name} got {pointer}"


def spoilt_documents(referral: dict[str, Any], agreed: str, walk: Gateway) -> list[dict[str, Any]]:
    """Documents that are refused, for every reason there is."""
    whole = {**referral, "consent": agreed}
    little = walk.consent(consent({HOUSING: ["request"]}, subject=referral["subject"]))
    return [
        {**whole, "urgency": "CanaryUrgency", "person": {**whole["person"], "chi_number": "CanaryNumber"}},
        {**whole, "person": {**whole["person"], "birth_date": "CanaryDate"}},
        {**whole, "consent": little},
        {**whole, "person": {}},
        {**whole, "consent": "con_00000000000000000"},
        {**whole, "subject": "CANARYSUBJECT"},
    ]


def strange_requests(walk: Gateway) -> list[str]:
    """Answers to what has her words in its address, its headers, its key; bodies that are no JSON."""
    told = [
        walk.call("GET", f"/v1/referrals/{IN_ADDRESS}?subject=CanaryQuery", headers={"User-Agent": "CanaryAgent"}),
        walk.call("GET", "/CanaryNowhere"),
        walk.call("GET", "/v1/referrals", key="CanaryKey"),
        walk.call("POST", "/v1/referrals", data=b'{"CanaryName": CanaryValue', headers={"Content-Type": "application/json"}),
        walk.call("POST", f"/v1/callbacks/{HOUSING}", data=b'{"text": "CanarySaid"}', headers={"webhook-id": "CanaryId"}),
        walk.call("PATCH", "/console/CanaryPage", data={"q": "CanaryForm"}),
    ]  # fmt: skip
    assert all(400 <= answer.status_code < 500 for answer in told)
    return [f"{answer.headers}{answer.text}" for answer in told]


def shown(walk: Gateway, *arguments: str) -> str:
    from gateway.embedded.supervisor import gateway

    done = subprocess.run(
        gateway(*arguments), env=walk.environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def test_the_canary_would_be_found(tmp_path: Path) -> None:
    referral = document()
    key, _ = Vault("A" * 43 + "=").new_key("ref_1")
    sealed = key.seal(json.dumps(referral).encode(), "here")
    values = secrets_of(referral).values()
    assert all(value in json.dumps(referral, ensure_ascii=False) for value in values)
    assert not any(value.encode() in sealed for value in values)
