"""Is what an adapter made of a reply what the contract says? Adapters are code we did not write."""

from collections.abc import Mapping
from datetime import datetime

import gateway_sdk as sdk

LONGEST = 128  # characters of an agency's reference or id
WORDS = 8000  # characters of a message


class Unsound(ValueError):
    """The adapter returned something that is no outcome, or an outcome with nonsense in it."""


def request(found: object) -> sdk.Request | None:
    """*found*, if it is a Request whose parts are what they should be, or None. Raises Unsound."""
    match found:
        case None:
            return None
        case sdk.RestRequest():
            texts = (found.method, found.path, found.idempotency_key or "")
            if not all(isinstance(text, str) for text in texts) or not _all_text(found.query, found.headers):
                raise Unsound("a request is made of texts")
            return found
        case sdk.SoapRequest():
            if not isinstance(found.operation, str) or not isinstance(found.message, Mapping):
                raise Unsound("a call names an operation and its parts")
            return found
    raise Unsound("not a request")


def _all_text(*mappings: object) -> bool:
    return all(
        isinstance(mapping, Mapping) and all(isinstance(text, str) for pair in mapping.items() for text in pair)
        for mapping in mappings
    )


def outcome(found: object) -> sdk.Outcome:
    """*found*, if it is an Outcome. Raises Unsound."""
    match found:
        case sdk.Delivered(reference):
            _text(reference)
            return found
        case sdk.Refused() | sdk.Unavailable() | sdk.Uncertain():
            _code(found)
            return found
    raise Unsound("not an outcome")


def answer(found: object) -> sdk.Answer:
    """*found*, if it is an Answer. Raises Unsound."""
    match found:
        case sdk.Update():
            for value in (found.delivery_key, found.reference, found.id):
                _text(value)
            at = found.at
            known = isinstance(found.status, sdk.Status) and isinstance(found.reason, sdk.Reason | None)
            if not known or not _time(at) or not isinstance(found.messages, tuple):
                raise Unsound("an update without sense")
            for message in found.messages:
                _message(message)
            return found
        case sdk.NotFound():
            return found
        case sdk.Unavailable() | sdk.Uncertain():
            _code(found)
            return found
    raise Unsound("not an answer")


def callback(found: object) -> sdk.Update | sdk.Message:
    """*found*, if it says something about a referral that an agency has. Raises Unsound."""
    if isinstance(found, sdk.Message):
        _message(found)
        return found
    said = answer(found)
    if not isinstance(said, sdk.Update):
        raise Unsound("nothing about a referral")
    return said


def _message(found: object) -> None:
    if not isinstance(found, sdk.Message) or not found.id or not _time(found.at):
        raise Unsound("not a message")
    for value in (found.id, found.answers, found.delivery_key, found.reference):
        _text(value)
    if not isinstance(found.text, str) or not 0 < len(found.text) <= WORDS:
        raise Unsound("a message has words, and not too many")


def _time(at: object) -> bool:
    return at is None or (isinstance(at, datetime) and at.tzinfo is not None)


def _text(value: object) -> None:
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable()):
        raise Unsound("a reference is a short text")


def _code(found: sdk.Refused | sdk.Unavailable | sdk.Uncertain) -> None:
    wait = found.retry_after if isinstance(found, sdk.Unavailable) else None
    if not isinstance(found.code, str) or not (wait is None or (isinstance(wait, int | float) and wait >= 0)):
        raise Unsound("a code is a text, a wait a number")
