"""What the gateway answers: the documents as they come, typed. Times are ISO 8601 texts with a zone."""

from typing import Any, NotRequired, TypedDict


class Accepted(TypedDict):
    """A referral that was taken and will not be lost. *deliveries*: ``{agency: delivery id}``."""

    id: str
    accepted_at: str
    deliveries: dict[str, str]


class Delivery(TypedDict):
    """One message to one agency, or of an event to a webhook. See the delivery schema."""

    id: str
    referral: NotRequired[str]
    agency: str
    kind: str
    state: str
    status: str
    reason: NotRequired[str]
    code: NotRequired[str]
    meaning: NotRequired[str]
    reference: NotRequired[str]
    attempts: int
    created_at: str
    updated_at: str
    next_attempt_at: NotRequired[str]


class Event(TypedDict):
    """One thing that happened. *id* is its place in the feed: keep it, and follow from there. See the event schema."""

    id: str
    type: str
    at: str
    referral: NotRequired[str]
    delivery: NotRequired[str]
    agency: NotRequired[str]
    state: NotRequired[str]
    status: NotRequired[str]
    reason: NotRequired[str]
    code: NotRequired[str]
    webhook: NotRequired[str]


class Feed(TypedDict):
    """Some events, and the place after them."""

    events: list[Event]
    next: str


class Message(TypedDict):
    """A webhook's body. *data* is the event as in the feed."""

    type: str
    timestamp: str
    data: Event


class Referral(TypedDict):
    """How a referral stands. It does not repeat what it says about her."""

    id: str
    area: str
    urgency: str
    consent: str
    created_at: str
    deliveries: list[Delivery]
    timeline: list[Event]


class Consent(TypedDict):
    id: str
    created_at: str
    withdrawn_at: NotRequired[str]
    consent: dict[str, Any]


class Withdrawal(TypedDict):
    """*deliveries*: every one that rests on the consent, as it stands now."""

    id: str
    withdrawn: bool
    deliveries: list[Delivery]


class Agency(TypedDict):
    """Whom a hub can refer to. *required*, *optional*: places of the referral, as JSON Pointers."""

    name: str
    purpose: str
    areas: list[str]
    required: list[str]
    optional: list[str]
    required_categories: list[str]


class Webhook(TypedDict):
    """*secret*: in the answers to create() and rotate() only."""

    id: str
    url: str
    types: list[str]
    created_at: str
    enabled: bool
    secret: NotRequired[str]
    old_secret_until: NotRequired[str]
    disabled_at: NotRequired[str]
    disabled_code: NotRequired[str]
    disabled_meaning: NotRequired[str]
    failing_since: NotRequired[str]
    delivered_at: NotRequired[str]
    last_delivery: NotRequired[Delivery]
