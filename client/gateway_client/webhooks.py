"""Is this message the gateway's? Standard Webhooks."""

from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook, WebhookVerificationError

from .answers import Message
from .errors import BadSignature


def verify_webhook(secrets: str | Sequence[str], headers: Mapping[str, str], body: bytes) -> Message:
    """The message, if one of *secrets* signed these very bytes within the last five minutes. Raises BadSignature.

    *headers*: of the request, in any case. *body*: as it came, not parsed and written again. A message may come
    again: its header ``webhook-id`` is then the same. Order is not promised: ``data.id`` has the place in the feed.
    """
    plain = {name.lower(): value for name, value in headers.items()}
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        try:
            found: Message = Webhook(secret).verify(body, plain)
        except (WebhookVerificationError, ValueError):  # ValueError: not a signature at all, or not JSON
            continue
        return found
    raise BadSignature("the signature of this message is missing, wrong or out of date")
