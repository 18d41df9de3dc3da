"""What this process holds in memory stays there: keys and, for moments, what women said."""

import ctypes
import resource
import sys

DUMPABLE = 4  # PR_SET_DUMPABLE of Linux, prctl(2)


def keep() -> None:
    """No core dump of this process, nor of its children; on Linux nobody but root may look into it, not even its own user.

    Both are needed: where the kernel pipes dumps to a program, the limit is not asked.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DUMPABLE, 0, 0, 0, 0)
