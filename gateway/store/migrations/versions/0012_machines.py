"""What a machine that calls may do, until when, and when it last did: scopes, rotation, OAuth clients."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = depends_on = None

# Keys from before could do everything. A key that replaces another is of its line: to the gateway the same worker.
UP = """
ALTER TABLE api_keys
    ADD COLUMN line text,
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{approvals,by-hand,consents:read,consents:write,directory:read,events:read,referrals:read,referrals:write,webhooks}',
    ADD COLUMN lasting interval,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz;
UPDATE api_keys SET line = id;
ALTER TABLE api_keys ALTER COLUMN line SET NOT NULL, ALTER COLUMN scopes DROP DEFAULT;

CREATE TABLE clients (
    id text PRIMARY KEY,
    hub text NOT NULL REFERENCES hubs,
    scopes text[] NOT NULL,
    bound boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE TABLE client_credentials (
    id text PRIMARY KEY,
    client text NOT NULL REFERENCES clients,
    fingerprint bytea,
    public_key jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    CHECK ((fingerprint IS NULL) <> (public_key IS NULL))
);
CREATE INDEX client_credentials_client ON client_credentials (client);

-- Assertions that were used and have not ended: each counts once.
CREATE TABLE client_assertions (
    client text NOT NULL REFERENCES clients,
    jti bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client, jti)
);
CREATE INDEX client_assertions_expires ON client_assertions (expires_at);
"""

DOWN = """
DROP TABLE client_assertions, client_credentials, clients;
ALTER TABLE api_keys DROP COLUMN line, DROP COLUMN scopes, DROP COLUMN lasting, DROP COLUMN expires_at,
    DROP COLUMN last_used_at;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
