"""What every route needs of a request: who is calling, and what the body says."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import OAuth2, OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ValidationError

from gateway.delivery.room import PostRoom
from gateway.errors import KeyMissing, Malformed, ScopeMissing, Unauthenticated, UnsupportedMedia
from gateway.policy.scopes import MEANINGS, Scope
from gateway.store.callers import Caller

from .door import TheDoor

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="any text of 1 to 255 characters, new for each referral or change (IETF draft, The Idempotency-Key HTTP Header)"
    ),
]


def required_key(given: str | None) -> str:
    """Raises KeyMissing."""
    if not given or len(given) > 255:
        raise KeyMissing(
            "Send an Idempotency-Key header of 1 to 255 characters, a new one for each referral or change."
        )
    return given


async def post_room(request: Request) -> PostRoom:
    room: PostRoom = request.app.state.room
    return room


Room = Annotated[PostRoom, Depends(post_room)]

CHARSETS = ("", "charset=utf-8", 'charset="utf-8"')
MOST_DEPTH, MOST_VALUES = 32, 2000  # of a JSON body; a full referral is 7 deep and has 200 values


class Authenticated(SecurityBase):
    """The hub that calls, by its API key or an access token that is for what the route does.

    Raises Unauthenticated, ScopeMissing, TooMany. A route declares its scope by one of the types below, before
    anything else: nothing is read of a request, nor said about it, before it is known who calls.
    """

    model = OAuth2(
        description="An access token, or an API key in its place: Authorization: Bearer gw_…",
        flows=OAuthFlows(
            clientCredentials=OAuthFlowClientCredentials(
                tokenUrl="/v1/token", scopes={str(scope): meaning for scope, meaning in MEANINGS.items()}
            )
        ),
    )
    scheme_name = "hub"

    async def __call__(self, request: Request, door: TheDoor, wanted: SecurityScopes) -> Caller:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("Send your hub's API key or an access token: Authorization: Bearer …")
        caller = await door.caller(request, secret.strip())
        for scope in wanted.scopes:
            if scope not in caller.scopes:
                raise ScopeMissing(scope)
        return caller


_authenticated = Authenticated()
MayWriteReferrals = Annotated[Caller, Security(_authenticated, scopes=[Scope.REFERRALS_WRITE])]
MayReadReferrals = Annotated[Caller, Security(_authenticated, scopes=[Scope.REFERRALS_READ])]
MayWriteConsents = Annotated[Caller, Security(_authenticated, scopes=[Scope.CONSENTS_WRITE])]
MayReadConsents = Annotated[Caller, Security(_authenticated, scopes=[Scope.CONSENTS_READ])]
MayApprove = Annotated[Caller, Security(_authenticated, scopes=[Scope.APPROVALS])]
MayExchangeMessages = Annotated[Caller, Security(_authenticated, scopes=[Scope.MESSAGES])]
MayDeliverByHand = Annotated[Caller, Security(_authenticated, scopes=[Scope.BY_HAND])]
MayReadEvents = Annotated[Caller, Security(_authenticated, scopes=[Scope.EVENTS_READ])]
MayManageWebhooks = Annotated[Caller, Security(_authenticated, scopes=[Scope.WEBHOOKS])]
MayReadDirectory = Annotated[Caller, Security(_authenticated, scopes=[Scope.DIRECTORY_READ])]


@dataclass(frozen=True)
class Body:
    raw: bytes
    document: Any


async def json_body(request: Request) -> Body:
    """The body, as bytes and parsed. Raises UnsupportedMedia, Malformed, TooLarge."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json" or parameters.strip() not in CHARSETS:
        raise UnsupportedMedia("Send the document as Content-Type: application/json, in UTF-8.")
    raw = await request.body()
    return Body(raw, parse(raw))


def parse(raw: bytes) -> Any:
    """Strict JSON (RFC 8259, and RFC 7493 for what readers would understand differently). Raises Malformed.

    UTF-8, no name twice in an object, no NaN, no number beyond a double, no lone surrogate or NUL; not too deep or many.
    """
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_refuse,
            parse_int=_whole,
            parse_float=_fraction,
        )
        if b"\\u" in raw:  # an escape is the only way for a lone surrogate to come in
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON in UTF-8, or is nested too deeply.") from None
    if b"\\u0000" in raw or b"\0" in raw:
        raise Malformed("The body holds a NUL character.")
    _measure(document)
    return document


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("An object in the body has the same name twice.")
    return document


def _refuse(constant: str) -> Any:
    raise Malformed(f"{constant} is not JSON.")


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > 16:
        raise Malformed("A number in the body is too long: 16 digits at most.")
    return int(digits)


def _fraction(text: str) -> float:
    number = float(text)
    if len(text) > 32 or not isfinite(number):
        raise Malformed("A number in the body is too long or too large.")
    return number


def _measure(document: Any) -> None:
    """Raises Malformed for what takes long to check, or could not be checked: the schemas are flat, and short."""
    level = [document]
    for _ in range(MOST_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
        if len(level) > MOST_VALUES:
            raise Malformed(f"The body has over {MOST_VALUES} values.")
    raise Malformed(f"The body is nested over {MOST_DEPTH} deep.")


def _children(node: Any) -> Iterable[Any]:
    return node.values() if type(node) is dict else node if type(node) is list else ()


Json = Annotated[Body, Depends(json_body)]


Model = TypeVar("Model", bound=BaseModel)


def reading(kind: type[Model]) -> Callable[[Body], Model]:
    """A dependency that reads the body as a *kind*; FastAPI's own reading takes whatever Python's parser takes."""

    def read(body: Json) -> Model:
        try:
            return kind.model_validate(body.document)
        except ValidationError as error:
            found = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
            raise RequestValidationError(found) from None

    return read


async def optional_body(request: Request) -> Body | None:
    """As json_body(); None where there is no body."""
    return await json_body(request) if await request.body() else None


OptionalJson = Annotated[Body | None, Depends(optional_body)]
