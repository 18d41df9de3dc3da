"""The resources of a referral message."""

from collections.abc import Callable, Mapping
from typing import Any

import gateway_sdk as sdk

from .settings import NhsSettings

SAFE_CONTACT = "https://referral-gateway.example/fhir/StructureDefinition/safe-contact"
LANGUAGES = "urn:ietf:bcp:47"

Pointing = Callable[[str], Mapping[str, str]]


def patient(given: sdk.Referral, settings: NhsSettings) -> dict[str, Any]:
    """UK Core Patient. No gender is inferred; a CHI number is left out where she has none."""
    name = given["/person/name"]
    names = [_filled(use="official", family=name["family"], given=[name["given"]] if "given" in name else None)]
    if known_as := given.get("/person/known_as"):
        names.append({"use": "usual", "text": known_as})
    chi = given.get("/person/chi_number")
    post = given.get("/contact/post")
    return _filled(
        resourceType="Patient",
        meta={"profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient"]},
        identifier=[{"system": settings.patient_identifier_system, "value": chi}] if chi else None,
        name=names,
        birthDate=given["/person/birth_date"],
        telecom=_telecom(given) or None,
        address=[_address(post)] if post else None,
        communication=_communication(given) or None,
        generalPractitioner=[{"display": practice}] if (practice := given.get("/health/gp_practice")) else None,
        extension=_contact_through_hub(given),
    )


def _telecom(given: sdk.Referral) -> list[dict[str, Any]]:
    """The safe channels, each with its rules beside it: a number without them is not safe."""
    phone, email = given.get("/contact/phone"), given.get("/contact/email")
    points = []
    if phone:
        points.append({"system": "phone", "value": phone["number"], "extension": [_safe_contact(phone, "number")]})
    if email:
        points.append({"system": "email", "value": email["address"], "extension": [_safe_contact(email, "address")]})
    return points


def _address(post: Mapping[str, Any]) -> dict[str, Any]:
    address = _filled(line=post["lines"], postalCode=post.get("postcode"))
    return {
        "use": "temp",
        "type": "postal",
        **address,
        "extension": [_safe_contact({"safe_to_use": post["safe_to_use"]})],
    }


def _safe_contact(rules: Mapping[str, Any], *besides: str) -> dict[str, Any]:
    """Every rule of a channel but those told elsewhere, as one extension with parts."""
    told = [
        {"url": name, **({"valueBoolean": value} if isinstance(value, bool) else {"valueString": value})}
        for name, value in rules.items()
        if name not in besides
    ]
    return {"url": SAFE_CONTACT, "extension": told}


def _contact_through_hub(given: sdk.Referral) -> list[dict[str, Any]] | None:
    through_hub = given.get("/contact/through_hub")
    return None if through_hub is None else [_safe_contact({"through_hub": through_hub})]


def _communication(given: sdk.Referral) -> list[dict[str, Any]]:
    language = given.get("/person/language")
    needs = given.get("/person/communication_needs")
    found: list[dict[str, Any]] = []
    if language:
        coding = {"coding": [{"system": LANGUAGES, "code": language["preferred"]}]}
        rules = {name: value for name, value in language.items() if name != "preferred"}
        found.append(
            {"language": coding, "preferred": True, **({"extension": [_safe_contact(rules)]} if rules else {})}
        )
    found += [{"language": {"text": need}} for need in needs or ()]
    return found


def occurrence(given: sdk.Referral, at: str) -> dict[str, Any]:
    """When an answer is of use."""
    return {"occurrencePeriod": _filled(start=at, end=given.get("/request/wanted_by"))}


def request_details(given: sdk.Referral) -> dict[str, Any]:
    """What she needs the health service for, and where: reasons and notes of the ServiceRequest."""
    health = [{"text": need} for need in given.get("/health/needs") or ()]
    notes = [{"text": f"Support needs: {need}"} for need in given.get("/support/needs") or ()]
    return _filled(reasonCode=health or None, note=notes or None, locationCode=[{"text": given["/area"]}])


def plan_details(given: sdk.Referral) -> dict[str, Any]:
    """What the agency should know of her health: the activities of the CarePlan."""
    told = {
        "Mental health": given.get("/health/mental_health"),
        "Substance use": given.get("/health/substance_use"),
        "Medication": given.get("/health/medication"),
        "Disability": given.get("/health/disability"),
        "Pregnancy due": given.get("/health/pregnancy_due_date"),
    }
    activities = [
        {"detail": {"status": "not-started", "code": {"text": title}, "description": text}}
        for title, text in told.items()
        if text
    ]
    return _filled(activity=activities or None)


POLICIES = {
    "consent": "Explicit consent recorded by the hub; withdrawal is sent as a revoked ServiceRequest",
    "vital-interests": "No consent: sent to protect vital interests (UK GDPR articles 6(1)(d) and 9(2)(c))",
    "safeguarding": "No consent: sent for safeguarding (Data Protection Act 2018, schedule 1, paragraph 18)",
}


def consent(to: Pointing, at: str, basis: str) -> dict[str, Any]:
    """That she agreed to this disclosure, to this receiver, or on what other *basis* it is made: an explicit provision."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "INFA"}
    return {
        "resourceType": "Consent",
        "meta": {"profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Consent"]},
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [kind]}],
        "patient": to("patient"),
        "dateTime": at,
        "policyRule": {"text": POLICIES[basis]},
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "recipient"}, "reference": to("receiver")}],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        },
    }


def organisations(given: sdk.Referral, settings: NhsSettings, to: Pointing) -> dict[str, Any]:
    """Who refers, and who receives."""
    worker = given["/referrer/worker"]
    contacts = [{"system": kind, "value": worker[kind]} for kind in ("phone", "email") if kind in worker]
    return {
        "sender": organisation(settings, settings.sender_code, given["/referrer/service"]),
        "receiver": organisation(settings, settings.receiver_code, settings.receiver_name),
        "practitioner": {"resourceType": "Practitioner", "name": [{"text": worker["name"]}]},
        "role": _filled(
            resourceType="PractitionerRole",
            practitioner=to("practitioner"),
            organization=to("sender"),
            code=[{"text": worker["role"]}] if worker.get("role") else None,
            telecom=contacts or None,
        ),
        "service": {
            "resourceType": "HealthcareService",
            "identifier": [{"system": settings.target_system, "value": settings.target_value}],
            "providedBy": to("receiver"),
        },
    }


def organisation(settings: NhsSettings, code: str, name: str) -> dict[str, Any]:
    identifier = [{"system": settings.organisation_system, "value": code}]
    return {"resourceType": "Organization", "identifier": identifier, "name": name}


def _filled(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
