"""What the database server says of itself: what our role may do, and what it writes into its own log."""

from .session import Tx

SPEAKING = {"log_statement": "none", "log_min_duration_statement": "-1", "log_min_duration_sample": "-1"}
"""Settings that log statements, and their values at which none is logged."""


def all_powerful(tx: Tx) -> bool:
    """Whether no rule of the database holds who logs in: a superuser, one that row-level security passes by, or one who
    may take the walls down, because the tables are theirs."""
    row = tx.one(
        "SELECT rolsuper OR rolbypassrls OR pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'audit'::regclass), "
        "'MEMBER') AS may FROM pg_roles WHERE rolname = session_user"
    )
    return bool(row and row["may"])


def logs_values(tx: Tx) -> list[str]:
    """The server's settings by which values of our statements get into its log; none: none does."""
    wanted = [*SPEAKING, "log_parameter_max_length", "log_parameter_max_length_on_error"]
    found = {
        row["name"]: row["setting"]
        for row in tx.all("SELECT name, setting FROM pg_settings WHERE name = ANY(%(names)s)", {"names": wanted})
    }
    speaking = [name for name, silent in SPEAKING.items() if found[name] != silent]
    on_error = [] if found["log_parameter_max_length_on_error"] == "0" else ["log_parameter_max_length_on_error"]
    return (["log_parameter_max_length"] if speaking and found["log_parameter_max_length"] != "0" else []) + on_error
