"""Alembic's way in. Migrations are SQL; one runs at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from gateway.store.schema import LOCK

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool, hide_parameters=True)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
