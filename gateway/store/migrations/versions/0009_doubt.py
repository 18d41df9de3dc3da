"""A doubt that outlives a person's decision to send again."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = depends_on = None

UP = """
-- doubted: a request may have arrived, and nobody has said since that it did not.
ALTER TABLE deliveries ADD COLUMN doubted boolean NOT NULL DEFAULT false;
UPDATE deliveries SET doubted = true WHERE state = 'asking';
"""

DOWN = """
ALTER TABLE deliveries DROP COLUMN doubted;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
