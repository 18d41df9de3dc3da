"""The street door: the only sockets to agencies, and to those who are told of trouble.

``send`` carries one request to one agency and brings back its reply, or says honestly what it knows:
``NotSent`` (certainly not received) or ``MaybeSent`` (bytes were written, no whole reply came).
Which of the two is read from whether a byte was handed to the socket, not guessed from the error.
"""

import time
from collections.abc import Mapping

from gateway_sdk import Reply, Request, RestRequest

from . import rest, soap
from .alerts import mail, post
from .auth import verify_callback
from .codes import CODES
from .rest import objection
from .target import Target

__all__ = ["CODES", "Target", "mail", "objection", "post", "send", "verify_callback"]


def send(
    request: Request, target: Target, extra_headers: Mapping[str, str] | None = None, began: float | None = None
) -> Reply:
    """Give *request* to the agency at *target* and return what it answers, whatever the HTTP status.

    *extra_headers* are the gateway's own (tracing). *began*: when the deadline started to run, of time.monotonic(), if
    not now. Raises NotSent and MaybeSent, with a code of CODES.
    """
    deadline = (time.monotonic() if began is None else began) + target.deadline
    if isinstance(request, RestRequest):
        return rest.send(request, target, extra_headers or {}, deadline)
    return soap.send(request, target, extra_headers or {}, deadline)
