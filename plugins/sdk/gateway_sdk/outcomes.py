"""What became of an attempt, and what an agency said later.

::

    Outcome                    what classify() makes of a reply
    ├── Delivered(reference)   the agency has it
    ├── Refused(code)          the agency will not take it; a retry would not help
    ├── Unavailable(code)      the agency certainly does not have it; try again
    └── Uncertain(code)        the agency may have it; never sent again blindly

    Answer                     what read_update() makes of a callback, or of a reply to ask()
    ├── Update(status, ...)    the agency has it, and this is how it stands
    ├── NotFound()             the agency certainly does not have it
    └── Unavailable | Uncertain  no answer this time; asked again later

    Message(id, text, ...)     in a callback, instead: the agency says something about it, in words

A *code* is ``HTTP 503`` or a key of the adapter's ``codes``. Codes are kept, shown to
administrators and logged, so they are a closed list: anything else is stored as
``undeclared``. Never build a code from what a reply says.
"""

from dataclasses import dataclass
from datetime import datetime

from .status import Reason, Status


@dataclass(frozen=True)
class Delivered:
    """The agency has it. *reference* is its own; *duplicate* is true when it had it already."""

    reference: str | None = None
    duplicate: bool = False


@dataclass(frozen=True)
class Refused:
    """The agency will not take it. *code*: see the module."""

    code: str


@dataclass(frozen=True)
class Unavailable:
    """The agency certainly does not have it. *retry_after*: seconds the agency asked for, if it did."""

    code: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Uncertain:
    """The agency may have it. The gateway resolves this by the same idempotency key, ask(), or a person."""

    code: str


@dataclass(frozen=True)
class Update:
    """How a referral stands at the agency.

    At least one of *delivery_key* (ours) and *reference* (the agency's) says which one;
    for a reply to ask() both may be left out. *at* is the agency's own time of it, with a zone.
    *id* is the agency's own id of this update, when it has one; the same id twice counts once.
    *messages*: what it says in words along with it; those that were read before may come again.
    """

    status: Status
    delivery_key: str | None = None
    reference: str | None = None
    reason: Reason | None = None
    at: datetime | None = None
    id: str | None = None
    messages: tuple["Message", ...] = ()


@dataclass(frozen=True)
class Message:
    """Words about one referral: the agency's to the hub, or the hub's to the agency.

    *id*: the writer's own, at most 128 characters; the same id twice is one message. *text*: at most 8000 characters.
    *answers*: the id of the other's message that it answers, if it does. *at* has a zone. *delivery_key* and
    *reference* say which referral an agency speaks of, as in Update.
    """

    id: str
    text: str
    at: datetime | None = None
    answers: str | None = None
    delivery_key: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class NotFound:
    """The agency certainly does not have it."""


Outcome = Delivered | Refused | Unavailable | Uncertain
Answer = Update | NotFound | Unavailable | Uncertain
