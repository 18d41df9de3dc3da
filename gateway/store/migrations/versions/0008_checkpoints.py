"""Signed checkpoints of the audit."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = depends_on = None

UP = """
CREATE TABLE audit_checkpoints (
    position bigint PRIMARY KEY,
    link bytea NOT NULL,
    at timestamptz NOT NULL,
    signature bytea NOT NULL
);
"""

DOWN = """
DROP TABLE audit_checkpoints;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
