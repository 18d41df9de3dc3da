"""Bringing the database's tables up to date, with alembic."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool

from gateway.errors import Misconfigured

LOCK = 7_203_001  # one migration at a time, whoever starts first


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", "gateway:store/migrations")
    config.attributes["url"] = url.replace("postgresql://", "postgresql+psycopg://", 1)
    return config


def upgrade(url: str, to: str = "head") -> None:
    """Apply what is missing, up to revision *to*. Safe to run from several processes at once."""
    command.upgrade(_config(url), to)


def downgrade(url: str, to: str) -> None:
    """Go back to revision *to*; ``base`` removes everything."""
    command.downgrade(_config(url), to)


def require_current(url: str) -> None:
    """Raises Misconfigured unless the tables are those of this version."""
    config = _config(url)
    engine = create_engine(config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(config).get_current_head()
    if found != wanted:
        raise Misconfigured(
            f"the database is at revision {found or 'none'}, this version needs {wanted}: run gateway migrate"
        )
