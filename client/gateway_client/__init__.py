"""A hub's way to the Referral Gateway. See README.md."""

from . import answers, errors
from .client import Client
from .credentials import ClientCredentials, new_key
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
    "BadSignature", "Changed", "Client", "ClientCredentials", "ClientError", "Conflict", "ConsentMissing", "Forbidden",
    "Invalid", "Malformed", "NoAnswer", "NotFound", "Problem", "Unauthenticated", "Unavailable", "answers", "errors",
    "new_key", "verify_webhook",
]  # fmt: skip
