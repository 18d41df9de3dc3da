"""Walls between hubs, kept by the database itself (row-level security).

Two roles that nobody logs in as: ``gateway_work`` does the gateway's work for all hubs, ``gateway_hub`` sees what belongs to
the hubs of its transaction (``gateway.hubs``, an array) and nothing else. Neither owns anything. See store/walls.py.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = depends_on = None

ITS = "= ANY (nullif(current_setting('gateway.hubs', true), '')::text[])"

# What a hub's transaction may do, table by table; whatever is not named here it may not touch.
ITS_OWN = {
    "consents": "SELECT, INSERT, UPDATE",
    "referrals": "SELECT, INSERT, UPDATE",
    "idempotency": "SELECT, INSERT",
    "deliveries": "SELECT, INSERT, UPDATE",
    "messages": "SELECT, INSERT",
    "events": "SELECT, INSERT",
    "webhooks": "SELECT, INSERT, UPDATE, DELETE",
    "data_keys": "SELECT, INSERT, DELETE",
}
# Its own because the row that they hang on is: (table, column) of that row's id.
HANGS_ON = {
    "consent_versions": ("SELECT, INSERT", "consents", "consent"),
    "former_contacts": ("SELECT, INSERT", "referrals", "referral"),
    "attempts": ("SELECT, INSERT", "deliveries", "delivery"),
    "contradictions": ("SELECT, INSERT, UPDATE", "deliveries", "delivery"),
    "agency_health": ("DELETE", "webhooks", "agency"),  # a breaker of its own webhook's
}
COMMON = ("areas", "services", "directory", "agency_health")  # about no hub and nobody: read whole
APPENDED = {"audit": "SELECT, INSERT, UPDATE (position, link)", "audit_checkpoints": "SELECT, INSERT"}
# What its people see of the audit: who opened or took on a referral of theirs.
LOOKS = (
    "action IN ('case.open', 'case.take', 'BREAK-GLASS', 'BREAK-GLASS.open') "
    "AND EXISTS (SELECT FROM referrals WHERE referrals.id = object)"
)

TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
"""
EACH = "DO $$ DECLARE t text; BEGIN FOR t IN {tables} LOOP {does} END LOOP; END $$"


def upgrade() -> None:
    op.execute("ALTER TABLE data_keys ADD COLUMN of_hub text")
    for table in ("consents", "referrals", "webhooks"):
        op.execute(f"UPDATE data_keys SET of_hub = hub FROM {table} WHERE record = id")
    op.execute("COMMENT ON COLUMN data_keys.of_hub IS 'whose record it is the key of; null: the gateway''s own'")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO gateway_work")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO gateway_work")
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM gateway_work")
    for table, commands in APPENDED.items():
        op.execute(f"REVOKE ALL ON {table} FROM gateway_work")
        op.execute(f"GRANT {commands} ON {table} TO gateway_work")
    for does in (
        "EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);",
        "EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);",
        "EXECUTE format('CREATE POLICY work ON %I TO gateway_work USING (true) WITH CHECK (true)', t);",
    ):
        op.execute(EACH.format(tables=TABLES, does=does))
    for table, commands in ITS_OWN.items():
        _grant(table, commands, f"{'of_hub' if table == 'data_keys' else 'hub'} {ITS}")
    for table, (commands, parent, column) in HANGS_ON.items():
        _grant(table, commands, f"EXISTS (SELECT FROM {parent} WHERE {parent}.id = {table}.{column})")
    for table in COMMON:
        op.execute(f"GRANT SELECT ON {table} TO gateway_hub")
        op.execute(f"CREATE POLICY common ON {table} FOR SELECT TO gateway_hub USING (true)")
    op.execute("GRANT SELECT, INSERT ON audit TO gateway_hub")
    op.execute("CREATE POLICY written ON audit FOR INSERT TO gateway_hub WITH CHECK (position IS NULL AND link IS NULL)")
    op.execute(f"CREATE POLICY looks ON audit FOR SELECT TO gateway_hub USING ({LOOKS})")


def _grant(table: str, commands: str, rows: str) -> None:
    """For each command a policy of its own, so that a grant too many opens nothing."""
    op.execute(f"GRANT {commands} ON {table} TO gateway_hub")
    for command in commands.split(", "):
        clauses = {"SELECT": "USING ({0})", "DELETE": "USING ({0})", "INSERT": "WITH CHECK ({0})"}
        clause = clauses.get(command, "USING ({0}) WITH CHECK ({0})").format(rows)
        op.execute(f"CREATE POLICY own_{command.lower()} ON {table} FOR {command} TO gateway_hub {clause}")


def downgrade() -> None:
    # The roles stay: another database of the same server may use them.
    op.execute(
        EACH.format(
            tables="SELECT format('%I ON %I', policyname, tablename) FROM pg_policies WHERE schemaname = 'public'",
            does="EXECUTE 'DROP POLICY ' || t;",
        )
    )
    for does in (
        "EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', t);",
        "EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', t);",
        "EXECUTE format('REVOKE ALL ON %I FROM gateway_work, gateway_hub', t);",
    ):
        op.execute(EACH.format(tables=TABLES, does=does))
    op.execute("REVOKE ALL ON alembic_version FROM gateway_work")
    op.execute("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM gateway_work")
    op.execute("ALTER TABLE data_keys DROP COLUMN of_hub")
