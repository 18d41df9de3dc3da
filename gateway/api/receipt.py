"""The receipt of a consent: after ISO/IEC TS 27560:2023 (and Kantara's Consent Receipt before it), and in plain words.

It names the hub, not the worker: she knows whom she spoke with, and may show it to others.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import gateway_schemas
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.policy.changes import Kind
from gateway.policy.consent import parse
from gateway.store.consents import Record, Version

TEMPLATES = Path(__file__).parent / "templates"
SCHEMA = "ISO/IEC TS 27560:2023"
HOW_TO_WITHDRAW = "Tell any worker of the hub, in any way, at any time and without a reason: all of it, one agency, or one kind of data."
RIGHTS = [
    "to see what is kept about you", "to have it corrected", "to change your mind", "to have it erased",
    "to complain to the Information Commissioner (ico.org.uk)",
]  # fmt: skip
PURPOSES = {
    "housing": "to help you with somewhere to live",
    "social-security": "to help you with benefits and payments",
    "health-care": "to help you with your health",
    "statistics": "to count, without your name, how many women are helped and how",
}
METHODS = {
    "spoken": "You said so.",
    "written": "You signed.",
    "through-interpreter": "You said so through an interpreter.",
}
KINDS = {
    Kind.GRANTED: "You agreed.",
    Kind.NARROWED: "You agreed to less.",
    Kind.WIDENED: "You agreed to more.",
    Kind.RENEWED: "You agreed again.",
    Kind.WITHDRAWN: "You withdrew all of it.",
    Kind.EXPIRED: "It ended.",
}


def record(stored: Record, versions: Sequence[Version]) -> dict[str, Any]:
    """The consent record in TS 27560's sections: header, processing, parties, events."""
    document = stored.document
    return {
        "schema_version": SCHEMA,
        "record_id": stored.id,
        "pii_principal_id": document["subject"],
        "pii_processing": [_processing(permit, document) for permit in document["permits"]],
        "party_identification": [{"party_id": stored.hub, "party_role": "pii_controller"}],
        "events": [_event(one, stored.hub) for one in versions],
    }


def _processing(permit: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    known = gateway_schemas.categories()
    return {
        "privacy_notice": document["given"]["wording_version"] if "given" in document else None,
        "purposes": permit["purposes"],
        "lawful_basis": "consent",
        "pii_information": [
            {"pii_type": category, "special_pii_category": known[category]["specialCategory"]}
            for category in permit["categories"]
        ],
        "recipient_third_parties": permit["recipients"],
        "collection_method": "told to the hub by her",
        "valid_until": min(permit.get("ends_at", document["ends_at"]), document["ends_at"], key=datetime.fromisoformat),
        "jurisdictions": ["GB-SCT"],
        "withdrawal_method": HOW_TO_WITHDRAW,
        "privacy_rights": RIGHTS,
    } | ({"parental_responsibility": permit["children"]["parental_responsibility"]} if "children" in permit else {})


def _event(one: Version, hub: str) -> dict[str, Any]:
    given = one.document.get("given", {})
    said = {"event_type": "explicit", "method": given["method"], "notice": given["wording_version"]} if given else {}
    at = given.get("at", one.recorded_at.isoformat())
    return {"event_time": at, "event_state": str(one.kind), "entity_id": hub, "recorded_at": one.recorded_at, **said}


def page(stored: Record, versions: Sequence[Version]) -> HTMLResponse:
    """The receipt as a page that needs nothing else: no script, its style inside, ready to print."""
    known = gateway_schemas.categories()
    style = (TEMPLATES / "receipt.css").read_text("utf-8")
    mark = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{mark}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    html = _environment.get_template("receipt.html").render(
        style=style,
        hub=_spoken(stored.hub),
        id=stored.id,
        state=_state(stored),
        permits=[_permit(permit, stored) for permit in stored.document["permits"]],
        history=[(KINDS[one.kind], _how(one), one.recorded_at) for one in versions if one.kind in KINDS],
        always=[category["plain"] for category in known.values() if not category["needsConsent"]],
        withdraw=HOW_TO_WITHDRAW,
        rights=RIGHTS,
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _state(stored: Record) -> str:
    if stored.withdrawn_at is not None:
        return "withdrawn"
    return "ended" if stored.read_at >= stored.consent.ends_at else "valid"


def _permit(permit: Mapping[str, Any], stored: Record) -> dict[str, Any]:
    """One permit in words; only the kinds of data that it really opens."""
    [opened] = parse({**stored.document, "permits": [permit]}).permits
    known = gateway_schemas.categories()
    return {
        "recipients": [_spoken(name) for name in permit["recipients"]],
        "purposes": [PURPOSES.get(purpose, purpose) for purpose in permit["purposes"]],
        "categories": [known[category]["plain"] for category in permit["categories"] if category in opened.categories],
        "until": opened.ends_at,
        "ended": stored.read_at >= opened.ends_at,
    }


def _how(one: Version) -> str:
    given = one.document.get("given")
    return METHODS[given["method"]] if given and one.kind is not Kind.WITHDRAWN else ""


def _spoken(name: str) -> str:
    """A configured name as it is said: ``glasgow-housing`` is Glasgow housing."""
    return name.replace("-", " ").capitalize()


def _date(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters["date"] = _date
