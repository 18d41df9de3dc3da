"""What goes out and what comes back. Adapters build and read these; the gateway does the sending."""

import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from math import isfinite
from typing import Any


class Unreadable(ValueError):
    """The reply is not what the contract promises. It may have been acted upon all the same."""


@dataclass(frozen=True)
class RestRequest:
    """An HTTP request, relative to the agency's base address.

    *json* is any JSON value; it is sent as ``application/json`` unless *headers* name
    another Content-Type. *idempotency_key* is sent as the ``Idempotency-Key`` header.
    Credentials are not set here: the adapter's ``auth`` says which kind, the gateway adds them.
    No personal data in *path* or *query*: addresses end up in logs.
    """

    method: str
    path: str
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None

    def body(self) -> bytes:
        """The bytes to send: compact UTF-8 JSON, keys in the order given; empty without *json*."""
        if self.json is None:
            return b""
        return jsonlib.dumps(self.json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True)
class SoapRequest:
    """A call of *operation* of the adapter's WSDL.

    *message* holds the parts of the document/literal request element by their XSD names;
    nested mappings and lists for complex and repeated elements.
    """

    operation: str
    message: Mapping[str, Any]


Request = RestRequest | SoapRequest


@dataclass(frozen=True)
class Fault:
    """A SOAP fault, without its text: texts quote what was sent.

    *code*: ``Client`` or ``Server`` (SOAP 1.1) or ``Sender`` or ``Receiver`` (1.2), without a prefix.
    *detail*: the local name of the first element in the detail, for typed faults, else ``None``.
    *fields*: that element's simple children, local name to text.
    """

    code: str
    detail: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What the agency answered, or what it posted to the callback address (status 200).

    *status*: HTTP status. *headers*: names in lower case. For SOAP, *message* is the response
    element as nested mappings by XSD names, and *fault* is set instead when there was one.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    message: Mapping[str, Any] | None = None
    fault: Fault | None = None

    @cached_property
    def json(self) -> Any:
        """The body as JSON (RFC 8259). Raises Unreadable, also for a name that stands twice, NaN, or an endless number."""
        try:
            text = self.body.decode("utf-8-sig")  # a byte order mark is ignored, as the RFC allows
            return jsonlib.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
        except (ValueError, RecursionError):
            raise Unreadable("the body is not JSON") from None

    @property
    def retry_after(self) -> float | None:
        """Seconds from the Retry-After header (RFC 9110, both forms), or None."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
        when = _moment(value)
        now = _moment(self.headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (when - now).total_seconds()) if when else None


def _moment(text: str) -> datetime | None:
    """An HTTP date (RFC 9110), in UTC."""
    try:
        found = parsedate_to_datetime(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice: which one is meant?")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError("not a number")
