"""What every route needs of a request: who is calling, and what the body says."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gateway.delivery.room import PostRoom
from gateway.errors import Malformed, Unauthenticated, UnsupportedMedia
from gateway.store import callers
from gateway.store.callers import Caller
from gateway.vault import fingerprint


async def post_room(request: Request) -> PostRoom:
    room: PostRoom = request.app.state.room
    return room


Room = Annotated[PostRoom, Depends(post_room)]

BELIEVED = 1.0  # seconds; a revoked key works no longer than this


async def caller(request: Request, room: Room) -> Caller:
    """The hub whose API key this is. Raises Unauthenticated. A key that proved good is believed for a second."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("Send your hub's API key: Authorization: Bearer gw_…")
    believed: dict[bytes, tuple[Caller, float]] = request.app.state.believed
    mark, now = fingerprint(secret.strip()), time.monotonic()
    known, until = believed.get(mark, (None, 0.0))
    if known is None or now >= until:
        known = await run_in_threadpool(_look_up, room, secret.strip())
        if len(believed) > 1000:
            believed.clear()
        believed[mark] = known, now + BELIEVED
    return known


def _look_up(room: PostRoom, secret: str) -> Caller:
    with room.store.begin() as tx:
        known = callers.by_key(tx, secret)
    if known is None:
        raise Unauthenticated("This API key is not known, or was revoked.")
    return known


Hub = Annotated[Caller, Depends(caller)]


@dataclass(frozen=True)
class Body:
    raw: bytes
    document: Any


async def json_body(request: Request) -> Body:
    """The body, as bytes and parsed. Raises UnsupportedMedia, Malformed, TooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("Send the document as Content-Type: application/json.")
    raw = await request.body()
    return Body(raw, parse(raw))


def parse(raw: bytes) -> Any:
    """Strict JSON (RFC 8259): UTF-8, no name twice in an object, no NaN, no lone surrogate or NUL. Raises Malformed."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
        if b"\\u" in raw:  # an escape is the only way for a lone surrogate to come in
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON in UTF-8, or is nested too deeply.") from None
    if b"\\u0000" in raw or b"\0" in raw:
        raise Malformed("The body holds a NUL character.")
    return document


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("An object in the body has the same name twice.")
    return document


def _refuse(constant: str) -> Any:
    raise Malformed(f"{constant} is not JSON.")


Json = Annotated[Body, Depends(json_body)]


async def optional_body(request: Request) -> Body | None:
    """As json_body(); None where there is no body."""
    return await json_body(request) if await request.body() else None


OptionalJson = Annotated[Body | None, Depends(optional_body)]
