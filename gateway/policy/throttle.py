"""How long somebody who guesses has to wait: delays that grow, never a locked door."""

from dataclasses import dataclass
from datetime import datetime, timedelta

FORGOTTEN = timedelta(days=1)
"""Failures that are older than this, all of them, count no more."""


@dataclass(frozen=True)
class Throttle:
    """*free* failures cost nothing; each further one doubles the pause, from a second to *most*."""

    free: int
    most: timedelta

    def ready_at(self, failures: int, last: datetime) -> datetime:
        """When the next attempt is taken after *failures*, of which the last was at *last*."""
        over = failures - self.free
        if over < 0:
            return last
        return last + min(self.most, timedelta(seconds=2 ** min(over, 30)))


FROM_ONE_PLACE = Throttle(free=3, most=timedelta(minutes=15))
"""One account from one address, or from one browser that it was used from before."""

FROM_ANYWHERE = Throttle(free=20, most=timedelta(minutes=1))
"""One account from all browsers that it was never used from: guessing from many addresses."""

OF_AN_ADDRESS = Throttle(free=50, most=timedelta(minutes=1))
"""All accounts from one address: one password tried on many names. Colleagues share an address, so it is wide."""
