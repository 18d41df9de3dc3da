"""The service directory, how far the roll-out is in each hub area, how an agency was picked, and delivery by hand."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = depends_on = None

# A new gateway starts with every area planned; one that has been at work goes on in all of them.
UP = """
CREATE TABLE areas (
    name text PRIMARY KEY,
    phase text NOT NULL CHECK (phase IN ('planned', 'pilot', 'live')),
    changed_at timestamptz
);
INSERT INTO areas (name, phase)
SELECT name, CASE WHEN EXISTS (SELECT FROM referrals) THEN 'live' ELSE 'planned' END
FROM unnest(ARRAY['edinburgh-and-borders', 'highland', 'perth-and-kinross', 'aberdeen', 'dundee', 'glasgow', 'ayrshire']) AS name;

-- source_id: the id that the imported document gives; document: the rest of a service, as policy/routing.py knows it.
CREATE TABLE services (
    id text PRIMARY KEY,
    source_id text NOT NULL UNIQUE,
    agency text NOT NULL,
    document jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- One row: goes up with every change of services or areas, so that a process knows when to read them again.
CREATE TABLE directory (version bigint NOT NULL);
INSERT INTO directory VALUES (1);

-- route: how the agency was found; seen_at: when a person first saw the sheet; given: when and to whom, by hand. Sealed.
ALTER TABLE deliveries ADD COLUMN route bytea, ADD COLUMN seen_at timestamptz, ADD COLUMN given bytea;
DROP INDEX deliveries_undelivered;
CREATE INDEX deliveries_undelivered ON deliveries (agency, created_at)
    WHERE state IN ('held', 'waiting', 'queued', 'sending', 'asking', 'task');
"""

DOWN = """
DROP INDEX deliveries_undelivered;
CREATE INDEX deliveries_undelivered ON deliveries (agency, created_at)
    WHERE state IN ('held', 'waiting', 'queued', 'sending', 'asking');
ALTER TABLE deliveries DROP COLUMN route, DROP COLUMN seen_at, DROP COLUMN given;
DROP TABLE directory, services, areas;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
