"""Referrals to a council's homelessness service: REST and JSON, after the contract in ``openapi.json``.

A hub's referral is a request for help. It is not an application: the council opens its own case.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import gateway_sdk as sdk

from .contract import CODES, MESSAGE, PROBLEMS, STATUSES, document


class Housing(sdk.Adapter):
    purpose = "housing"
    needs = sdk.needs(
        "/urgency", "/area", "/referrer", "/person/name", "/person/birth_date", "/housing/situation", "/request/ask",
        optional=[
            "/request/wanted_by", "/person/known_as", "/person/language", "/person/communication_needs",
            "/contact/phone", "/contact/email", "/contact/post", "/contact/through_hub", "/contact/who_must_not_know",
            "/household/adults", "/household/children/*/birth_date", "/household/children/*/lives_with_her",
            "/housing/detail", "/housing/lost_on", "/housing/needs_accessible_home", "/housing/pets", "/housing/address",
            "/housing/risk_at_address", "/housing/areas_to_avoid", "/housing/people_to_avoid", "/support/needs",
        ],
    )  # fmt: skip
    codes = CODES
    auth = sdk.OAuth2ClientCredentials("/oauth/token", scope="referrals")
    callback_auth = sdk.SignedCallback()
    idempotent = True
    takes_messages = True

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/referrals", json=document(referral), idempotency_key=referral.delivery_key)

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        match reply.status:
            case 200 | 201:
                return sdk.Delivered(_case_id(reply), duplicate=reply.status == 200)
            case 204:
                return sdk.Delivered()  # a withdrawal, taken
            case 409:
                return sdk.Delivered(_case_id(reply), duplicate=True)
            case 410:
                return sdk.Delivered()  # a withdrawal or update of what it never had, or has no more
            case 401:
                return sdk.Unavailable("not_authorised")  # ours to mend; nothing is lost by waiting
            case 429 | 503:
                return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
            case 422 if _problem(reply) == "reference_reused":
                return sdk.Delivered(duplicate=True)  # it has ours; what was changed since follows as an update
            case 400 | 403 | 404 | 405 | 413 | 415 | 422:
                return sdk.Refused(_problem(reply))
            case _:
                return sdk.Uncertain(f"HTTP {reply.status}")

    def ask(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("GET", "/referrals", query={"reference": sent.delivery_key})

    def read_update(self, reply: sdk.Reply) -> sdk.Answer | sdk.Message:
        if reply.status in (401, 429, 503):
            return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
        if reply.status != 200:
            return sdk.Uncertain(f"HTTP {reply.status}")
        body = reply.json
        if isinstance(body, Mapping) and isinstance(body.get("referrals"), list):
            return _update(body["referrals"][0]) if body["referrals"] else sdk.NotFound()
        return _message(body) if isinstance(body, Mapping) and body.get("type") == MESSAGE else _update(body)

    def update(self, referral: sdk.Referral, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest(
            "PUT", f"/referrals/{sent.delivery_key}", json=document(referral), idempotency_key=sent.message_key
        )

    def withdraw(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest(
            "POST", f"/withdrawals/{sent.delivery_key}", json={"reason": "consent-withdrawn"},
            idempotency_key=sent.message_key,
        )  # fmt: skip

    def message(self, message: sdk.Message, sent: sdk.Sent) -> sdk.RestRequest:
        said = {"id": message.id, "text": message.text, **({"answers": message.answers} if message.answers else {})}
        return sdk.RestRequest("POST", f"/messages/{sent.delivery_key}", json=said, idempotency_key=sent.message_key)


def _case_id(reply: sdk.Reply) -> str:
    body = reply.json
    if not isinstance(body, Mapping) or not isinstance(body.get("id"), str) or not body["id"]:
        raise sdk.Unreadable("a success names the case it opened")
    return str(body["id"])


def _problem(reply: sdk.Reply) -> str:
    """The code of a problem document (RFC 9457) whose type the contract lists; else the HTTP status."""
    try:
        body = reply.json
    except sdk.Unreadable:
        body = None
    kind = body.get("type") if isinstance(body, Mapping) else None
    return PROBLEMS.get(kind, f"HTTP {reply.status}") if isinstance(kind, str) else f"HTTP {reply.status}"


def _update(body: Any) -> sdk.Update:
    if not isinstance(body, Mapping) or body.get("status") not in STATUSES:
        raise sdk.Unreadable("not a status of the contract")
    reason = body.get("reason")
    return sdk.Update(
        STATUSES[body["status"]],
        delivery_key=body.get("reference"),
        reference=body.get("caseId"),
        reason=sdk.Reason(reason) if reason else None,
        at=datetime.fromisoformat(body["at"]) if "at" in body else None,
        id=body.get("id"),
    )


def _message(body: Mapping[str, Any]) -> sdk.Message:
    return sdk.Message(
        body["id"],
        body["text"],
        datetime.fromisoformat(body["at"]) if "at" in body else None,
        answers=body.get("answers"),
        delivery_key=body.get("reference"),
        reference=body.get("caseId"),
    )


@sdk.hookimpl
def register_adapters(register: Any) -> None:
    register(Housing)
