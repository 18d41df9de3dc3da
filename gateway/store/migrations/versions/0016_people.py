"""People with roles in the place of administrators; sessions that idle out; known browsers; throttled guessing."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = depends_on = None

UP = """
-- Somebody who may use the console. name: a pseudonym to log in with. Local ones have a password and a second factor
-- (totp, sealed; totp_step: the last time step whose code was taken); others an identity at an OpenID provider.
-- one_time_until: the password was given by somebody else, and only lets her choose one of her own.
CREATE TABLE people (
    name text PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('delivery-admin', 'caseworker', 'hub-manager', 'auditor', 'adapter-author')),
    hub text REFERENCES hubs,
    password_hash text,
    one_time_until timestamptz,
    totp bytea,
    totp_confirmed_at timestamptz,
    totp_step bigint,
    issuer text,
    subject text,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    UNIQUE (issuer, subject),
    CHECK ((hub IS NOT NULL) = (role IN ('caseworker', 'hub-manager')))
);
INSERT INTO people (name, role, password_hash, created_at) SELECT name, 'delivery-admin', password_hash, created_at FROM admins;
DROP TABLE sessions, admins;

CREATE TABLE sessions (
    fingerprint bytea PRIMARY KEY,
    person text NOT NULL REFERENCES people ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);

-- Browsers that somebody logged in from before.
CREATE TABLE browsers (
    person text NOT NULL REFERENCES people ON DELETE CASCADE,
    fingerprint bytea NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person, fingerprint)
);

-- key: a keyed hash of what is counted, an account at an address for example.
CREATE TABLE throttles (
    key bytea PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,
    last_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX throttles_last ON throttles (last_at);

-- Personal data opened by a person: what is unusual is counted here.
CREATE INDEX audit_opened ON audit (at, actor) WHERE action IN ('case.open', 'BREAK-GLASS', 'BREAK-GLASS.open');
"""

DOWN = """
DROP INDEX audit_opened;
DROP TABLE throttles, browsers, sessions;
DELETE FROM data_keys WHERE record LIKE 'person:%';
CREATE TABLE admins (
    name text PRIMARY KEY,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO admins (name, password_hash, created_at)
    SELECT name, password_hash, created_at FROM people WHERE role = 'delivery-admin' AND password_hash IS NOT NULL;
DROP TABLE people;
CREATE TABLE sessions (
    fingerprint bytea PRIMARY KEY,
    admin text NOT NULL REFERENCES admins ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
