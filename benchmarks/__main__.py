"""``make bench``: accepting, delivering, latency, memory and backlog, each beside what it is compared with, in one run."""

import http.client
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import requests
import zeep
import zeep.wsse.utils
from gateway_sdk import Adapter, Referral, RestRequest, SoapRequest
from rich.console import Console
from rich.table import Table
from zeep.wsse.username import UsernameToken

from gateway.embedded.supervisor import gateway, wait_ready
from gateway.policy import minimise
from gateway.store import deliveries
from gateway.store.deliveries import Window
from samples.demo import CREDENTIALS, free_port
from tests.support import HOUSING, SOCIAL_SECURITY, consent, referral

from . import servers
from .servers import Bench, process

HUB = servers.HUB.hub

THREADS = 16
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
DELIVERIES = int(os.environ.get("BENCH_DELIVERIES", "800"))
BACKLOG = int(os.environ.get("BENCH_BACKLOG", "100000"))
UVICORN = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "error"]
HAND_WORKER = [
    sys.executable, "-m", "celery", "-A", "benchmarks.by_hand:tasks", "worker", "-P", "threads",
    "-c", str(THREADS), "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip
DELIVERED = "SELECT count(*) AS n, min(at) AS first, max(at) AS last FROM attempts WHERE outcome = 'delivered'"
SENT_BY_HAND = "SELECT count(*) AS n, min(sent_at) AS first, max(sent_at) AS last FROM by_hand WHERE state = 'sent'"


# (a) Accepting


def rate(port: int, path: str, headers: Mapping[str, str], bodies: Sequence[bytes]) -> float:
    """Answers a second, from eight connections, for some seconds."""

    def pull(caller: int) -> int:
        connection, done = http.client.HTTPConnection("127.0.0.1", port), 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            body = bodies[(done * 8 + caller) % len(bodies)]
            connection.request("POST", path, body, {**headers, "Idempotency-Key": uuid4().hex})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            done += 1
        connection.close()
        return done

    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        return sum(pool.map(pull, range(8))) / (time.monotonic() - started)


def accepts(bench: Bench) -> dict[str, float]:
    bodies = bench.bodies(200)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.key}"}
    found = {}
    port = free_port()
    with process([*UVICORN, "benchmarks.bare:app", "--port", str(port)], bench.environment):
        wait_ready(f"http://127.0.0.1:{port}/openapi.json", 20)
        found["the same FastAPI, parses only"] = rate(port, "/parse", headers, bodies)
        found["the same FastAPI, commits one row"] = rate(port, "/row", headers, bodies)
    if servers.broker_answers():
        with by_hand(bench) as (environment, _):
            port = free_port()
            with process([*UVICORN, "benchmarks.by_hand:app", "--port", str(port)], environment):
                wait_ready(f"http://127.0.0.1:{port}/openapi.json", 20)
                found["written by hand"] = rate(port, "/referrals", headers, bodies)
    with web(bench) as port:
        found["the gateway"] = rate(port, "/v1/referrals", headers, bodies)
    return found


@contextmanager
def web(bench: Bench) -> Iterator[int]:
    port = free_port()
    with process(gateway("serve"), {**bench.environment, "GATEWAY_PORT": str(port)}):
        wait_ready(f"http://127.0.0.1:{port}/readyz", 20)
        yield port


@contextmanager
def by_hand(bench: Bench) -> Iterator[tuple[dict[str, str], Any]]:
    """The environment of the pipeline written by hand, and its module, with a table and a queue of its own."""
    environment = {
        **bench.environment, "BY_HAND_BROKER": servers.BROKER, "BY_HAND_QUEUE": f"by-hand-{uuid4().hex[:8]}",
        "BY_HAND_AGENCY": f"{bench.addresses[HOUSING]}/referrals", "BY_HAND_TOKEN": bench.token(),
    }  # fmt: skip
    os.environ.update(environment)
    sys.modules.pop("benchmarks.by_hand", None)
    module = importlib.import_module("benchmarks.by_hand")  # anew: it reads the environment when it is imported

    module.Base.metadata.create_all(module.ENGINE)
    try:
        yield environment, module
    finally:
        module.Base.metadata.drop_all(module.ENGINE)
        module.ENGINE.dispose()
        with module.tasks.connection() as connection:
            connection.default_channel.queue_delete(environment["BY_HAND_QUEUE"])
        module.tasks.close()


# (b) Delivering


def in_threads(send: Callable[[int], Any]) -> float:
    """Calls a second of *send*, on as many threads as the gateway has."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, range(-THREADS, 0)))
        started = time.monotonic()
        list(pool.map(send, range(DELIVERIES)))
        return DELIVERIES / (time.monotonic() - started)


def message(adapter: Adapter, agency: str, number: int) -> Any:
    """What the gateway would send, made without it."""
    whole = referral("con_00000000000000000", agency)
    view = minimise.keep(whole, agency, adapter.needs, frozenset(consent()["permits"][0]["categories"]))
    key = f"del_{number % 10**17:017d}"
    return adapter.translate(Referral(key, datetime.now(UTC), view, adapter.needs))


def bare_rest(bench: Bench) -> float:
    adapter, base, token = bench.agencies[HOUSING].adapter, bench.addresses[HOUSING], bench.token()
    sessions = [requests.Session() for _ in range(THREADS)]

    def send(number: int) -> None:
        request = message(adapter, HOUSING, uuid4().int)
        assert isinstance(request, RestRequest)
        headers = {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json",
            "Idempotency-Key": str(request.idempotency_key),
        }  # fmt: skip
        answer = sessions[number % THREADS].post(base + request.path, data=request.body(), headers=headers, timeout=10)
        assert answer.status_code == 201, answer.status_code

    return in_threads(send)


def bare_soap(bench: Bench) -> float:
    adapter, credentials = bench.agencies[SOCIAL_SECURITY].adapter, CREDENTIALS["social_security"]

    class Fresh(UsernameToken):  # type: ignore[misc]  # zeep has no types; it keeps nonce and time of the first call
        def apply(self, envelope: Any, headers: Any) -> Any:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            stamp = zeep.wsse.utils.WSU.Timestamp(
                zeep.wsse.utils.WSU("Created", now), zeep.wsse.utils.WSU("Expires", now)
            )
            token = UsernameToken(
                credentials["username"], credentials["password"], use_digest=True, timestamp_token=stamp
            )
            return token.apply(envelope, headers)

    client = zeep.Client(str(adapter.wsdl), wsse=Fresh("", ""))
    name = "{https://referral-gateway.example/social-security/v1}ReferralsSoap11"
    port = client.create_service(name, bench.addresses[SOCIAL_SECURITY])

    def send(number: int) -> None:
        request = message(adapter, SOCIAL_SECURITY, uuid4().int)
        assert isinstance(request, SoapRequest)
        port[request.operation](**request.message)

    return in_threads(send)


def hand_delivers(bench: Bench) -> float:
    """Delivered a second by the pipeline written by hand, from a queue that waits for its worker."""
    with by_hand(bench) as (environment, module):
        bodies = bench.bodies(1)
        with module.Session(module.ENGINE) as session:
            rows = [module.Row(id=f"del_{n:017d}", document=json.loads(bodies[0])) for n in range(DELIVERIES)]
            session.add_all(rows)
            session.commit()
            for number in range(DELIVERIES):
                module.send.delay(f"del_{number:017d}")
        with process(HAND_WORKER, environment):
            return _rate_of(bench, SENT_BY_HAND, DELIVERIES)


def _rate_of(bench: Bench, sql: Any, number: int, patience: float = 120) -> float:
    """How many a second, from the first to the last of *number*. *sql* gives ``n``, ``first`` and ``last``."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with bench.store.begin() as tx:
            row = tx.one(sql)
        assert row is not None
        if row["n"] >= number:
            return number / float((row["last"] - row["first"]).total_seconds())
        time.sleep(0.05)
    raise SystemExit("the benchmark does not come to an end")


def delivers(bench: Bench, agency: str, number: int = DELIVERIES) -> float:
    """Delivered a second by one delivery process, from a queue that waits for it."""
    bench.clear()
    bench.fill(number, agency)
    with process(gateway("worker"), bench.environment):
        return _rate_of(bench, DELIVERED, number)


# Both at once: the hubs push as fast as they are answered, while what they pushed is delivered


def hand_at_once(bench: Bench) -> tuple[float, float]:
    with by_hand(bench) as (environment, _):
        port = free_port()
        command = [*UVICORN, "benchmarks.by_hand:app", "--port", str(port)]
        with process(command, environment), process(HAND_WORKER, environment):
            wait_ready(f"http://127.0.0.1:{port}/openapi.json", 20)
            return _at_once(bench, port, "/referrals", SENT_BY_HAND)


def at_once(bench: Bench) -> tuple[float, float]:
    """As in production: one delivery process, and RabbitMQ between it and its clock."""
    bench.clear()
    name = f"bench-{uuid4().hex[:8]}"
    environment = {**bench.environment, "GATEWAY_BROKER_URL": servers.BROKER, "GATEWAY_BROKER_QUEUE": name}
    with servers.queue(name), web(bench) as port, process(gateway("worker"), environment):
        return _at_once(bench, port, "/v1/referrals", DELIVERED)


def _at_once(bench: Bench, port: int, path: str, sql: Any) -> tuple[float, float]:
    """Accepted and delivered a second in the same seconds."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.key}"}
    bodies = bench.bodies(200)
    time.sleep(4)  # Celery's start
    before = _count(bench, sql)
    started = time.monotonic()
    accepted = rate(port, path, headers, bodies)
    return accepted, (_count(bench, sql) - before) / (time.monotonic() - started)


def _count(bench: Bench, sql: Any) -> int:
    with bench.store.begin() as tx:
        row = tx.one(sql)
    assert row is not None
    return int(row["n"])


# (c) From 202 to the agency's 201, and (d) memory


def latency(bench: Bench, a_second: float) -> dict[str, float]:
    """Milliseconds from the commit of a referral to the agency's answer to it, at *a_second*."""
    bench.clear()
    number = int(a_second * SECONDS * 2)
    bodies = bench.bodies(min(number, 500))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.key}"}
    turns = count()
    with web(bench) as port, process(gateway("worker"), bench.environment):
        time.sleep(3)  # Celery's start
        started = time.monotonic()

        def push(_: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            while (turn := next(turns)) < number:
                time.sleep(max(0.0, started + turn / a_second - time.monotonic()))
                body = bodies[turn % len(bodies)]
                connection.request("POST", "/v1/referrals", body, {**headers, "Idempotency-Key": uuid4().hex})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 202, answer.status
            connection.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(push, range(8)))
        _rate_of(bench, DELIVERED, number)
    with bench.store.begin() as tx:
        row = tx.one(
            "SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP "
            "(ORDER BY extract(epoch FROM attempts.at - deliveries.created_at)) AS seconds "
            "FROM attempts JOIN deliveries ON deliveries.id = attempts.delivery"
        )
    assert row is not None
    return {"median": row["seconds"][0] * 1000, "99th percentile": row["seconds"][1] * 1000}


def memory(root: int) -> float:
    """MiB of *root* and all its descendants: proportional set size, so that shared pages count once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    todo, total = [root], 0
    while todo:
        one = todo.pop()
        todo += children.get(one, [])
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def memories(bench: Bench) -> dict[str, float]:
    """MiB of the whole embedded default: supervisor, web process, delivery process, PostgreSQL."""
    folder, port = bench.folder / "up", free_port()
    environment = {**os.environ, "GATEWAY_DATA_FOLDER": str(folder), "GATEWAY_PORT": str(port)}
    with process(gateway("up"), environment) as running:
        wait_ready(f"http://127.0.0.1:{port}/readyz", 60)
        time.sleep(4)
        found = {"at rest": memory(running.pid)}
        adding = subprocess.run([*gateway("hubs"), "add", HUB], env=environment, capture_output=True, text=True)
        key = adding.stdout.strip()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        base = f"http://127.0.0.1:{port}"
        agreed = requests.post(f"{base}/v1/consents", json=consent(), headers=headers, timeout=5).json()["id"]
        rate(port, "/v1/referrals", headers, [json.dumps(referral(agreed, HOUSING)).encode()])
        found["under load"] = memory(running.pid)
    return found


# Backlog


def claims(bench: Bench, waiting: int, agencies: int = 20) -> float:
    """Claims a second when *waiting* deliveries are due over *agencies*, one of which never answers."""
    bench.clear()
    with bench.store.begin() as tx:
        tx.run("SET LOCAL session_replication_role = replica")  # rows without their referrals
        tx.run(
            "INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, state, status, due_at) "
            "SELECT 'del_' || lpad(n::text, 17, '0'), 'ref', 'glasgow-hub', 'agency-' || n %% %(agencies)s, 'housing', 'referral', "
            "'waiting', 'received', now() - make_interval(secs => %(waiting)s - n) FROM generate_series(1, %(waiting)s) AS n",
            {"waiting": waiting, "agencies": agencies},
        )
        tx.run("UPDATE deliveries SET state = 'sending', token = gen_random_uuid(), due_at = now() + interval '1 h' "
               "WHERE id IN (SELECT id FROM deliveries WHERE agency = 'agency-0' LIMIT 8)")  # fmt: skip
    with psycopg.connect(bench.server.url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE deliveries")
    windows = {f"agency-{n}": Window(8) for n in range(agencies)}
    done, started = 0, time.monotonic()
    while time.monotonic() < started + SECONDS and done < waiting * 0.9:
        with bench.store.begin() as tx:
            claimed = deliveries.claim_due(tx, windows, most=200, lease=timedelta(hours=1))
        assert claimed or done > waiting * 0.8
        done += len(claimed)
        with bench.store.begin() as tx:  # they are delivered
            tx.run(
                "UPDATE deliveries SET state = 'delivered', token = NULL, due_at = NULL WHERE id = ANY(%(ids)s)",
                {"ids": [one.id for one in claimed]},
            )
    return done / (time.monotonic() - started)


# The tables


def table(title: str, found: Mapping[str, float], against: str) -> None:
    shown = Table(title=title, title_justify="left")
    for column in ("", "a second", "the gateway against it"):
        shown.add_column(column, justify="left" if not column else "right")
    for name, value in found.items():
        shown.add_row(name, f"{value:,.0f}", "" if name == against else f"{found[against] / value:.2f}")
    Console(width=90).print(shown)


def figures(title: str, unit: str, found: Mapping[str, float]) -> None:
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    shown.add_column(unit, justify="right")
    for name, value in found.items():
        shown.add_row(name, f"{value:,.0f}")
    Console(width=90).print(shown)


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )
    with servers.running() as bench:
        with psycopg.connect(bench.server.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        print(
            f"PostgreSQL {row[0] if row else '?'}, fsync on; servers, clients and simulators share these cores, "
            "so ratios mean more than figures"
        )
        hand = servers.broker_answers()
        if not hand:
            print("RabbitMQ does not answer (GATEWAY_TEST_BROKER_URL): without the pipeline written by hand")
        table("Accepted: validated, consent-checked, sealed, audited, committed", accepts(bench), "the gateway")
        found = {f"bare requests, {THREADS} threads": bare_rest(bench)}
        if hand:
            found["written by hand"] = hand_delivers(bench)
        found["the gateway"] = fast = delivers(bench, HOUSING)
        title = "Delivered by {}: claimed, consent checked again, opened, minimised, sent, settled, audited"
        table(title.format("REST"), found, "the gateway")
        found = {f"bare zeep, {THREADS} threads": bare_soap(bench), "the gateway": delivers(bench, SOCIAL_SECURITY)}
        table(title.format("SOAP"), found, "the gateway")
        if hand:
            by_them, by_us = hand_at_once(bench), at_once(bench)
            for place, what in enumerate(("Accepted", "Delivered by REST")):
                found = {"written by hand": by_them[place], "the gateway": by_us[place]}
                table(f"{what}, while both go on at once over RabbitMQ", found, "the gateway")
        half = fast / 4  # accepting shares the cores with delivering
        figures(f"From 202 to the agency's 201, at {half:,.0f} a second", "ms", latency(bench, half))
        figures("Memory of the whole embedded default", "MiB", memories(bench))
        figures(
            "Claimed and settled in batches: 20 agencies, one of them never answers", "a second",
            {f"{waiting:,} due": claims(bench, waiting) for waiting in (1000, BACKLOG)},
        )  # fmt: skip


if __name__ == "__main__":
    main()
