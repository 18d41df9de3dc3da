"""Referrals for help with social security: SOAP, after the contract in ``wsdl/referrals-v1.wsdl``.

A referral never starts a claim on its own: an adviser contacts her first.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

import gateway_sdk as sdk

from .contract import CODES, REASONS, STATUSES, VALIDATION, message


class SocialSecurity(sdk.Adapter):
    purpose = "social-security"
    needs = sdk.needs(
        "/urgency", "/referrer", "/person/name", "/person/birth_date", "/request/ask", "/request/benefits",
        optional=[
            "/request/wanted_by", "/person/known_as", "/person/national_insurance_number", "/person/language",
            "/person/communication_needs", "/person/immigration/no_recourse_to_public_funds", "/contact/phone",
            "/contact/email", "/contact/post", "/contact/through_hub", "/household/children/*/name",
            "/household/children/*/birth_date", "/household/children/*/lives_with_her", "/income/benefits",
            "/income/has_own_bank_account",
        ],
    )  # fmt: skip
    codes = CODES
    auth = sdk.UsernameToken()
    wsdl = files(__name__) / "wsdl" / "referrals-v1.wsdl"
    polls = True
    takes_messages = True

    def translate(self, referral: sdk.Referral) -> sdk.SoapRequest:
        return sdk.SoapRequest("SubmitReferral", message(referral))

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        if reply.fault:
            return _fault(reply.fault)
        if reply.status in (429, 503):
            return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
        if reply.message is None or reply.status not in (200, 202):
            return sdk.Uncertain(f"HTTP {reply.status}")
        if "noted" in reply.message:
            return sdk.Delivered() if reply.message["noted"] in ("true", "1") else sdk.Refused("unknown_reference")
        if "withdrawn" in reply.message or "updated" in reply.message:
            return sdk.Delivered()  # also when it never had it, or has no more
        if not isinstance(reply.message.get("caseReference"), str):
            raise sdk.Unreadable("a success names the case")
        return sdk.Delivered(reply.message["caseReference"])

    def ask(self, sent: sdk.Sent) -> sdk.SoapRequest:
        return sdk.SoapRequest("GetReferralStatus", {"reference": sent.delivery_key})

    def read_update(self, reply: sdk.Reply) -> sdk.Answer:
        if reply.fault and reply.fault.detail == "ServiceUnavailableFault":
            return sdk.Unavailable("service_unavailable", retry_after=_seconds(reply.fault))
        if reply.message is None:
            return sdk.Uncertain(f"HTTP {reply.status}")
        if reply.message.get("found") not in ("true", "1"):
            return sdk.NotFound() if reply.message.get("found") in ("false", "0") else sdk.Uncertain("unclear_status")
        return _update(reply.message)

    def update(self, referral: sdk.Referral, sent: sdk.Sent) -> sdk.SoapRequest:
        return sdk.SoapRequest("UpdateReferral", {**message(referral), "updateReference": sent.message_key})

    def withdraw(self, sent: sdk.Sent) -> sdk.SoapRequest:
        return sdk.SoapRequest(
            "WithdrawReferral", {"reference": sent.delivery_key, "withdrawalReference": sent.message_key}
        )

    def message(self, message: sdk.Message, sent: sdk.Sent) -> sdk.SoapRequest:
        said = {"reference": sent.delivery_key, "messageReference": sent.message_key, "messageId": message.id}
        said |= {"text": message.text} | ({"answers": message.answers} if message.answers else {})
        return sdk.SoapRequest("SendMessage", said)


def _fault(fault: sdk.Fault) -> sdk.Outcome:
    match fault.detail:
        case "DuplicateFault" if fault.fields.get("caseReference"):
            return sdk.Delivered(fault.fields["caseReference"], duplicate=True)
        case "ValidationFault":
            return sdk.Refused(VALIDATION.get(fault.fields.get("code", ""), "invalid"))
        case "ServiceUnavailableFault":
            return sdk.Unavailable("service_unavailable", retry_after=_seconds(fault))
        case None if fault.code in ("FailedAuthentication", "InvalidSecurity", "FailedCheck", "MessageExpired"):
            return sdk.Unavailable("not_authorised")  # ours to mend; it looked at nothing else
        case _ if fault.code in ("Client", "Sender"):
            return sdk.Refused("rejected")
        case _:
            return sdk.Uncertain("server_fault")


def _seconds(fault: sdk.Fault) -> float | None:
    value = fault.fields.get("retryAfterSeconds", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _update(message: Mapping[str, Any]) -> sdk.Answer:
    status = STATUSES.get(message.get("status", ""))
    if status is None:
        return sdk.Uncertain("unclear_status")
    return sdk.Update(
        status,
        delivery_key=message.get("reference"),
        reference=message.get("caseReference"),
        reason=REASONS.get(message["declinedReason"], sdk.Reason.OTHER) if "declinedReason" in message else None,
        at=datetime.fromisoformat(message["updatedAt"]) if "updatedAt" in message else None,
        messages=tuple(_questions(message.get("question", []))),
    )


def _questions(asked: Any) -> Iterator[sdk.Message]:
    """One element is a mapping, several are a list."""
    for one in asked if isinstance(asked, list) else [asked]:
        yield sdk.Message(one["questionReference"], one["text"], datetime.fromisoformat(one["askedAt"]))


@sdk.hookimpl
def register_adapters(register: Any) -> None:
    register(SocialSecurity)
