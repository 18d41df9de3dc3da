"""How each agency is doing: breakers and pauses."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = depends_on = None

UP = """
CREATE TABLE agency_health (
    agency text PRIMARY KEY,
    opened_at timestamptz,
    probe_at timestamptz,
    closed_at timestamptz,
    paused_at timestamptz
);
ALTER TABLE attempts ADD COLUMN agency text;
UPDATE attempts SET agency = deliveries.agency FROM deliveries WHERE deliveries.id = attempts.delivery;
ALTER TABLE attempts ALTER COLUMN agency SET NOT NULL;
CREATE INDEX attempts_agency ON attempts (agency, at) INCLUDE (outcome);
"""

DOWN = """
DROP TABLE agency_health;
ALTER TABLE attempts DROP COLUMN agency;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
