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
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_checkpoints_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    EXECUTE FUNCTION audit_is_append_only();
"""

DOWN = """
DROP TRIGGER audit_not_emptied ON audit;
DROP TABLE audit_checkpoints;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
