"""Everything that can go wrong.

::

    ClientError
    ├── NoAnswer            no whole answer came in time: no connection, a time-out, half an answer
    ├── Problem             the gateway said no, as problem details (RFC 9457)
    │   ├── Malformed       400, 413, 415: not a request the gateway can read
    │   ├── Unauthenticated 401: the API key, client or token is unknown, was revoked or has expired
    │   ├── Forbidden       403
    │   │   └── ConsentMissing    she has not agreed to this; ``missing`` says to what
    │   ├── NotFound        404: no such thing, or not this hub's
    │   ├── Conflict        409: not possible in its present state
    │   ├── Changed         412: made from a version that is not the present one any more
    │   ├── Invalid         422: the document is not what it should be; ``errors`` or ``missing`` says where
    │   └── Unavailable     429 and 5xx: later; what may be repeated was repeated, until patience ended
    └── BadSignature        a webhook message that is not the gateway's, or is old

The texts hold ids, codes, places and rules; never a value of a referral.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


class ClientError(Exception):
    """The root: catches all of the above."""


class NoAnswer(ClientError):
    """Nobody knows whether the request was taken. ``submit()`` with the same key finds out without harm."""


class Problem(ClientError):
    """What the gateway said. *detail* is a sentence a caseworker can act on.

    *type*: the last part of the problem's type, for example ``consent-missing``. *errors*: ``{pointer, expected}``
    of each mistake. *missing*: what an agency needs, or what she has not agreed to. *retry_after*: seconds.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(document.get("type", "about:blank")).rpartition("/")[2]
        self.detail = str(document.get("detail", "the answer was not one of the gateway's"))
        self.errors: list[dict[str, Any]] = list(document.get("errors", []))
        self.missing: list[dict[str, Any]] = list(document.get("missing", []))
        self.retry_after: float | None = None
        super().__init__(f"{status} {self.type}: {self.detail}")


class Malformed(Problem):
    pass


class Unauthenticated(Problem):
    pass


class Forbidden(Problem):
    pass


class ConsentMissing(Forbidden):
    pass


class NotFound(Problem):
    pass


class Conflict(Problem):
    pass


class Changed(Problem):
    pass


class Invalid(Problem):
    pass


class Unavailable(Problem):
    pass


class BadSignature(ClientError):
    """Not signed with any of these secrets, or too old: answer 400 and do nothing."""


KINDS: dict[int, type[Problem]] = {
    400: Malformed, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 412: Changed, 413: Malformed, 415: Malformed,
    422: Invalid, 429: Unavailable,
}  # fmt: skip


def problem(status: int, document: Mapping[str, Any], retry_after: str = "") -> Problem:
    """The error for an answer with *status*; *document* is empty when it was not a problem document."""
    kind = KINDS.get(status, Unavailable if status >= 500 else Problem)
    found = kind(status, document)
    if found.type == "consent-missing":
        found = ConsentMissing(status, document)
    found.retry_after = _seconds(retry_after)
    return found


def _seconds(retry_after: str) -> float | None:
    """Retry-After in seconds (RFC 9110, both forms), or None."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        when: datetime = parsedate_to_datetime(retry_after)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
