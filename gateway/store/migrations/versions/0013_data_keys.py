"""Data keys in a table of their own, so that one can be destroyed, and kept apart from what it seals."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = depends_on = None

UP = """
-- record: the id of a consent, a referral or a webhook; or 'index', for the blind index. wrapped: begins with the
-- version of the master key that wraps it.
CREATE TABLE data_keys (
    record text PRIMARY KEY,
    wrapped bytea NOT NULL,
    version integer GENERATED ALWAYS AS (get_byte(wrapped, 0)) STORED
);
CREATE INDEX data_keys_version ON data_keys (version);
INSERT INTO data_keys (record, wrapped)
    SELECT id, data_key FROM consents WHERE data_key <> '' UNION ALL SELECT id, data_key FROM referrals WHERE data_key <> ''
    UNION ALL SELECT id, data_key FROM webhooks;
ALTER TABLE consents DROP COLUMN data_key;
ALTER TABLE referrals DROP COLUMN data_key;
ALTER TABLE webhooks DROP COLUMN data_key;

-- A secret before the present one is sealed for its own column now: those that still sign along end with this.
UPDATE webhooks SET old_secret = NULL, old_until = NULL;
"""

DOWN = """
ALTER TABLE consents ADD COLUMN data_key bytea NOT NULL DEFAULT '';
ALTER TABLE referrals ADD COLUMN data_key bytea NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN data_key bytea NOT NULL DEFAULT '';
UPDATE consents SET data_key = wrapped FROM data_keys WHERE record = id;
UPDATE referrals SET data_key = wrapped FROM data_keys WHERE record = id;
UPDATE webhooks SET data_key = wrapped, old_secret = NULL, old_until = NULL FROM data_keys WHERE record = id;
ALTER TABLE consents ALTER COLUMN data_key DROP DEFAULT;
ALTER TABLE referrals ALTER COLUMN data_key DROP DEFAULT;
ALTER TABLE webhooks ALTER COLUMN data_key DROP DEFAULT;
DROP TABLE data_keys;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
