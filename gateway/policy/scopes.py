"""Scopes: what a machine that calls may do (RFC 6749, section 3.3). Few, one for each kind of deed.

Every route of a hub asks for one. A key or client has those that it was given, and no other: a scope that a later
version adds has to be given to it.
"""

from enum import StrEnum


class Scope(StrEnum):
    REFERRALS_WRITE = "referrals:write"
    REFERRALS_READ = "referrals:read"
    CONSENTS_WRITE = "consents:write"
    CONSENTS_READ = "consents:read"
    APPROVALS = "approvals"
    MESSAGES = "messages"
    BY_HAND = "by-hand"
    EVENTS_READ = "events:read"
    WEBHOOKS = "webhooks"
    DIRECTORY_READ = "directory:read"


MEANINGS = {
    Scope.REFERRALS_WRITE: "submit referrals, and change how she can be reached",
    Scope.REFERRALS_READ: "read how referrals and their deliveries stand",
    Scope.CONSENTS_WRITE: "record, change and withdraw consents and other lawful bases",
    Scope.CONSENTS_READ: "read consents, their versions and receipts, and other lawful bases",
    Scope.APPROVALS: "approve another lawful basis as the second worker",
    Scope.MESSAGES: "read and write what is said about a referral in words",
    Scope.BY_HAND: "open the sheet of a delivery by hand, and record what was given and answered",
    Scope.EVENTS_READ: "follow the feed of events",
    Scope.WEBHOOKS: "manage the hub's webhooks",
    Scope.DIRECTORY_READ: "read agencies, areas, and who would take a need",
}


TO_REFER = (Scope.CONSENTS_WRITE, Scope.REFERRALS_WRITE, Scope.REFERRALS_READ)
"""What a key or client may do if nobody says: record her consent, refer, see how it stands."""

ALL = "all"  # the word for every scope there is now


def unknown(words: list[str]) -> list[str]:
    """Those of *words* that name no scope."""
    return [word for word in words if word not in set(Scope)]
