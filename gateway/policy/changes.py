"""How one version of a consent differs from the one before.

What a consent covers is a set of *places*, ``(agency, purpose, category)``, each until an end.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from .consent import Consent

Place = tuple[str, str, str]


class Kind(StrEnum):
    """Why there is a version."""

    GRANTED = "granted"
    NARROWED = "narrowed"
    WIDENED = "widened"
    RENEWED = "renewed"  # the same again: later ends, if anything
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"  # told by the clock
    APPROVED = "approved"  # by a second worker; of another lawful basis than consent only


def coverage(consent: Consent) -> dict[Place, datetime]:
    """Every place *consent* covers, and until when."""
    covered: dict[Place, datetime] = {}
    for permit in consent.permits:
        for agency in permit.recipients:
            for purpose in permit.purposes:
                for category in permit.categories:
                    place = agency, purpose, category
                    covered[place] = max(permit.ends_at, covered.get(place, permit.ends_at))
    return covered


def compare(old: Consent, new: Consent) -> Kind | None:
    """NARROWED, WIDENED or RENEWED; None when *new* takes something away and adds something as well."""
    before, after = coverage(old), coverage(new)
    less = any(place not in after or after[place] < end for place, end in before.items())
    wider = bool(after.keys() - before.keys())
    longer = any(after[place] > end for place, end in before.items() if place in after)
    if less:
        return None if wider or longer else Kind.NARROWED
    return Kind.WIDENED if wider else Kind.RENEWED


def lost(old: Consent, new: Consent, at: datetime) -> frozenset[Place]:
    """The places that *new* takes away, so that at *at* they are covered no longer."""
    after = coverage(new)
    return frozenset(
        place
        for place, end in coverage(old).items()
        if place not in after or (after[place] < end and after[place] <= at)
    )


def without(
    document: Mapping[str, Any], *, recipients: Collection[str] = (), categories: Collection[str] = ()
) -> dict[str, Any] | None:
    """*document* without *categories* for *recipients*; naming none of either means all of them. None: nothing is left."""
    permits = [part for permit in document["permits"] for part in _without(permit, set(recipients), set(categories))]
    return {**document, "permits": permits} if permits else None


def _without(permit: Mapping[str, Any], recipients: set[str], categories: set[str]) -> list[dict[str, Any]]:
    """What is left of *permit*: a part for the recipients that are not meant, and one for those that are."""
    meant = [name for name in permit["recipients"] if not recipients or name in recipients]
    others = [name for name in permit["recipients"] if name not in meant]
    left = [category for category in permit["categories"] if categories and category not in categories]
    if not meant or left == permit["categories"]:
        return [dict(permit)]
    parts = [{**permit, "recipients": others}] if others else []
    if left:
        parts.append({**permit, "recipients": meant, "categories": left})
    return parts


def next_end(consent: Consent, after: datetime) -> datetime | None:
    """When the next permit of *consent*, or all of it, ends after *after*."""
    ends = {consent.ends_at, *(permit.ends_at for permit in consent.permits)}
    return min((end for end in ends if end > after), default=None)
