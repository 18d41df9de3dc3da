"""Claiming, when much waits."""

import time
from datetime import timedelta

import psycopg

from gateway.store import deliveries
from gateway.store.deliveries import Window

from .load import SECONDS
from .servers import Bench


def claims(bench: Bench, waiting: int, agencies: int = 20) -> float:
    """Claims a second when *waiting* deliveries are due over *agencies*, one of which never answers."""
    bench.clear()
    with bench.store.begin() as tx:
        tx.run("SET LOCAL ROLE NONE")  # as who may
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
