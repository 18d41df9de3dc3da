"""The ``gateway`` command, and ``python -m gateway``."""

import sys
from contextlib import nullcontext

from . import stopping

UNTIL_STOPPED = {"up", "serve", "worker"}


def main() -> None:
    """The signals first: what is imported then takes a second in which a process may be told to stop."""
    with stopping.properly() if UNTIL_STOPPED.intersection(sys.argv[1:2]) else nullcontext():
        from .cli import main as command

        command()


if __name__ == "__main__":
    main()
