"""What she agrees to at an instant."""

from datetime import datetime

from gateway.plugins import Agency
from gateway.policy.consent import Consent, Grant, WhyNot, decide

CODES = {WhyNot.WITHDRAWN: "consent_withdrawn", WhyNot.EXPIRED: "consent_expired"}


MESSAGE = frozenset({"message"})
"""The data categories of a message: words are one of their own, since nobody can tell what they will say."""


def permission(
    consent: Consent, agency: Agency, purpose: str, at: datetime, *, kind: str = "referral"
) -> Grant | WhyNot:
    """Whether *agency* may be given what a delivery of this *kind* carries, for *purpose* at *at*; if not, why."""
    answer = decide(
        consent, subject=consent.subject, agency=agency.name, purpose=purpose,
        required=MESSAGE if kind == "message" else agency.required_categories, at=at,
    )  # fmt: skip
    return answer if isinstance(answer, Grant) else answer[0].reason


def code(why: WhyNot) -> str:
    """The outcome code that says so."""
    return CODES.get(why, "consent_missing")
