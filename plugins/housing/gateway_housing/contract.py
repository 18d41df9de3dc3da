"""The council's terms: the document of ``openapi.json``, its problems and its statuses."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import gateway_sdk as sdk

NOT_THREATENED = "not-threatened-with-homelessness"
MESSAGE = "referral.message"  # the type of a council's message; what else it posts is a status
TYPES = "https://housing.example/problems/"

PROBLEMS: Mapping[str, str] = {
    TYPES + "invalid": "invalid",
    TYPES + NOT_THREATENED: "not_threatened",
    TYPES + "outside-area": "outside_area",
    TYPES + "reference-reused": "reference_reused",
    TYPES + "unknown-reference": "unknown_reference",
}

CODES: Mapping[str, str] = {
    "invalid": "the council could not read the referral: its contract and the adapter do not agree",
    "not_threatened": "she does not lose her home within six months, so the council opens no case yet",
    "outside_area": "the council does not serve the area",
    "reference_reused": "the council holds another referral under this reference",
    "unknown_reference": "the council holds no referral under this reference: tell it by phone",
    "not_authorised": "the council does not accept the gateway's credentials",
}

STATUSES: Mapping[str, sdk.Status] = {
    "received": sdk.Status.SENT,
    "accepted": sdk.Status.ACCEPTED,
    "declined": sdk.Status.DECLINED,
    "interview-offered": sdk.Status.APPOINTMENT_OFFERED,
    "did-not-attend": sdk.Status.NO_SHOW,
    "in-progress": sdk.Status.IN_PROGRESS,
    "on-hold": sdk.Status.ON_HOLD,
    "lost-contact": sdk.Status.LOST_CONTACT,
    "closed": sdk.Status.COMPLETED,
    "withdrawn": sdk.Status.WITHDRAWN,
}

# The council's fields, section by section, and where each comes from.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "person": {
        "name": "/person/name",
        "knownAs": "/person/known_as",
        "dateOfBirth": "/person/birth_date",
        "language": "/person/language",
        "communicationNeeds": "/person/communication_needs",
    },
    "contact": {
        "phone": "/contact/phone",
        "email": "/contact/email",
        "post": "/contact/post",
        "throughHub": "/contact/through_hub",
        "mustNotKnow": "/contact/who_must_not_know",
    },
    "household": {"adults": "/household/adults", "children": "/household/children"},
    "accommodation": {
        "situation": "/housing/situation",
        "detail": "/housing/detail",
        "lostOn": "/housing/lost_on",
        "accessible": "/housing/needs_accessible_home",
        "pets": "/housing/pets",
        "address": "/housing/address",
    },
    "safety": {
        "riskAtAddress": "/housing/risk_at_address",
        "areasToAvoid": "/housing/areas_to_avoid",
        "peopleToAvoid": "/housing/people_to_avoid",
    },
    "request": {"help": "/request/ask", "wantedBy": "/request/wanted_by", "supportNeeds": "/support/needs"},
    "referrer": {"service": "/referrer/service", "worker": "/referrer/worker"},
}


def document(referral: sdk.Referral) -> dict[str, Any]:
    """The council's ``Referral``: sections and fields that are empty are left out."""
    body: dict[str, Any] = {
        "reference": referral.delivery_key,
        "urgency": referral["/urgency"],
        "area": referral["/area"],
    }
    for section, fields in SECTIONS.items():
        filled = {name: _camel(value) for name, place in fields.items() if (value := referral.get(place)) is not None}
        if filled:
            body[section] = filled
    return body


def _camel(value: Any) -> Any:
    """*value* with its member names as the council spells them: ``safe_to_call`` becomes ``safeToCall``."""
    if isinstance(value, Mapping):
        return {_spell(name): _camel(member) for name, member in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


def _spell(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def openapi() -> dict[str, Any]:
    """The contract: OpenAPI 3.1."""
    contract: dict[str, Any] = json.loads(files(__package__).joinpath("openapi.json").read_text("utf-8"))
    return contract


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of the component called *name*, able to stand alone."""
    components = openapi()["components"]
    return {"$ref": f"#/components/schemas/{name}", "components": components}
