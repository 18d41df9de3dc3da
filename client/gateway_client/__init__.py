"""A hub's way to the Referral Gateway. See README.md."""

from . import answers, errors
from .client import Client
from .errors import (
    BadSignature,
    Changed,
    ClientError,
    Conflict,
    ConsentMissing,
    Forbidden,
    Invalid,
    Malformed,
    NoAnswer,
    NotFound,
    Problem,
    Unauthenticated,
    Unavailable,
)
from .webhooks import verify_webhook

__all__ = [
    "BadSignature", "Changed", "Client", "ClientError", "Conflict", "ConsentMissing", "Forbidden", "Invalid", "Malformed",
    "NoAnswer", "NotFound", "Problem", "Unauthenticated", "Unavailable", "answers", "errors", "verify_webhook",
]  # fmt: skip
