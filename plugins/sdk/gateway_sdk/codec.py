"""The values of the contract as JSON and back, between the gateway and an adapter that runs in a process of its own.

Every value that is more than a text, a number, true, false or null is a pair: its kind, and what it holds.
Nothing else can be made of it, whoever wrote it; that is why it is not pickle.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from . import auth, messages, outcomes, referral
from .status import Reason, Status

DATACLASSES: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        referral.Referral, referral.Sent, referral.Needs, messages.Reply, messages.Fault, messages.RestRequest,
        messages.SoapRequest, outcomes.Delivered, outcomes.Refused, outcomes.Unavailable, outcomes.Uncertain,
        outcomes.Update, outcomes.Message, outcomes.NotFound, auth.NoAuth, auth.Bearer, auth.ApiKey, auth.OAuth2ClientCredentials,
        auth.UsernameToken, auth.SignedCallback, auth.BearerCallback,
    )
}  # fmt: skip
ENUMS: Mapping[str, type[Status | Reason]] = {"Status": Status, "Reason": Reason}


class Garbled(ValueError):
    """It is not what dumps() writes."""


def dumps(value: Any) -> bytes:
    """*value* as one line. Raises TypeError for what the contract does not know."""
    return json.dumps(_plain(value), separators=(",", ":")).encode() + b"\n"


def loads(line: bytes) -> Any:
    """The value of a line. Raises Garbled, and nothing else."""
    try:
        return _value(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidOperation, binascii.Error):
        raise Garbled("not a value of the contract") from None


def _plain(value: Any) -> Any:
    match value:
        case Status() | Reason():
            return [type(value).__name__, value.value]
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return ["bytes", base64.b64encode(value).decode()]
        case datetime():
            return ["datetime", value.isoformat()]
        case date():
            return ["date", value.isoformat()]
        case Decimal():
            return ["Decimal", str(value)]
        case list() | tuple():
            return [type(value).__name__, [_plain(item) for item in value]]
        case Mapping():
            return ["map", {str(key): _plain(item) for key, item in value.items()}]
    if is_dataclass(value) and type(value).__name__ in DATACLASSES:
        return [type(value).__name__, {field.name: _plain(getattr(value, field.name)) for field in fields(value)}]
    raise TypeError(f"the contract has no {type(value).__name__}")


def _value(plain: Any) -> Any:
    if not isinstance(plain, list):
        if isinstance(plain, dict):
            raise Garbled("a mapping without its kind")
        return plain
    kind, held = plain
    if kind in READ:
        return READ[kind](held)
    if kind in ENUMS:
        return ENUMS[kind](held)
    return DATACLASSES[kind](**{key: _value(item) for key, item in held.items()})


READ: Mapping[str, Callable[[Any], Any]] = {
    "bytes": lambda held: base64.b64decode(held, validate=True),
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
    "list": lambda held: [_value(item) for item in held],
    "tuple": lambda held: tuple(_value(item) for item in held),
    "map": lambda held: {key: _value(item) for key, item in held.items()},
}
