"""What operators watch: running totals, how long a delivery waited for its claim, and the trace it belongs to."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = depends_on = None

UP = """
-- What was counted so far. micros: the sum of what was measured, in whole microseconds, so that it does not depend
-- on the order of adding. le: the upper bound of a histogram's bucket, in seconds.
CREATE TABLE totals (
    name text NOT NULL,
    agency text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    le double precision NOT NULL,
    count bigint NOT NULL,
    micros bigint NOT NULL,
    PRIMARY KEY (name, agency, kind, outcome, le)
);
-- How far: attempts by id, events by position. ready: attempts up to this id are all committed or gone.
-- seen, writers: the last id that was seen, and who was writing then.
CREATE TABLE counted (
    attempts bigint NOT NULL DEFAULT 0,
    ready bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    writers text[] NOT NULL DEFAULT '{}',
    events bigint NOT NULL DEFAULT 0
);
INSERT INTO counted DEFAULT VALUES;

ALTER TABLE deliveries ADD COLUMN waited double precision;  -- seconds from due to claimed, the last time
ALTER TABLE attempts ADD COLUMN waited double precision;
CREATE INDEX deliveries_dead ON deliveries (agency, created_at) WHERE state = 'dead';
"""

DOWN = """
DROP INDEX deliveries_dead;
ALTER TABLE attempts DROP COLUMN waited;
ALTER TABLE deliveries DROP COLUMN waited;
DROP TABLE counted, totals;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
