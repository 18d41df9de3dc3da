"""What she agrees to at an instant."""

from datetime import datetime

from gateway.plugins import Agency
from gateway.policy.consent import Consent, Grant, WhyNot, decide

CODES = {WhyNot.WITHDRAWN: "consent_withdrawn", WhyNot.EXPIRED: "consent_expired"}


def permission(consent: Consent, agency: Agency, purpose: str, at: datetime) -> Grant | WhyNot:
    """Whether *agency* may be given what it needs for *purpose* at *at*; if not, why."""
    answer = decide(
        consent, subject=consent.subject, agency=agency.name, purpose=purpose,
        required=agency.required_categories, at=at,
    )  # fmt: skip
    return answer if isinstance(answer, Grant) else answer[0].reason


def code(why: WhyNot) -> str:
    """The outcome code that says so."""
    return CODES.get(why, "consent_missing")
