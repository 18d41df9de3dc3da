"""The first tables."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None

UP = """
CREATE TABLE hubs (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE api_keys (
    id text PRIMARY KEY,
    hub text NOT NULL REFERENCES hubs,
    fingerprint bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE TABLE admins (
    name text PRIMARY KEY,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sessions (
    fingerprint bytea PRIMARY KEY,
    admin text NOT NULL REFERENCES admins ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

-- Personal data: only in the sealed columns (bytea). Each record has a data key, wrapped by the master key.
CREATE TABLE consents (
    id text PRIMARY KEY,
    hub text NOT NULL REFERENCES hubs,
    subject_index bytea NOT NULL,
    data_key bytea NOT NULL,
    document bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz
);
CREATE INDEX consents_subject ON consents (hub, subject_index);

CREATE TABLE referrals (
    id text PRIMARY KEY,
    hub text NOT NULL REFERENCES hubs,
    consent text NOT NULL REFERENCES consents,
    subject_index bytea NOT NULL,
    area text NOT NULL,
    urgency text NOT NULL,
    data_key bytea NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX referrals_hub ON referrals (hub, created_at, id);
CREATE INDEX referrals_consent ON referrals (consent);

CREATE TABLE idempotency (
    hub text NOT NULL REFERENCES hubs,
    key text NOT NULL,
    body_index bytea NOT NULL,
    referral text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hub, key)
);

-- due_at: when the clock must look at this row again; of a claimed row, the end of its lease.
-- token: who holds it; null when nobody does.
CREATE TABLE deliveries (
    id text PRIMARY KEY,
    referral text NOT NULL REFERENCES referrals,
    hub text NOT NULL,
    agency text NOT NULL,
    purpose text NOT NULL,
    kind text NOT NULL,
    of text REFERENCES deliveries,
    state text NOT NULL,
    status text NOT NULL,
    status_at timestamptz,
    reason text,
    code text,
    reference bytea,
    reference_index bytea,
    token uuid,
    due_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    asks integer NOT NULL DEFAULT 0,
    polls integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX deliveries_due ON deliveries (agency, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (agency, due_at) WHERE token IS NOT NULL;
CREATE INDEX deliveries_referral ON deliveries (referral);
CREATE INDEX deliveries_of ON deliveries (of) WHERE of IS NOT NULL;
CREATE UNIQUE INDEX deliveries_reference ON deliveries (agency, reference_index) WHERE reference_index IS NOT NULL;
CREATE INDEX deliveries_listing ON deliveries (created_at, id);
CREATE INDEX deliveries_undelivered ON deliveries (agency, created_at)
    WHERE state IN ('held', 'waiting', 'queued', 'sending', 'asking');

CREATE TABLE attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery text NOT NULL REFERENCES deliveries,
    kind text NOT NULL,
    outcome text NOT NULL,
    code text,
    seconds double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempts_delivery ON attempts (delivery, id);

CREATE TABLE callbacks (
    agency text NOT NULL,
    id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agency, id)
);

-- position: given when the row is read or linked, not when it is written, so that it has no gaps.
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position bigint UNIQUE,
    hub text NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    referral text NOT NULL,
    delivery text,
    agency text,
    state text,
    status text,
    reason text,
    code text
);
CREATE INDEX events_hub ON events (hub, position);
CREATE INDEX events_unplaced ON events (id) WHERE position IS NULL;
CREATE INDEX events_referral ON events (referral, id);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail text NOT NULL DEFAULT '',
    position bigint UNIQUE,
    link bytea
);
CREATE INDEX audit_unlinked ON audit (id) WHERE position IS NULL;
CREATE INDEX audit_object ON audit (object, id);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.position IS NULL AND OLD.link IS NULL
       AND (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.object, NEW.detail)
         = (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.object, OLD.detail) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
"""

DOWN = """
DROP TABLE audit, events, callbacks, attempts, deliveries, idempotency, referrals, consents, sessions, admins, api_keys, hubs;
DROP FUNCTION audit_is_append_only;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
