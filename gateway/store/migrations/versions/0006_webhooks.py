"""Hubs' webhooks, and positions of events that are never given twice."""

from alembic import op

revision = "0006"
down_revision = "0002"
branch_labels = depends_on = None

UP = """
-- From a sequence rather than one more than the highest, so that removing old events gives no position again.
CREATE SEQUENCE event_positions;
SELECT setval('event_positions', coalesce(max(position), 0) + 1, false) FROM events;
"""

DOWN = """
DROP SEQUENCE event_positions;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
