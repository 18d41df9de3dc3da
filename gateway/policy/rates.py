"""How often somebody may call: a token bucket, as one number (the generic cell rate algorithm of ITU-T I.371).

The number is when the bucket will be full again. So it holds a minute's worth: that much can come at once, and then
as much as flows in.
"""

MINUTE = 60.0
INSTANT = 1e-6  # what sums of times may be out by


def take(full_at: float, now: float, a_minute: int) -> tuple[float, float]:
    """One out of a bucket that is full at *full_at*, in seconds of the same clock as *now*.

    Returns when it is full now, and 0; or, if it was empty, when it was full anyway, and the seconds to wait.
    """
    lacking = max(full_at - now, 0.0) + MINUTE / a_minute
    wait = lacking - MINUTE
    return (now + lacking, 0.0) if wait < INSTANT else (full_at, wait)
