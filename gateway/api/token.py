"""The token endpoint (RFC 6749, 3.2) and what there is to know before calling it (RFC 8414)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from gateway import peers, tokens
from gateway.authentication import Credentials
from gateway.errors import TokenRefused, Unauthenticated
from gateway.policy.scopes import Scope

from .door import TheDoor
from .incoming import Room
from .views import View

router = APIRouter(tags=["tokens"])

FORM = "application/x-www-form-urlencoded"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = "client_credentials"
FIELDS = {
    "grant_type": GRANT,
    "scope": "the scopes wanted, with spaces between; without it all that the client has",
    "client_assertion_type": JWT_BEARER,
    "client_assertion": "a JWT signed with the client's key (RFC 7523): iss and sub are its id, aud is the issuer",
}


class AccessToken(View):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int = Field(description="seconds")
    scope: str


class Metadata(View):
    """After RFC 8414."""

    issuer: str
    token_endpoint: str
    scopes_supported: list[str]
    response_types_supported: list[str] = []
    grant_types_supported: list[str] = [GRANT]
    token_endpoint_auth_methods_supported: list[str] = ["private_key_jwt", "client_secret_basic"]
    token_endpoint_auth_signing_alg_values_supported: list[str] = list(tokens.ALGORITHMS.values())
    tls_client_certificate_bound_access_tokens: bool


class Refusal(View):
    """After RFC 6749, section 5.2."""

    error: str
    error_description: str


def _form() -> dict[str, Any]:
    fields: dict[str, Any] = {name: {"type": "string", "description": says} for name, says in FIELDS.items()}
    fields["grant_type"] = {"type": "string", "enum": [GRANT]}
    schema = {"type": "object", "required": ["grant_type"], "properties": fields}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


@router.get("/.well-known/oauth-authorization-server")
async def metadata(room: Room, door: TheDoor) -> Metadata:
    """Where and how a client gets an access token."""
    issuer = door.authentication.issuer.url
    return Metadata(
        issuer=issuer, token_endpoint=f"{issuer}/v1/token", scopes_supported=[str(scope) for scope in Scope],
        tls_client_certificate_bound_access_tokens=room.settings.certificate_header is not None,
    )  # fmt: skip


@router.post(
    "/v1/token",
    response_model=AccessToken,
    openapi_extra=_form(),
    responses={400: {"model": Refusal}, 401: {"model": Refusal}},
)
async def token(request: Request, room: Room, door: TheDoor) -> Any:
    """An access token for a client: by an assertion signed with its key, or its secret as HTTP Basic credentials."""
    try:
        form = await _read(request)
        given = _credentials(form, request.headers.get("authorization", ""))
        with door.guessing(request):
            proved = await run_in_threadpool(door.authentication.prove, given)
            door.tokens.take(proved.client.id, "This client has asked for too many tokens: keep one while it holds.")
            certificate = peers.certificate(request, room.settings)
            granted = await run_in_threadpool(door.authentication.grant, proved, form.get("scope", ""), certificate)
    except TokenRefused as refused:
        return _refusal(400, refused.code, refused.detail)
    except Unauthenticated as refused:
        headers = {"WWW-Authenticate": 'Basic realm="referral-gateway"'}  # RFC 6749, 5.2; RFC 9110, 11.6.1
        return _refusal(401, "invalid_client", refused.detail, headers)
    return AccessToken(access_token=granted.token, expires_in=granted.seconds, scope=" ".join(granted.scopes))


async def _read(request: Request) -> Mapping[str, str]:
    """The form's fields. Raises TokenRefused."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise TokenRefused("invalid_request", f"Send the parameters as Content-Type: {FORM}.")
    try:
        pairs = parse_qsl((await request.body()).decode(), max_num_fields=20, errors="strict")
    except ValueError:
        raise TokenRefused("invalid_request", "The body is not a form in UTF-8, or has too many fields.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefused("invalid_request", "A parameter was sent twice.")
    if "grant_type" not in form:
        raise TokenRefused("invalid_request", f"Send grant_type={GRANT}.")
    if form["grant_type"] != GRANT:
        raise TokenRefused("unsupported_grant_type", f"Only {GRANT} is supported.")
    return form


def _credentials(form: Mapping[str, str], authorization: str) -> Credentials:
    """Raises TokenRefused, Unauthenticated."""
    assertion = form.get("client_assertion", "")
    if "client_secret" in form:
        raise TokenRefused("invalid_request", "Send the client's secret as HTTP Basic credentials, not in the body.")
    if bool(assertion) == bool(authorization):
        if assertion:
            raise TokenRefused("invalid_request", "Send an assertion or Basic credentials, not both.")
        raise Unauthenticated("Send a client_assertion, or the client's id and secret as HTTP Basic credentials.")
    if not assertion:
        return _basic(authorization)
    if form.get("client_assertion_type") != JWT_BEARER:
        raise TokenRefused("invalid_request", f"Send client_assertion_type={JWT_BEARER}.")
    return Credentials(assertion=assertion)


def _basic(authorization: str) -> Credentials:
    """Id and secret, each encoded as in a form (RFC 6749, 2.3.1). Raises TokenRefused."""
    scheme, _, value = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        if scheme.lower() != "basic" or not colon:
            raise ValueError
    except (binascii.Error, ValueError):
        raise TokenRefused("invalid_request", "These are not HTTP Basic credentials.") from None
    return Credentials(client=unquote_plus(name), secret=unquote_plus(secret))


def _refusal(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(Refusal(error=code, error_description=detail).model_dump(), status, dict(headers or {}))
