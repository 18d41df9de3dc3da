"""What the gateway answers: the documents as they come, typed. Times are ISO 8601 texts with a zone."""

from typing import Any, NotRequired, TypedDict


class PassedOver(TypedDict):
    agency: str
    service: str
    name: str
    why: list[str]
    says: str


class Route(TypedDict):
    """How an agency was found for a need; without ``agency``: nobody can take it. See the route schema."""

    need: str
    agency: NotRequired[str]
    service: NotRequired[str]
    name: NotRequired[str]
    because: NotRequired[str]
    says: NotRequired[str]
    passed_over: list[PassedOver]


class Accepted(TypedDict):
    """A referral that was taken and will not be lost. *deliveries*: ``{agency: delivery id}``; *routes*: ``{agency: Route}``."""

    id: str
    accepted_at: str
    deliveries: dict[str, str]
    routes: dict[str, Route]


class Given(TypedDict):
    at: str
    to: str


class Contradiction(TypedDict):
    """What an agency said against what is recorded. *source*: callback, poll or by-hand."""

    id: int
    source: str
    at: str
    status: NotRequired[str]
    reason: NotRequired[str]
    reference: NotRequired[str]


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
    route: NotRequired[Route]
    given: NotRequired[Given]
    contradictions: NotRequired[list[Contradiction]]
    attempts: int
    created_at: str
    updated_at: str
    next_attempt_at: NotRequired[str]


class Said(TypedDict):
    """A message that was taken; *delivery* says what becomes of it."""

    id: str
    agency: str
    delivery: str
    at: str


class Words(TypedDict):
    """What a hub or an agency said about a referral. *sender*: ``hub`` or ``agency``; *answers*: the id of another."""

    id: str
    agency: str
    sender: str
    at: str
    text: str
    answers: NotRequired[str]
    delivery: NotRequired[str]


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
    message: NotRequired[str]
    source: NotRequired[str]


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
    """A record in its present *version*. *receipt*: after ISO/IEC TS 27560, when it is read."""

    id: str
    version: int
    created_at: str
    withdrawn_at: NotRequired[str]
    consent: dict[str, Any]
    receipt: NotRequired[dict[str, Any]]


class ConsentVersion(TypedDict):
    """*kind*: narrowed, widened, renewed ..., by what it changed."""

    version: int
    kind: str
    recorded_at: str
    consent: dict[str, Any]


class LawfulBasis(TypedDict):
    """A record of another lawful basis than consent. Nothing is sent on it before *approved_at*."""

    id: str
    basis: str
    created_at: str
    approved_at: NotRequired[str]
    withdrawn_at: NotRequired[str]
    record: dict[str, Any]


class LawfulBasisUse(TypedDict):
    """One row of the report. *referrals*: ids; *deliveries*: ``{state: how many}``."""

    id: str
    hub: str
    basis: str
    created_at: str
    approved_at: str | None
    withdrawn_at: str | None
    referrals: list[str]
    deliveries: dict[str, int]


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
    takes_messages: bool


class Area(TypedDict):
    """*phase*: planned, pilot or live. *councils*: ``{code: name}``."""

    area: str
    phase: str
    since: NotRequired[str]
    councils: dict[str, str]


class Contact(TypedDict):
    name: str
    phones: list[str]


class Sheet(TypedDict):
    """What an agency that is told by hand may be given, and nothing else of her. See the referral schema.

    *of*: the delivery of the referral that it is about. *reference*: the agency's own.
    """

    delivery: str
    agency: str
    purpose: str
    kind: str
    of: NotRequired[str]
    reference: NotRequired[str]
    contacts: list[Contact]
    referral: dict[str, Any]
    message: NotRequired[str]


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
