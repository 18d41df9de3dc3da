"""Hubs' webhooks, and positions of events that are never given twice."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = depends_on = None

UP = """
-- From a sequence rather than one more than the highest, so that removing old events gives no position again.
CREATE SEQUENCE event_positions;
SELECT setval('event_positions', coalesce(max(position), 0) + 1, false) FROM events;

-- position: up to which events were queued for it. secret, old_secret: sealed under data_key.
CREATE TABLE webhooks (
    id text PRIMARY KEY,
    hub text NOT NULL REFERENCES hubs,
    url text NOT NULL,
    types text[] NOT NULL,
    position bigint NOT NULL,
    data_key bytea NOT NULL,
    secret bytea NOT NULL,
    old_secret bytea,
    old_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz,
    delivered_at timestamptz,
    disabled_at timestamptz,
    disabled_code text
);
CREATE INDEX webhooks_hub ON webhooks (hub, created_at);

-- Events about a webhook, and their deliveries, are about no referral.
ALTER TABLE events ADD COLUMN webhook text, ALTER COLUMN referral DROP NOT NULL;
ALTER TABLE deliveries ADD COLUMN event bigint, ALTER COLUMN referral DROP NOT NULL;
CREATE UNIQUE INDEX deliveries_event ON deliveries (agency, event) WHERE event IS NOT NULL;
"""

DOWN = """
DELETE FROM attempts USING deliveries WHERE deliveries.id = attempts.delivery AND deliveries.event IS NOT NULL;
DELETE FROM deliveries WHERE event IS NOT NULL;
DELETE FROM events WHERE webhook IS NOT NULL;
ALTER TABLE deliveries DROP COLUMN event, ALTER COLUMN referral SET NOT NULL;
ALTER TABLE events DROP COLUMN webhook, ALTER COLUMN referral SET NOT NULL;
DROP TABLE webhooks;
DROP SEQUENCE event_positions;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
