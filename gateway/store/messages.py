"""Messages about a referral, sealed under its data key: what its hub and an agency told each other in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import gateway_sdk as sdk

from gateway import ids
from gateway.vault import DataKey

from . import audit, events, referrals
from .deliveries import Delivery
from .session import Tx


@dataclass(frozen=True)
class Message:
    """One message, still sealed. *sender*: ``hub`` or ``agency``.

    *delivery*: of the referral to the agency that it is to or from. *carried_by*: the delivery of a hub's message.
    """

    id: str
    referral: str
    delivery: str
    sender: str
    at: datetime
    content: bytes
    carried_by: str | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Message":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})

    def open(self, key: DataKey) -> sdk.Message:
        """What it says. *key*: the referral's. Whoever opens it writes so in the audit. Raises Sealed.

        A hub's has our id, and answers the agency's own; an agency's has the agency's id.
        """
        said = json.loads(key.open(self.content, _where(self.id)))
        return sdk.Message(said["id"], said["text"], self.at, said.get("answers"))


def _where(identifier: str) -> str:
    return f"messages.content:{identifier}"


def keep(tx: Tx, about: Delivery, said: sdk.Message) -> str:
    """Keep what an agency *said* about a referral, and tell the hub that there is something to read. Returns its id."""
    identifier = ids.new("msg")
    _save(tx, identifier, about, "agency", {"id": said.id, "text": said.text, "answers": said.answers})
    audit.write(tx, f"agency:{about.agency}", "message.receive", identifier)
    events.write(
        tx, "message.received", hub=about.hub, referral=about.referral, delivery=about.id, agency=about.agency,
        message=identifier,
    )  # fmt: skip
    return identifier


def send(tx: Tx, about: Delivery, text: str, *, answers: str | None, carried_by: str, key: str, by: str) -> str:
    """Keep what a hub says, which *carried_by* takes to the agency. *answers*: the agency's own id of its message."""
    identifier = ids.new("msg")
    content = {"id": identifier, "text": text, "answers": answers}
    _save(tx, identifier, about, "hub", content, carried_by, key)
    audit.write(tx, by, "message.send", identifier, delivery=carried_by)
    return identifier


def _save(
    tx: Tx,
    identifier: str,
    about: Delivery,
    sender: str,
    content: Mapping[str, Any],
    carried_by: str | None = None,
    key: str | None = None,
) -> None:
    assert about.referral is not None, "an event has no words"
    sealed = referrals.key(tx, about.referral).seal(json.dumps(content).encode(), _where(identifier))
    tx.put(
        "INSERT INTO messages (id, referral, delivery, hub, sender, content, carried_by, key) VALUES "
        "(%(id)s, %(referral)s, %(delivery)s, %(hub)s, %(sender)s, %(content)s, %(carried_by)s, %(key)s)",
        {
            "id": identifier, "referral": about.referral, "delivery": about.id, "hub": about.hub, "sender": sender,
            "content": sealed, "carried_by": carried_by, "key": key,
        },
    )  # fmt: skip


def of_referral(tx: Tx, referral: str) -> list[Message]:
    """All of them, oldest first."""
    rows = tx.all("SELECT * FROM messages WHERE referral = %(referral)s ORDER BY at, id", {"referral": referral})
    return [Message.of_row(row) for row in rows]


def by_key(tx: Tx, hub: str, key: str) -> Message | None:
    """The one that *hub* sent under this Idempotency-Key."""
    row = tx.one("SELECT * FROM messages WHERE hub = %(hub)s AND key = %(key)s", {"hub": hub, "key": key})
    return Message.of_row(row) if row else None


def carried(tx: Tx, delivery: str) -> Message:
    """The one that *delivery*, of kind ``message``, takes to its agency."""
    row = tx.one("SELECT * FROM messages WHERE carried_by = %(delivery)s", {"delivery": delivery})
    assert row is not None, "both are written in one commit"
    return Message.of_row(row)
