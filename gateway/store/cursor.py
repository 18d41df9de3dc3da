"""Keyset cursors: an opaque place in a listing, newest first."""

import base64
import binascii
from datetime import datetime

from gateway.errors import Malformed

Place = tuple[datetime, str]


def write(created_at: datetime, identifier: str) -> str:
    """The cursor after the row with this time and id."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {identifier}".encode()).decode().rstrip("=")


def read(value: str | None) -> Place | None:
    """The place *value* stands for; None for the beginning. Raises Malformed."""
    if value is None:
        return None
    try:
        at, _, identifier = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode().partition(" ")
        place = datetime.fromisoformat(at), identifier
        if place[0].tzinfo is None or "\0" in identifier:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Malformed("This cursor is not one the gateway gave.") from None
    return place
