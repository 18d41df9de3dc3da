"""Referrals to the NHS: FHIR R4 messages, after England's Booking and Referral Standard (BaRS).

No Scottish health board publishes such an interface, and BaRS has no use case for this work: the
codes are settings, and consent travels as an explicit FHIR Consent provision.
"""

from collections.abc import Mapping
from typing import Any

import gateway_sdk as sdk

from . import bundle, replies
from .settings import NhsSettings


class Nhs(sdk.Adapter):
    purpose = "health-care"
    needs = sdk.needs(
        "/urgency", "/area", "/referrer", "/person/name", "/person/birth_date", "/request/ask",
        optional=[
            "/request/wanted_by", "/person/known_as", "/person/chi_number", "/person/language",
            "/person/communication_needs", "/contact/phone", "/contact/email", "/contact/post", "/contact/through_hub",
            "/health/gp_practice", "/health/needs", "/health/mental_health", "/health/substance_use",
            "/health/medication", "/health/disability", "/health/pregnancy_due_date", "/support/needs",
        ],
    )  # fmt: skip
    codes = replies.CODES
    auth = sdk.ApiKey("apikey")
    callback_auth = sdk.BearerCallback()
    idempotent = True
    takes_messages = True
    Settings = NhsSettings
    settings: NhsSettings

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        return self._message(
            bundle.referral(referral, self.settings), request=referral.delivery_key, thread=referral.delivery_key
        )

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        return replies.outcome(reply)

    def read_update(self, reply: sdk.Reply) -> sdk.Answer | sdk.Message:
        return replies.said(reply)

    def update(self, referral: sdk.Referral, sent: sdk.Sent) -> sdk.RestRequest:
        body = bundle.referral(referral, self.settings, sent)
        return self._message(body, request=sent.message_key, thread=sent.delivery_key)

    def withdraw(self, sent: sdk.Sent) -> sdk.RestRequest:
        return self._message(bundle.revocation(sent, self.settings), request=sent.message_key, thread=sent.delivery_key)

    def message(self, message: sdk.Message, sent: sdk.Sent) -> sdk.RestRequest:
        body = bundle.communication(message, sent, self.settings)
        return self._message(body, request=sent.message_key, thread=sent.delivery_key)

    def _message(self, body: Mapping[str, Any], *, request: str, thread: str) -> sdk.RestRequest:
        """BaRS: a retry has the same request id; what follows a referral has a new one and keeps its correlation id."""
        return sdk.RestRequest(
            "POST",
            "/$process-message",
            json=body,
            headers={
                **self.settings.headers(),
                "X-Request-Id": bundle.uuid(request, "request"),
                "X-Correlation-Id": bundle.uuid(thread, "correlation"),
            },
        )


@sdk.hookimpl
def register_adapters(register: Any) -> None:
    register(Nhs)
