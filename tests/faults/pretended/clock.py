"""A clock that stands still and jumps: the database goes by it, so that an hour passes in no time."""

from datetime import UTC, datetime, timedelta

import psycopg

# pg_catalog comes second in the search path, so that these are found before the true ones.
PRETEND = """
CREATE SCHEMA pretended;
CREATE TABLE pretended.clock (at timestamptz NOT NULL);
INSERT INTO pretended.clock VALUES (now());
CREATE FUNCTION pretended.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT at FROM pretended.clock';
CREATE FUNCTION pretended.clock_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT at FROM pretended.clock';
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT * FROM information_schema.columns
        WHERE table_schema = 'public' AND column_default IN ('now()', 'clock_timestamp()') LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET DEFAULT pretended.now()', one.table_name, one.column_name);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I SET search_path = pretended, pg_catalog, public', current_database());
END $$;

-- Every change of a delivery's state, whoever makes it.
CREATE TABLE pretended.changes (was text, became text);
CREATE FUNCTION pretended.note() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO pretended.changes VALUES (OLD.state, NEW.state); RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION pretended.note();

GRANT USAGE ON SCHEMA pretended TO gateway_work, gateway_hub;
GRANT SELECT ON pretended.clock TO gateway_work, gateway_hub;
GRANT SELECT, INSERT ON pretended.changes TO gateway_work, gateway_hub;

-- What is there before anything happens; books that are numbered begin empty.
CREATE SCHEMA first;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN
        (SELECT table_name FROM information_schema.columns WHERE is_identity = 'YES') LOOP
        EXECUTE format('CREATE TABLE first.%I AS TABLE public.%I', name, name);
    END LOOP;
END $$;
"""
EMPTY = """
DO $$ DECLARE name text; plain text; BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);  -- the audit would refuse
    EXECUTE (SELECT 'TRUNCATE pretended.changes, ' || string_agg(format('public.%I', tablename), ', ')
        FROM pg_tables WHERE schemaname = 'public');
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'first' LOOP
        SELECT string_agg(quote_ident(column_name), ', ') INTO plain FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = name AND is_generated = 'NEVER';
        EXECUTE format('INSERT INTO public.%I (%s) SELECT %s FROM first.%I', name, plain, plain, name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER SEQUENCE public.%I RESTART', name);
    END LOOP;
END $$
"""


class Clock:
    """The time of the database at *url*: it stands still until it is told to pass. Each reset() empties the tables."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(PRETEND)
        self.reset()

    def reset(self) -> None:
        self._connection.execute(EMPTY)
        self._set(datetime.now(UTC))

    def passes(self, by: timedelta) -> None:
        self._set(self.now + by)

    def _set(self, at: datetime) -> None:
        self.now = at
        self._connection.execute("UPDATE pretended.clock SET at = %s", [at])

    def close(self) -> None:
        self._connection.close()
