"""The database takes no state or status that the lifecycle tables do not know."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = depends_on = None

UP = """
ALTER TABLE deliveries
    ADD CONSTRAINT deliveries_state CHECK (state IN (
        'held', 'waiting', 'queued', 'sending', 'asking', 'task', 'delivered', 'refused', 'dead', 'withdrawn')),
    ADD CONSTRAINT deliveries_status CHECK (status IN (
        'received', 'sent', 'accepted', 'declined', 'appointment-offered', 'no-show', 'in-progress', 'on-hold',
        'lost-contact', 'completed', 'cancellation-requested', 'withdrawn'));
"""

DOWN = """
ALTER TABLE deliveries DROP CONSTRAINT deliveries_state, DROP CONSTRAINT deliveries_status;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
