"""The trace that a delivery belongs to (W3C Trace Context): that of the span which accepted it."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = depends_on = None

UP = """
ALTER TABLE deliveries ADD COLUMN traceparent text CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$');
"""

DOWN = """
ALTER TABLE deliveries DROP COLUMN traceparent;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
