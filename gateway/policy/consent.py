"""May this agency be given these categories, for this purpose, now? And if not, why not.

The record follows ISO/IEC TS 27560: who agreed, to which recipients, purposes and categories,
given how and when, until when. Rarely, something is sent on another lawful basis than consent: such a
record has the same shape, and permits nothing until a second worker approved it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Basis(StrEnum):
    """Why the law allows it (UK GDPR, articles 6 and 9)."""

    CONSENT = "consent"
    VITAL_INTERESTS = "vital-interests"
    SAFEGUARDING = "safeguarding"


CHILDREN = "children"
STATISTICS = "statistics"
HERS_TO_GIVE = frozenset({"hers", "shared"})
"""Who has parental responsibility for her children where her consent opens their data."""


@dataclass(frozen=True)
class Permit:
    recipients: frozenset[str]
    purposes: frozenset[str]
    categories: frozenset[str]
    ends_at: datetime


@dataclass(frozen=True)
class Consent:
    """A consent record, as far as the decision needs it. Times have a zone. *approved* matters to other bases only."""

    subject: str
    given_at: datetime
    permits: tuple[Permit, ...]
    ends_at: datetime
    withdrawn_at: datetime | None = None
    basis: Basis = Basis.CONSENT
    approved: bool = False


class WhyNot(StrEnum):
    OTHER_SUBJECT = "other_subject"
    NOT_APPROVED = "not_approved"
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
    basis: Basis = Basis.CONSENT


def parse(document: Mapping[str, Any], withdrawn_at: datetime | None = None, *, approved: bool = False) -> Consent:
    """A Consent from a document that follows the schema of consents, or of lawful bases."""
    ends_at = datetime.fromisoformat(document["ends_at"])
    basis = Basis(document.get("basis", Basis.CONSENT))
    given = document.get("given") or document.get("recorded")  # none where nobody said it: it ended
    return Consent(
        subject=document["subject"],
        given_at=datetime.fromisoformat(given["at"]) if given else datetime.min.replace(tzinfo=UTC),
        permits=tuple(
            Permit(
                recipients=frozenset(permit["recipients"]),
                purposes=frozenset(permit["purposes"]),
                categories=_categories(permit, basis),
                ends_at=min(ends_at, datetime.fromisoformat(permit["ends_at"])) if "ends_at" in permit else ends_at,
            )
            for permit in document["permits"]
        ),
        ends_at=ends_at,
        withdrawn_at=withdrawn_at,
        basis=basis,
        approved=approved,
    )


def _categories(permit: Mapping[str, Any], basis: Basis) -> frozenset[str]:
    """Her children's data is covered only where the permit says so, and parental responsibility is hers."""
    named = frozenset[str](permit["categories"])
    theirs = permit.get("children", {}).get("parental_responsibility") in HERS_TO_GIVE
    return named if theirs or basis is not Basis.CONSENT else named - {CHILDREN}


def _barred(consent: Consent, subject: str, at: datetime) -> WhyNot | None:
    """Why *consent* permits nothing at all about *subject* at *at*, or None."""
    if consent.subject != subject:
        return WhyNot.OTHER_SUBJECT
    if consent.withdrawn_at is not None and consent.withdrawn_at <= at:
        return WhyNot.WITHDRAWN
    if consent.basis is not Basis.CONSENT and not consent.approved:
        return WhyNot.NOT_APPROVED
    if at < consent.given_at:
        return WhyNot.NOT_YET
    return WhyNot.EXPIRED if at >= consent.ends_at else None


def decide(
    consent: Consent, *, subject: str, agency: str, purpose: str, required: frozenset[str], at: datetime
) -> Grant | tuple[Missing, ...]:
    """Whether *agency* may be given the *required* categories about *subject* for *purpose* at *at*.

    A Grant names every category permitted, required or not. Otherwise everything that is missing:
    one entry for the whole, or one for each category. An end is exclusive: at ``ends_at`` it has ended.
    """

    def no(reason: WhyNot, category: str | None = None) -> Missing:
        return Missing(agency, purpose, reason, category)

    barred = _barred(consent, subject, at)
    if barred is not None:
        return (no(barred),)
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
    return Grant(agency, purpose, permitted, consent.basis)


def statistics(consent: Consent, at: datetime) -> frozenset[str]:
    """The categories that may be counted at *at*: those she gave for statistics, and nothing given for help."""
    alive = consent.withdrawn_at is None and consent.given_at <= at < consent.ends_at
    counted = (permit for permit in consent.permits if STATISTICS in permit.purposes and at < permit.ends_at)
    asked = alive and consent.basis is Basis.CONSENT
    return frozenset[str]().union(*(permit.categories for permit in counted)) if asked else frozenset()
