"""What operators watch, counted so that looking costs little however much the tables hold.

Attempts and accepted referrals are folded into running totals by the clock; a reader adds what came
since. Events have positions without gaps. An attempt's id is given when it is written and seen when
it is committed, so that a lower one may follow a higher one: an id counts as ready once everybody who
was writing when it was first seen has ended. Totals never fall, also when what was counted is deleted.
"""

from typing import Any

from gateway.policy.lifecycle import UNDELIVERED

from .session import Tx

LOCK = 7_203_004
WEBHOOKS = "hub webhooks"  # all of them together: no agency can be called so
NAMED = f"CASE WHEN starts_with(agency, 'whe_') THEN '{WEBHOOKS}' ELSE agency END"
MOST = 20_000  # rows folded at once, so that an old database is caught up with in small steps
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the histograms' buckets, in seconds; above them is infinity."""

# Whoever had an id up to the last one in view, and has not committed, is still listed among the writers afterwards.
LOOK = """
UPDATE counted SET ready = seen, seen = last.id, writers = writing.now
FROM (SELECT coalesce(max(id), 0) AS id FROM attempts) AS last, (
    SELECT coalesce(array_agg(virtualtransaction), '{}') AS now FROM pg_locks
    WHERE relation = 'attempts'::regclass AND mode = 'RowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS writing
WHERE counted.ready < last.id AND NOT counted.writers && writing.now
"""

# Rows of totals from what lies within part: attempts above, upto; events after, until.
MEASURED = f"""
SELECT name, agency, kind, outcome, le, count(*) AS count, sum(micros)::bigint AS micros FROM (
    SELECT measured.name, {NAMED} AS agency, measured.kind, measured.outcome, round(measured.seconds * 1e6)::bigint AS micros,
        (SELECT coalesce(min(bound), 'infinity') FROM unnest(%(bounds)s::float8[]) AS bound WHERE bound >= measured.seconds) AS le
    FROM attempts, LATERAL (VALUES ('attempt', attempts.kind, attempts.outcome, attempts.seconds), ('claim', '', '', waited))
        AS measured(name, kind, outcome, seconds)
    WHERE id > (SELECT above FROM part) AND id <= (SELECT upto FROM part) AND measured.seconds IS NOT NULL
    UNION ALL
    SELECT 'referral', '', '', '', 0, 'infinity' FROM events
    WHERE position > (SELECT after FROM part) AND position <= (SELECT until FROM part) AND type = 'referral.accepted'
) AS each GROUP BY name, agency, kind, outcome, le
"""  # noqa: S608  # of the constant above

FOLD = f"""
WITH part AS (
    SELECT attempts AS above, least(ready, attempts + %(most)s) AS upto, events AS after,
        least((SELECT coalesce(max(position), 0) FROM events), events + %(most)s) AS until
    FROM counted
), added AS (
    INSERT INTO totals {MEASURED}
    ON CONFLICT (name, agency, kind, outcome, le)
    DO UPDATE SET count = totals.count + excluded.count, micros = totals.micros + excluded.micros
)
UPDATE counted SET attempts = part.upto, events = part.until FROM part WHERE above < upto OR after < until
"""  # noqa: S608  # of the constants above

TOTALS = f"""
WITH part AS (
    SELECT attempts AS above, (SELECT max(id) FROM attempts) AS upto, events AS after, (SELECT max(position) FROM events) AS until
    FROM counted
)
SELECT name, agency, kind, outcome, le, sum(count)::bigint AS count, sum(micros)::bigint AS micros FROM (
    SELECT * FROM totals
    UNION ALL {MEASURED}
    UNION ALL
    SELECT 'referral', '', '', '', 'infinity', count(*), 0 FROM events WHERE position IS NULL AND type = 'referral.accepted'
) AS every GROUP BY name, agency, kind, outcome, le
"""  # noqa: S608  # of the constants above

# Each half finds its rows by an index of its own.
BACKLOG = f"""
SELECT {NAMED} AS agency, state, count(*) AS count, count(*) FILTER (WHERE due_at IS NULL) AS undecided,
    extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age
FROM (
    SELECT agency, state, due_at, created_at FROM deliveries WHERE state = ANY(%(states)s)
    UNION ALL SELECT agency, state, due_at, created_at FROM deliveries WHERE state = 'dead'
) AS unsettled GROUP BY 1, state
"""  # noqa: S608  # of the constant above

UNFINISHED = """
SELECT (SELECT count(*) FROM audit WHERE position IS NULL) AS audit,
    (SELECT count(*) FROM events WHERE position IS NULL) AS events
"""


def fold(tx: Tx) -> None:
    """Count what is new and settled into the totals. One at a time, by lock; costs no round trip of its own."""
    tx.put("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
    tx.put(LOOK)
    tx.put(FOLD, {"bounds": list(BOUNDS), "most": MOST})


def totals(tx: Tx) -> list[dict[str, Any]]:
    """``{name, agency, kind, outcome, le, count, micros}``: everything that ever was.

    *name*: ``referral`` (accepted), ``attempt`` (*micros*: what it took) or ``claim`` (what it waited from due to
    claimed). *count* is of the bucket up to *le* seconds alone.
    """
    return tx.all(TOTALS, {"bounds": list(BOUNDS)})


def backlog(tx: Tx) -> list[dict[str, Any]]:
    """``{agency, state, count, undecided, age}`` of what is not settled, and of what is dead.

    *undecided*: of them have no next time. *age*: of the oldest, in seconds since it was queued.
    """
    return tx.all(BACKLOG, {"states": [str(state) for state in UNDELIVERED]})


def unfinished(tx: Tx) -> dict[str, int]:
    """``{audit, events}``: how many rows of the audit are not linked yet, and how many events have no position."""
    row = tx.one(UNFINISHED)
    assert row is not None
    return row
