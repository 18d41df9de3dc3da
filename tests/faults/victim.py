"""``python -m tests.faults.victim PLACE NTH SIGNAL serve|worker``: the gateway, until it comes to PLACE for the NTH time."""

import signal
import sys

from gateway.__main__ import main

from . import crash

if __name__ == "__main__":
    place, nth, sign, *arguments = sys.argv[1:]
    crash.arm(crash.BY_NAME[place], int(nth), signal.Signals[sign])
    sys.argv = ["gateway", *arguments]
    main()
