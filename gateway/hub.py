"""A hub's webhook, as one more adapter: what the feed says, signed after Standard Webhooks.

Thin: ids, states and codes, so that no consent is asked. Told again rather than doubted: the id in the
headers is the same for every attempt, by which the receiver tells a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gateway_sdk as sdk
from standardwebhooks import Webhook as Signer


@dataclass(frozen=True)
class Notice:
    """One event for one webhook. *key*: of the delivery. *event*: as in the feed. *secrets*: each makes a signature."""

    key: str
    path: str
    event: Mapping[str, Any]
    secrets: Sequence[str]
    at: datetime

    def request(self) -> sdk.RestRequest:
        """Signed over the very bytes that are sent; its time is this attempt's."""
        happened = self.event["at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
        body = {"type": self.event["type"], "timestamp": happened, "data": {**self.event, "at": happened}}
        plain = sdk.RestRequest("POST", self.path, json=body)
        text, now = plain.body().decode(), self.at.astimezone(UTC)
        headers = {
            "webhook-id": self.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Signer(secret).sign(self.key, now, text) for secret in self.secrets),
        }
        return sdk.RestRequest("POST", self.path, json=body, headers=headers)


class Webhook(sdk.Adapter):
    """What a hub's answer means: any 2xx is enough, 410 means never again, anything else later."""

    purpose = "events"
    needs = sdk.needs()
    idempotent = True
    codes = {"HTTP 410": "the hub says that nothing is there any more; its webhook is switched off"}

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        if 200 <= reply.status < 300:
            return sdk.Delivered()
        if reply.status == 410:
            return sdk.Refused("HTTP 410")
        return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
