"""OpenID Connect Core 1.0 as a relying party: the authorization code flow with PKCE (RFC 7636), state and nonce.

One random secret in the browser's cookie stands for an attempt to log in; state, nonce and code verifier are made of it,
so that nothing need be kept here, and none of them tells another.
"""

import base64
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from gateway_sdk import Reply, Unreadable
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.errors import GatewayError, MaybeSent, NotSent
from gateway.settings import OpenIdSettings
from gateway.vault import fingerprint

from .target import Target
from .transport import exchange

DEADLINE = 10.0  # seconds, for each exchange
LEEWAY = 60  # seconds that clocks may differ
KEPT = 300.0  # seconds that the provider's metadata and keys are believed; a key not known is looked for at once
SIGNED_BY = [
    "RS256",
    "PS256",
    "ES256",
    "ES384",
    "EdDSA",
    "Ed25519",
]  # with the provider's key pair, never with a shared secret

_kept: dict[str, tuple[float, Mapping[str, Any]]] = {}


class NotLoggedIn(GatewayError):
    """The provider does not answer, or what it says does not prove who somebody is. *code*: which, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def state_of(secret: str) -> str:
    return fingerprint(f"state {secret}").hex()


def _nonce_of(secret: str) -> str:
    return fingerprint(f"nonce {secret}").hex()


def _verifier_of(secret: str) -> str:
    return fingerprint(f"verifier {secret}").hex()


def address(settings: OpenIdSettings, secret: str) -> str:
    """Where the browser goes to log in at the provider. Raises NotLoggedIn."""
    found: str = prepare_grant_uri(
        _metadata(settings)["authorization_endpoint"], settings.client_id, "code",
        redirect_uri=settings.redirect_uri, scope=settings.scope, state=state_of(secret), nonce=_nonce_of(secret),
        code_challenge=create_s256_code_challenge(_verifier_of(secret)), code_challenge_method="S256",
    )  # fmt: skip
    return found


def claims(settings: OpenIdSettings, secret: str, code: str, state: str, now: float) -> Mapping[str, Any]:
    """What the provider's ID token says of whoever came back with *code* and *state*. *now*: seconds since 1970.

    Raises NotLoggedIn.
    """
    if not hmac.compare_digest(state.encode(), state_of(secret).encode()):
        raise NotLoggedIn("state_differs")
    token = _token(settings, code, _verifier_of(secret)).get("id_token")
    if not isinstance(token, str):
        raise NotLoggedIn("no_id_token")
    read = _verified(settings, token)
    options = {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
    }
    params = {"nonce": _nonce_of(secret), "client_id": settings.client_id}
    found = CodeIDToken(read.claims, read.header, options, params)
    try:
        found.validate(now, LEEWAY)
    except (JoseError, TypeError, ValueError) as error:
        raise NotLoggedIn(f"id_token_{type(error).__name__}") from None
    return dict(found)


def _verified(settings: OpenIdSettings, token: str) -> jwt.Token:
    """The ID token, once its signature was checked; the provider may have changed its keys."""
    for anew in (False, True):
        try:
            keys = KeySet.import_key_set(_kept_document(settings, _metadata(settings)["jwks_uri"], anew=anew))  # type: ignore[arg-type]
            return jwt.decode(token, keys, algorithms=SIGNED_BY)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    raise NotLoggedIn("id_token_not_signed")


def _token(settings: OpenIdSettings, code: str, verifier: str) -> Mapping[str, Any]:
    """The answer of the token endpoint (RFC 6749, 4.1.3)."""
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": settings.redirect_uri,
        "client_id": settings.client_id, "code_verifier": verifier,
    }  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if settings.client_secret:
        pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret.get_secret_value(), safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _fetch(settings, "POST", _metadata(settings)["token_endpoint"], urlencode(form).encode(), headers)


def _metadata(settings: OpenIdSettings) -> Mapping[str, Any]:
    """OpenID Connect Discovery 1.0: it must be the issuer's own, and name what we need."""
    found = _kept_document(settings, f"{settings.issuer}/.well-known/openid-configuration")
    wanted = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if found.get("issuer") != settings.issuer or not all(
        isinstance(one, str) and one.startswith("http") for one in wanted
    ):
        raise NotLoggedIn("provider_metadata")
    if settings.issuer.startswith("https:") and not all(str(one).startswith("https:") for one in wanted):
        raise NotLoggedIn("provider_metadata")
    return found


def _kept_document(settings: OpenIdSettings, url: str, *, anew: bool = False) -> Mapping[str, Any]:
    at, found = _kept.get(url, (0.0, {}))
    if anew or not found or time.monotonic() > at + KEPT:
        found = _fetch(settings, "GET", url, b"", {"Accept": "application/json"})
        _kept[url] = time.monotonic(), found
    return found


def _fetch(
    settings: OpenIdSettings, method: str, url: str, body: bytes, headers: Mapping[str, str]
) -> Mapping[str, Any]:
    target = Target("provider", settings.issuer, deadline=DEADLINE, ca_file=settings.ca_file)
    try:
        reply: Reply = exchange(target, method, url, body, headers, time.monotonic() + DEADLINE)
        document = reply.json
    except (NotSent, MaybeSent) as error:
        raise NotLoggedIn(f"provider_{error.code}") from None
    except Unreadable:
        raise NotLoggedIn("provider_unreadable") from None
    if reply.status != 200 or not isinstance(document, Mapping):
        raise NotLoggedIn(f"provider_{reply.status}")
    return document
