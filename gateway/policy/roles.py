"""What a person at the console may be: five roles, of which two belong to a hub."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    DELIVERY_ADMIN = "delivery-admin"  # keeps deliveries going; sees ids and codes, no personal data
    CASEWORKER = "caseworker"  # her hub's referrals, each opened for a purpose
    HUB_MANAGER = "hub-manager"  # the same, and her hub's people, and who looked at what
    AUDITOR = "auditor"  # reads the audit, nothing else
    ADAPTER_AUTHOR = "adapter-author"  # the sandbox: what adapters make of synthetic referrals


OF_A_HUB = frozenset({Role.CASEWORKER, Role.HUB_MANAGER})
EVERYBODY = frozenset(Role)
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
"""What somebody can be called."""


@dataclass(frozen=True)
class Person:
    """Somebody who logged in. *name*: what she logs in with, a pseudonym. *hub*: of the roles that belong to one."""

    name: str
    role: Role
    hub: str | None = None

    @property
    def actor(self) -> str:
        """As the audit names her."""
        return f"{self.role}:{self.name}"


def governs(person: Person, other: Person) -> bool:
    """Whether *person* may add, reset and disable *other*'s account.

    Whoever can reset an account can become its owner. So a hub's accounts, which open personal data, are in the hands
    of its managers; delivery admins, who may see none, look after those that see none either.
    """
    if person.role is Role.HUB_MANAGER:
        return other.hub == person.hub
    return person.role is Role.DELIVERY_ADMIN and other.role not in OF_A_HUB
