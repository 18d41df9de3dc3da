"""May this agency be given these categories, for this purpose, now? And if not, why not.

The record follows ISO/IEC TS 27560: who agreed, to which recipients, purposes and categories,
given how and when, until when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Permit:
    recipients: frozenset[str]
    purposes: frozenset[str]
    categories: frozenset[str]
    ends_at: datetime


@dataclass(frozen=True)
class Consent:
    """A consent record, as far as the decision needs it. Times have a zone."""

    subject: str
    given_at: datetime
    permits: tuple[Permit, ...]
    ends_at: datetime
    withdrawn_at: datetime | None = None


class WhyNot(StrEnum):
    OTHER_SUBJECT = "other_subject"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    NOT_RECIPIENT = "not_recipient"
    NOT_PURPOSE = "not_purpose"
    NOT_CATEGORY = "not_category"


@dataclass(frozen=True)
class Missing:
    """One thing that stands in the way. *category* is set for NOT_CATEGORY only."""

    agency: str
    purpose: str
    reason: WhyNot
    category: str | None = None


@dataclass(frozen=True)
class Grant:
    """What *agency* may be given for *purpose* at the instant that was asked about."""

    agency: str
    purpose: str
    categories: frozenset[str]


def parse(document: Mapping[str, Any], withdrawn_at: datetime | None = None) -> Consent:
    """A Consent from a document that follows the consent schema."""
    ends_at = datetime.fromisoformat(document["ends_at"])
    return Consent(
        subject=document["subject"],
        given_at=datetime.fromisoformat(document["given"]["at"]),
        permits=tuple(
            Permit(
                recipients=frozenset(permit["recipients"]),
                purposes=frozenset(permit["purposes"]),
                categories=frozenset(permit["categories"]),
                ends_at=min(ends_at, datetime.fromisoformat(permit["ends_at"])) if "ends_at" in permit else ends_at,
            )
            for permit in document["permits"]
        ),
        ends_at=ends_at,
        withdrawn_at=withdrawn_at,
    )


def decide(
    consent: Consent, *, subject: str, agency: str, purpose: str, required: frozenset[str], at: datetime
) -> Grant | tuple[Missing, ...]:
    """Whether *agency* may be given the *required* categories about *subject* for *purpose* at *at*.

    A Grant names every category permitted, required or not. Otherwise everything that is missing:
    one entry for the whole, or one for each category. An end is exclusive: at ``ends_at`` it has ended.
    """

    def no(reason: WhyNot, category: str | None = None) -> Missing:
        return Missing(agency, purpose, reason, category)

    if consent.subject != subject:
        return (no(WhyNot.OTHER_SUBJECT),)
    if consent.withdrawn_at is not None and consent.withdrawn_at <= at:
        return (no(WhyNot.WITHDRAWN),)
    if at < consent.given_at:
        return (no(WhyNot.NOT_YET),)
    if at >= consent.ends_at:
        return (no(WhyNot.EXPIRED),)
    to_agency = [permit for permit in consent.permits if agency in permit.recipients]
    if not to_agency:
        return (no(WhyNot.NOT_RECIPIENT),)
    for_purpose = [permit for permit in to_agency if purpose in permit.purposes]
    if not for_purpose:
        return (no(WhyNot.NOT_PURPOSE),)
    in_force = [permit for permit in for_purpose if at < permit.ends_at]
    if not in_force:
        return (no(WhyNot.EXPIRED),)
    permitted = frozenset[str]().union(*(permit.categories for permit in in_force))
    if required - permitted:
        return tuple(no(WhyNot.NOT_CATEGORY, category) for category in sorted(required - permitted))
    return Grant(agency, purpose, permitted)
