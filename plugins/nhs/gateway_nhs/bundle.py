"""The messages: FHIR R4 Bundles of type ``message``, in BaRS's shape.

Every id is derived from the delivery's key, so that a retry is the same message, byte for byte.
"""

import uuid as uuidlib
from collections.abc import Mapping
from typing import Any

import gateway_sdk as sdk

from . import parts
from .settings import NhsSettings

STRUCTURE = "https://fhir.nhs.uk/StructureDefinition/"
EVENTS = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
REASONS = "https://fhir.nhs.uk/CodeSystem/message-reason-bars"
CATEGORIES = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
OUR_EVENTS = "https://referral-gateway.example/fhir/CodeSystem/message-events"  # what BaRS has no event for
KEYS = "https://referral-gateway.example/Id/delivery"
MESSAGES = "https://referral-gateway.example/Id/message"  # ours; an agency's have its own, THEIRS
THEIRS = "https://referral-gateway.example/Id/agency-message"
NAMESPACE = uuidlib.uuid5(uuidlib.NAMESPACE_URL, KEYS)

Resources = Mapping[str, Mapping[str, Any]]


def uuid(key: str, what: str) -> str:
    """The id of *what* in the message of *key*."""
    return str(uuidlib.uuid5(NAMESPACE, f"{key}/{what}"))


def referral(given: sdk.Referral, settings: NhsSettings, updates: sdk.Sent | None = None) -> dict[str, Any]:
    """The Bundle that refers her: event ``servicerequest-request``, reason ``new``, or ``update`` of one that was sent."""
    key, at = given.delivery_key, given.submitted_at.isoformat()

    def to(name: str) -> dict[str, str]:
        return {"reference": f"urn:uuid:{uuid(key, name)}"}

    resources = {
        "header": _header(settings, "update" if updates else "new", to),
        "request": {
            "resourceType": "ServiceRequest",
            "meta": {"profile": [STRUCTURE + "BARSServiceRequest-request-referral"]},
            "identifier": [{"system": KEYS, "value": key}],
            "status": "active",
            "intent": "plan",
            "priority": given["/urgency"],
            "category": [_category(settings)],
            "code": {"text": given["/request/ask"]},
            "basedOn": [to("plan")],
            "subject": to("patient"),
            "encounter": to("encounter"),
            "authoredOn": at,
            "requester": to("role"),
            "performer": [to("service")],
            **parts.occurrence(given, at),
            **parts.request_details(given),
            **({"id": updates.reference} if updates and updates.reference else {}),
        },
        "patient": parts.patient(given, settings),
        "encounter": {
            "resourceType": "Encounter",
            "status": "planned",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
            "subject": to("patient"),
        },
        "plan": {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": to("patient"),
            "encounter": to("encounter"),
            **parts.plan_details(given),
        },
        "consent": parts.consent(to, at, given.basis),
        **parts.organisations(given, settings, to),
    }
    return _bundle(key, uuid(updates.message_key if updates else key, "bundle"), at, resources)


def revocation(sent: sdk.Sent, settings: NhsSettings) -> dict[str, Any]:
    """The Bundle that takes her referral back: ServiceRequest ``revoked``, reason ``update``. It says nothing of her."""
    key, at = sent.delivery_key, sent.submitted_at.isoformat()

    def to(name: str) -> dict[str, str]:
        return {"reference": f"urn:uuid:{uuid(key, name)}"}

    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": KEYS, "value": key}],
        "status": "revoked",
        "intent": "plan",
        "category": [_category(settings)],
        "subject": to("patient"),
    }
    if sent.reference:
        request["id"] = sent.reference
    resources = {
        "header": _header(settings, "update", to),
        "request": request,
        "patient": {"resourceType": "Patient"},
        "sender": parts.organisation(settings, settings.sender_code, "Specialist hub"),
        "receiver": parts.organisation(settings, settings.receiver_code, settings.receiver_name),
    }
    return _bundle(key, uuid(sent.message_key, "bundle"), at, resources)


def communication(message: sdk.Message, sent: sdk.Sent, settings: NhsSettings) -> dict[str, Any]:
    """The Bundle that tells the receiver something about her referral in words: a FHIR Communication."""

    def to(name: str) -> dict[str, str]:
        return {"reference": f"urn:uuid:{uuid(sent.message_key, name)}"}

    told: dict[str, Any] = {
        "resourceType": "Communication",
        "identifier": [{"system": MESSAGES, "value": message.id}],
        "basedOn": [{"type": "ServiceRequest", "identifier": {"system": KEYS, "value": sent.delivery_key}}],
        "status": "completed",
        "sender": to("sender"),
        "recipient": [to("receiver")],
        "payload": [{"contentString": message.text}],
    }
    if message.at:
        told["sent"] = message.at.isoformat()
    if message.answers:
        told["inResponseTo"] = [{"identifier": {"system": THEIRS, "value": message.answers}}]
    header = _header(settings, "update", to)
    resources = {
        "header": {
            **{name: value for name, value in header.items() if name not in ("meta", "definition")},
            "eventCoding": {"system": OUR_EVENTS, "code": "communication"},
        },
        "request": told,
        "sender": parts.organisation(settings, settings.sender_code, "Specialist hub"),
        "receiver": parts.organisation(settings, settings.receiver_code, settings.receiver_name),
    }
    return _bundle(sent.message_key, uuid(sent.message_key, "bundle"), sent.submitted_at.isoformat(), resources)


def _bundle(key: str, identifier: str, at: str, resources: Resources) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "id": identifier,
        "meta": {"profile": [STRUCTURE + "BARSBundleMessage"]},
        "type": "message",
        "timestamp": at,
        "entry": [
            {"fullUrl": f"urn:uuid:{uuid(key, name)}", "resource": {"id": uuid(key, name), **resource}}
            for name, resource in resources.items()
        ],
    }


def _category(settings: NhsSettings) -> dict[str, Any]:
    codings = [{"system": CATEGORIES, "code": "referral"}, settings.use_case.model_dump()]
    return {"coding": codings}


def _header(settings: NhsSettings, reason: str, to: parts.Pointing) -> dict[str, Any]:
    return {
        "resourceType": "MessageHeader",
        "meta": {"profile": [STRUCTURE + "BARSMessageHeader-servicerequest-request"]},
        "eventCoding": {"system": EVENTS, "code": "servicerequest-request"},
        "reason": {"coding": [{"system": REASONS, "code": reason}]},
        "definition": "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request-referral",
        "destination": [{"endpoint": f"{settings.target_system}|{settings.target_value}", "receiver": to("receiver")}],
        "sender": to("sender"),
        "source": {"name": "Referral Gateway", "software": "referral-gateway", "endpoint": settings.gateway_endpoint},
        "focus": [to("request")],
    }
