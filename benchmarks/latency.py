"""From 202 to the agency's 201."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import uuid4

from gateway.embedded.supervisor import gateway

from .load import DELIVERED, SECONDS, THREADS, rate_of, web
from .servers import Bench, process


def latency(bench: Bench, a_second: float) -> dict[str, float]:
    """Milliseconds from the commit of a referral to the agency's answer to it, at *a_second*."""
    bench.clear()
    number = max(int(a_second * SECONDS * 2), THREADS)  # a slow machine, or a short run, has some too
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
        rate_of(bench, DELIVERED, number)
    with bench.store.begin() as tx:
        row = tx.one(
            "SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP "
            "(ORDER BY extract(epoch FROM attempts.at - deliveries.created_at)) AS seconds "
            "FROM attempts JOIN deliveries ON deliveries.id = attempts.delivery"
        )
    assert row is not None
    return {"median": row["seconds"][0] * 1000, "99th percentile": row["seconds"][1] * 1000}
