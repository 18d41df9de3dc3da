"""The agency's terms: the elements of the XSD, its fault codes and its statuses."""

from collections.abc import Mapping
from typing import Any

import gateway_sdk as sdk

CODES: Mapping[str, str] = {
    "under_16": "she is under 16: a person under 16 is not referred here; ask children's services",
    "invalid": "the agency could not read the referral: its contract and the adapter do not agree",
    "rejected": "the agency rejected the message as ours to mend",
    "service_unavailable": "the agency's service is closed or overloaded for now",
    "server_fault": "the agency's service failed; it may have the referral",
    "unclear_status": "the agency's answer about the referral says nothing certain",
    "unknown_reference": "the agency holds no referral under this reference: tell it by phone",
    "not_authorised": "the agency does not accept the gateway's credentials",
}

VALIDATION: Mapping[str, str] = {"UNDER_16": "under_16"}

STATUSES: Mapping[str, sdk.Status] = {
    "RECEIVED": sdk.Status.SENT,
    "ACCEPTED": sdk.Status.ACCEPTED,
    "DECLINED": sdk.Status.DECLINED,
    "APPOINTMENT_OFFERED": sdk.Status.APPOINTMENT_OFFERED,
    "NO_SHOW": sdk.Status.NO_SHOW,
    "IN_PROGRESS": sdk.Status.IN_PROGRESS,
    "ON_HOLD": sdk.Status.ON_HOLD,
    "LOST_CONTACT": sdk.Status.LOST_CONTACT,
    "COMPLETED": sdk.Status.COMPLETED,
    "WITHDRAWN": sdk.Status.WITHDRAWN,
}

REASONS: Mapping[str, sdk.Reason] = {reason.upper().replace("-", "_"): reason for reason in sdk.Reason}


def message(referral: sdk.Referral) -> dict[str, Any]:
    """The parts of ``SubmitReferral``, by their names in the XSD; what is empty is left out."""
    return _filled(
        reference=referral.delivery_key,
        submittedAt=referral.submitted_at.isoformat(),
        urgency=referral["/urgency"],
        person=_person(referral),
        contact=_contact(referral),
        child=_renamed(referral.get("/household/children")),
        income=_filled(
            benefit=referral.get("/income/benefits"), hasOwnBankAccount=referral.get("/income/has_own_bank_account")
        ),
        help=_filled(
            ask=referral["/request/ask"],
            benefit=referral["/request/benefits"],
            wantedBy=referral.get("/request/wanted_by"),
        ),
        referrer=_referrer(referral["/referrer"]),
    )


def _person(referral: sdk.Referral) -> dict[str, Any]:
    return _filled(
        name=referral["/person/name"],
        knownAs=referral.get("/person/known_as"),
        birthDate=referral["/person/birth_date"],
        nationalInsuranceNumber=referral.get("/person/national_insurance_number"),
        language=_renamed(referral.get("/person/language")),
        communicationNeed=referral.get("/person/communication_needs"),
        noRecourseToPublicFunds=referral.get("/person/immigration/no_recourse_to_public_funds"),
    )


def _contact(referral: sdk.Referral) -> dict[str, Any]:
    post = referral.get("/contact/post")
    if post:
        post = _filled(line=post["lines"], postcode=post.get("postcode"), safeToUse=post["safe_to_use"])
    return _filled(
        phone=_renamed(referral.get("/contact/phone")),
        email=_renamed(referral.get("/contact/email")),
        post=post,
        throughHub=referral.get("/contact/through_hub"),
    )


def _referrer(referrer: Mapping[str, Any]) -> dict[str, Any]:
    worker = {f"worker{name.capitalize()}": value for name, value in referrer["worker"].items()}
    return {"service": referrer["service"], **worker}


def _filled(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None and value != {}}


def _renamed(value: Any) -> Any:
    """Member names as the XSD spells them: ``safe_to_call`` becomes ``safeToCall``."""
    if isinstance(value, Mapping):
        return {_spell(name): member for name, member in value.items()}
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def _spell(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
