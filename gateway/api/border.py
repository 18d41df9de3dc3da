"""The border: what is turned away before anything reads it, and what every answer carries."""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import logs
from gateway.errors import Malformed, Problem, TooLarge, UnsupportedMedia
from gateway.settings import Settings

from . import problems

log = logs.get()

Pairs = list[tuple[bytes, bytes]]


def always(settings: Settings) -> Pairs:
    """The headers of every answer, for browsers and for whatever is between. A page may have others in their place."""
    pairs = [
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]
    if settings.hsts:
        pairs.append((b"strict-transport-security", b"max-age=%d" % settings.hsts.total_seconds()))
    return pairs


class Headers:
    """Adds *pairs* to each answer, save those that it has."""

    def __init__(self, app: ASGIApp, pairs: Pairs) -> None:
        self.app, self.pairs = app, pairs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in self.pairs if pair[0] not in present)]
            await send(message)

        await self.app(scope, receive, with_headers)


class Ambiguous(Malformed):
    """Whoever is between may see another request in it than we do (RFC 9112, section 6.3): nothing more is read."""

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Connection": "close"}


class Guard:
    """Turns away bodies over *limit* bytes and what nobody here reads; what nobody caught becomes a plain 500."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise self._too_large()
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            self._look_at(scope)
            await self.app(scope, counted, noted)
        except Problem as problem:
            await problems.of(problem)(scope, receive, send)
        except ClientDisconnect:  # nobody is there to be told
            return
        except Exception as error:  # the last resort: no traceback leaves, and none is logged with its text
            route = getattr(scope.get("route"), "path", None)
            log.error("request failed", method=scope["method"], route=route, exc_info=error)
            if not started:
                await problems.internal()(scope, receive, send)

    def _look_at(self, scope: Scope) -> None:
        """What can be seen from outside. Raises TooLarge, UnsupportedMedia, Malformed."""
        told = dict(scope["headers"])
        if b"transfer-encoding" in told and b"content-length" in told:
            raise Ambiguous("Send the body in chunks, or with its length; not both.")
        length = told.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > self.limit):
            raise self._too_large()
        if told.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise UnsupportedMedia("Send the body as it is, without a Content-Encoding: nothing is unpacked here.")
        if told.get(b"content-type", b"").strip().lower().startswith(b"multipart/"):
            raise UnsupportedMedia("Nothing here takes files or forms in parts.")

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body may have {self.limit} bytes at most.")
