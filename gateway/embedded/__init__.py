"""The one-machine default: a private PostgreSQL, the web process and the delivery process."""

from .default import database, kept_beside, running, up
from .postgres import Postgres, binaries
from .supervisor import Supervisor, watch_lifeline

__all__ = ["Postgres", "Supervisor", "binaries", "database", "kept_beside", "running", "up", "watch_lifeline"]
