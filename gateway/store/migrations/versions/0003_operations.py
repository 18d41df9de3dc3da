"""What waits for a person, oldest first; troubles, and the alerts that tell of them."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None

UP = """
CREATE INDEX deliveries_ended ON deliveries (updated_at, id) WHERE state IN ('dead', 'refused', 'asking');

-- What is wrong with an agency: one row from its beginning to its end, at most one of a kind at a time.
CREATE TABLE troubles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agency text NOT NULL,
    kind text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX troubles_open ON troubles (agency, kind) WHERE ended_at IS NULL;

-- The outbox: what people are told of a trouble, on each channel. due_at: when it is sent next; null when it was, or never will be.
CREATE TABLE alerts (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL,
    trouble bigint NOT NULL REFERENCES troubles,
    channel text NOT NULL,
    phase text NOT NULL,
    count integer,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz DEFAULT clock_timestamp(),
    failures integer NOT NULL DEFAULT 0,
    sent_at timestamptz
);
CREATE INDEX alerts_due ON alerts (due_at) WHERE due_at IS NOT NULL;
"""

DOWN = """
DROP TABLE alerts, troubles;
DROP INDEX deliveries_ended;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
