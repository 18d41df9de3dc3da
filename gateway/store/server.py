"""What the database server says of itself: what our role may do, and what it writes into its own log; how it is reached."""

from itertools import zip_longest

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from gateway.errors import Misconfigured
from gateway.production import on_this_machine

from .session import Tx, plain_url

SPEAKING = {"log_statement": "none", "log_min_duration_statement": "-1", "log_min_duration_sample": "-1"}
"""Settings that log statements, and their values at which none is logged."""


def plain(url: str) -> bool:
    """Whether a line to *url* can be read on the way, or led to another server; what the environment adds is looked at too.

    sslmode=require asks for no proof of who answers, verify-ca for none of the name. Raises Misconfigured when it is none.
    """
    defaults = {option.keyword.decode(): option.val.decode() for option in pq.Conninfo.get_defaults() if option.val}
    try:
        said = conninfo_to_dict(plain_url(url))
    except ProgrammingError:  # its text quotes the address, password included
        raise Misconfigured("setting database_url: give postgresql://user:password@host/database") from None
    given = {**defaults, **{name: str(value) for name, value in said.items()}}
    if given["sslmode"] == "verify-full":
        return False
    pairs = zip_longest(given.get("hostaddr", "").split(","), given.get("host", "").split(","))
    hosts = [address or host or "/" for address, host in pairs]  # neither: a unix socket
    # unless a file of services, which is not read here, says more
    return "service" in given or not all(host[0] in "/@" or on_this_machine(host) for host in hosts)


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
