"""Credentials: added on the way out, checked on the way in."""

import base64
import hmac
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import gateway_sdk as sdk
from standardwebhooks import Webhook

from gateway.errors import MaybeSent, NotSent

from .target import Target
from .transport import exchange

EARLY = 30.0  # seconds before its end a token is renewed
LONGEST = 86400.0  # seconds; then a token is renewed, whatever was said of it
FRESH = timedelta(minutes=5)  # the age of a signed callback, or how far ahead of us it may be


@dataclass
class _Token:
    value: str = ""
    ends: float = 0.0  # of time.monotonic()
    lock: threading.Lock = field(default_factory=threading.Lock)


_tokens: dict[str, _Token] = {}
_tokens_lock = threading.Lock()


def headers(target: Target, deadline: float) -> dict[str, str]:
    """What authenticates a REST request to *target*. Raises NotSent when there is no token to be had."""
    match target.auth:
        case sdk.Bearer():
            return {"Authorization": f"Bearer {target.credentials['token']}"}
        case sdk.ApiKey(header):
            return {header: target.credentials["api_key"]}
        case sdk.OAuth2ClientCredentials(path, scope):
            return {"Authorization": f"Bearer {_token(target, path, scope, deadline)}"}
        case _:
            return {}


def forget(target: Target) -> bool:
    """Drop the cached token of *target*; whether there is a point in trying again."""
    if not isinstance(target.auth, sdk.OAuth2ClientCredentials):
        return False
    _cached(target).ends = 0.0
    return True


def _cached(target: Target) -> _Token:
    with _tokens_lock:
        return _tokens.setdefault(f"{target.name} {target.base_url}", _Token())


def _token(target: Target, path: str, scope: str | None, deadline: float) -> str:
    """RFC 6749 section 4.4. One thread fetches; the others wait for it."""
    token = _cached(target)
    with token.lock:
        if time.monotonic() < token.ends - EARLY:
            return token.value
        name, secret = (quote(target.credentials[part], safe="") for part in ("client_id", "client_secret"))
        basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        asking = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        try:
            reply = exchange(target, "POST", target.base_url + path, urlencode(form).encode(), asking, deadline)
        except MaybeSent:
            raise NotSent("token_unavailable") from None
        if reply.status in (400, 401, 403):
            raise NotSent("token_refused")
        try:
            answer = reply.json
            token.value, lasting = str(answer["access_token"]), float(answer.get("expires_in", 60))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise NotSent("token_unavailable") from None
        if reply.status != 200 or not token.value.isascii() or not token.value.isprintable():
            raise NotSent("token_unavailable")
        token.ends = time.monotonic() + min(max(lasting, EARLY + 1), LONGEST)
        return token.value


def verify_callback(
    kind: sdk.CallbackAuth, credentials: Mapping[str, str], headers: Mapping[str, str], body: bytes, now: datetime
) -> bool:
    """Whether a callback is really the agency's. *headers*: names in lower case.

    A signed one must be under five minutes old at *now*.
    """
    if isinstance(kind, sdk.SignedCallback):
        return _signed(credentials["callback_secret"], headers, body, now)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    expected = credentials["callback_token"].encode()
    return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected)


def _signed(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Standard Webhooks. The library's own check goes by this machine's clock; were it wrong, answers would be lost."""
    try:
        at = datetime.fromtimestamp(float(headers["webhook-timestamp"]), UTC)
        right = Webhook(secret).sign(headers["webhook-id"], at, body.decode()).encode()
    except (KeyError, ValueError, OverflowError, OSError):
        return False
    given = headers.get("webhook-signature", "").encode().split()
    return abs(now - at) <= FRESH and any(hmac.compare_digest(right, one) for one in given)
