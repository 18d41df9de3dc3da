"""Messages between a hub and an agency about a referral."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = depends_on = None

UP = """
-- delivery: of the referral to the agency that it is to or from; carried_by: the delivery that takes a hub's message there.
-- content: sealed under the referral's data key. key: the hub's Idempotency-Key.
CREATE TABLE messages (
    id text PRIMARY KEY,
    referral text NOT NULL REFERENCES referrals,
    delivery text NOT NULL REFERENCES deliveries,
    hub text NOT NULL,
    sender text NOT NULL CHECK (sender IN ('hub', 'agency')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    content bytea NOT NULL,
    carried_by text UNIQUE REFERENCES deliveries,
    key text,
    UNIQUE (hub, key)
);
CREATE INDEX messages_referral ON messages (referral, at, id);
ALTER TABLE events ADD COLUMN message text;
"""

DOWN = """
DELETE FROM attempts USING deliveries WHERE deliveries.id = attempts.delivery AND deliveries.kind = 'message';
DELETE FROM events WHERE message IS NOT NULL;
ALTER TABLE events DROP COLUMN message;
DROP TABLE messages;
DELETE FROM deliveries WHERE kind = 'message';
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
