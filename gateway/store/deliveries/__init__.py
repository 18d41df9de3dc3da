"""Deliveries: rows, and move(), the one place where a state changes.

``due_at`` is when the clock must look at a row again; of a row that somebody holds it is the end of
the lease. ``token`` says who holds it: whoever acts must present it, and each step changes it.
"""

from .answering import declined, find, first_seen, set_status, stop_polling
from .by_hand import open_sheet, remind
from .claiming import Claimed, Window, abandoned, claim_due, let_go, take
from .moving import Attempt, Moving, move, put_move, tell
from .queueing import queue
from .reading import get, line, lock, of_consent, of_referral, waiting_for, with_messages
from .rows import Delivery
from .sealed import given, keep_given, keep_reference, open_fields, reference, route, seal_fields

__all__ = [
    "Attempt", "Claimed", "Delivery", "Moving", "Window", "abandoned", "claim_due", "declined", "find", "first_seen", "get", "given",
    "keep_given", "keep_reference", "let_go", "line", "lock", "move", "of_consent", "of_referral", "open_fields", "open_sheet",
    "put_move", "queue", "reference", "remind", "route", "seal_fields", "set_status", "stop_polling", "take", "tell", "waiting_for",
    "with_messages",
]  # fmt: skip
