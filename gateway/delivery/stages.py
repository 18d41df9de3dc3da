"""Stages: what an attempt does next, as a type. Each knows its request, and how to read the reply."""

from dataclasses import dataclass, field

import gateway_sdk as sdk

from gateway import hub
from gateway.errors import Sealed
from gateway.plugins import Agency
from gateway.policy import minimise
from gateway.policy.consent import Grant
from gateway.store.deliveries import Delivery
from gateway.store.messages import Message
from gateway.store.referrals import SealedReferral

from . import settle, sound
from .room import PostRoom


@dataclass(frozen=True)
class Parcel:
    """A referral that is still sealed, and what of it the agency may be given. *sent*: the one that it updates.

    *places*: of what it is given, once the request is made.
    """

    referral: SealedReferral
    permission: Grant
    sent: sdk.Sent | None = None
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Letter:
    """A hub's message that is still sealed, and the referral that it is about."""

    message: Message
    referral: SealedReferral
    sent: sdk.Sent
    places: tuple[str, ...] = ("/message",)


@dataclass(frozen=True)
class Send:
    """Stage: give the agency a referral, or what changed of one, or a message, or take one back; or tell a hub of an event.

    *content* is the error when the records do not open, and Unmade where a person must tell the agency.
    """

    delivery: Delivery
    agency: Agency
    content: Parcel | Letter | sdk.Sent | hub.Notice | Sealed | settle.Unmade

    def request(self, room: PostRoom) -> sdk.Request | None:
        adapter, content = self.agency.adapter, self.content
        match content:
            case Sealed():
                raise content
            case settle.Unmade():
                return None
            case hub.Notice():
                return content.request()
            case sdk.Sent():
                return adapter.withdraw(content)
            case Letter(message, referral, sent):
                return adapter.message(message.open(referral.key(room.store.vault)), sent)
        whole, granted = content.referral.open(room.store.vault), content.permission
        data = minimise.keep(whole, self.agency.name, adapter.needs, granted.categories)
        content.places.extend(minimise.places(data))
        first = content.sent
        key, at = (first.delivery_key, first.submitted_at) if first else (self.delivery.id, self.delivery.created_at)
        given = sdk.Referral(key, at, data, adapter.needs, granted.basis)
        return adapter.update(given, content.sent) if content.sent else adapter.translate(given)

    def read(self, reply: sdk.Reply) -> sdk.Outcome:
        return sound.outcome(self.agency.adapter.classify(reply))


@dataclass(frozen=True)
class Ask:
    """Stage: ask the agency how a referral stands there."""

    delivery: Delivery
    agency: Agency
    content: sdk.Sent

    def request(self, room: PostRoom) -> sdk.Request | None:
        return self.agency.adapter.ask(self.content)

    def read(self, reply: sdk.Reply) -> sdk.Answer:
        found = sound.answer(self.agency.adapter.read_update(reply))
        if isinstance(found, sdk.Update) and found.delivery_key not in (None, self.content.delivery_key):
            raise sound.Unsound("an answer about another referral")
        return found
