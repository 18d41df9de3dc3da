"""What an agency said that contradicts what is recorded."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = depends_on = None

UP = """
-- status, reason: what was said; or reference: another one than it gave before, sealed under the referral's data key.
CREATE TABLE contradictions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery text NOT NULL REFERENCES deliveries,
    source text NOT NULL CHECK (source IN ('callback', 'poll', 'by-hand')),
    status text,
    reason text,
    reference bytea,
    reference_index bytea,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz
);
-- The same said again while it is open is the same contradiction.
CREATE UNIQUE INDEX contradictions_open
    ON contradictions (delivery, coalesce(status, ''), coalesce(reason, ''), coalesce(reference_index, ''))
    WHERE settled_at IS NULL;
ALTER TABLE events ADD COLUMN source text;
"""

DOWN = """
ALTER TABLE events DROP COLUMN source;
DROP TABLE contradictions;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
