"""Consents have versions and other bases; referrals have later contact details; deliveries have followers."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = depends_on = None

UP = """
-- document: the present version, sealed. version: its number; every change counts.
-- look_at: when the next permit of it ends, and the clock must look.
-- basis: consent, or rarely another; recorded_with: the API key, which must not be the one that approves.
ALTER TABLE consents
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN look_at timestamptz,
    ADD COLUMN basis text NOT NULL DEFAULT 'consent',
    ADD COLUMN recorded_with text NOT NULL DEFAULT '',
    ADD COLUMN approved_at timestamptz;
CREATE INDEX consents_look ON consents (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX consents_basis ON consents (hub, created_at) WHERE basis <> 'consent';

CREATE TABLE consent_versions (
    consent text NOT NULL REFERENCES consents,
    version integer NOT NULL,
    kind text NOT NULL,
    document bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consent, version)
);
INSERT INTO consent_versions (consent, version, kind, document, recorded_at)
    SELECT id, 1, 'granted', document, created_at FROM consents;

-- What stood in a referral before a change of contact details, sealed under the referral's key.
CREATE TABLE former_contacts (
    referral text NOT NULL REFERENCES referrals,
    until timestamptz NOT NULL DEFAULT clock_timestamp(),
    contact bytea NOT NULL,
    PRIMARY KEY (referral, until)
);
CREATE INDEX referrals_subject ON referrals (hub, subject_index);

-- followers: how many withdrawals and updates were ever queued behind it.
ALTER TABLE deliveries ADD COLUMN followers integer NOT NULL DEFAULT 0;
UPDATE deliveries SET followers = 1 WHERE id IN (SELECT of FROM deliveries WHERE of IS NOT NULL);
"""

DOWN = """
ALTER TABLE deliveries DROP COLUMN followers;
DROP INDEX referrals_subject;
DROP TABLE former_contacts, consent_versions;
DROP INDEX consents_basis, consents_look;
ALTER TABLE consents DROP COLUMN version, DROP COLUMN look_at, DROP COLUMN basis, DROP COLUMN recorded_with,
    DROP COLUMN approved_at;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
