"""Accepted a second: validated, consent-checked, sealed, audited, committed."""

from gateway.embedded.supervisor import wait_ready
from tests.running import free_port

from . import servers
from .load import UVICORN, by_hand, rate, web
from .servers import Bench, process


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
