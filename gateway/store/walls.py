"""The walls between hubs: roles of the database that see no more than they should, whatever a statement forgets to ask.

Every connection of the gateway works as ``gateway_work``, which neither owns anything nor may change tables or the audit;
a transaction for a hub goes on as ``gateway_hub``, to which row-level security shows that hub's rows alone. Which
tables, and which commands, is said once, in migration 0018, and held against the database's catalogue by a test.
"""

from typing import LiteralString

import psycopg
from psycopg import sql

from gateway.errors import Misconfigured

WORK: LiteralString = "gateway_work"
HUB: LiteralString = "gateway_hub"

# A statement, so that it travels with those that follow. Local to the transaction, whose end gives the role back.
NARROW: LiteralString = (
    "SELECT set_config('gateway.hubs', %(hubs)s::text[]::text, true), set_config('role', '" + HUB + "', true)"
)


def prepare(connection: psycopg.Connection, login: str | None = None) -> None:
    """Make the roles, if they are missing, and let *login* (none: who is connected) work as them. Raises Misconfigured."""
    try:
        for role in (WORK, HUB):
            _make(connection, role)
        _grant(connection, login)
    except psycopg.errors.InsufficientPrivilege:
        who = login or connection.info.user
        raise Misconfigured(
            f"the database's role {connection.info.user} may not make roles: let an administrator of the database run "
            f"CREATE ROLE {WORK}; CREATE ROLE {HUB}; GRANT {WORK}, {HUB} TO {who};"
        ) from None
    except psycopg.errors.UndefinedObject:
        raise Misconfigured(f"the database has no role {login}: CREATE ROLE {login} LOGIN, with its password") from None


def _make(connection: psycopg.Connection, role: LiteralString) -> None:
    """Roles are the whole server's, and another database of it may be at the same."""
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount == 0:
        try:
            with connection.transaction():
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            pass


def _grant(connection: psycopg.Connection, login: str | None) -> None:
    who = login or connection.info.user
    for role in (WORK, HUB):
        member = connection.execute(
            "SELECT FROM pg_auth_members WHERE roleid = %s::regrole AND member = quote_ident(%s)::regrole", [role, who]
        )
        if member.rowcount == 0:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(who)))
