"""Errors as problem details (RFC 9457), whatever went wrong and whoever noticed."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import logs
from gateway.errors import Problem, TooLarge
from gateway.store.session import StoreUnavailable

log = logs.get()

TYPES = "https://referral-gateway.example/problems/"
MEDIA_TYPE = "application/problem+json"

DETAILS = {
    404: "There is nothing at this address. The addresses are listed in /openapi.json.",
    405: "This address does not take this method; see the Allow header.",
}


def response(
    status: int, slug: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any
) -> JSONResponse:
    body = {"type": TYPES + slug, "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def of(problem: Problem) -> JSONResponse:
    return response(problem.status, problem.slug, problem.title, problem.detail, problem.headers, **problem.extra)


def install(app: FastAPI) -> None:
    """Make every error of *app* a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return of(error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase
        detail = DETAILS.get(error.status_code, title)
        return response(error.status_code, title.lower().replace(" ", "-"), title, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own document quotes the input: only the place and the rule are told.
        errors = [
            {"parameter": ".".join(map(str, entry["loc"])), "expected": entry["msg"].removeprefix("Value error, ")}
            for entry in error.errors()
        ]
        first = errors[0]
        detail = f"{first['parameter']}: {first['expected']}."
        return response(422, "invalid-parameter", "A parameter is not what it should be", detail, errors=errors)

    @app.exception_handler(StoreUnavailable)
    async def _store(request: Request, error: StoreUnavailable) -> JSONResponse:
        detail = "The gateway's database is not available. Send the same request again: under its key it is taken once."
        return response(503, "unavailable", "Try again later", detail, {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def _mistake(request: Request, error: Exception) -> JSONResponse:
        return _internal()


def _internal() -> JSONResponse:
    detail = "Something went wrong inside the gateway. Nothing was taken unless an earlier answer said so."
    return response(500, "internal", "Internal error", detail)


class Guard:
    """The outermost layer: bodies over *limit* bytes are refused, and what nobody caught becomes a plain 500."""

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
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if length.isdigit() and int(length) > self.limit:
                await of(self._too_large())(scope, receive, send)
                return
            await self.app(scope, counted, noted)
        except Exception as error:  # the last resort: no traceback leaves, and none is logged with its text
            route = getattr(scope.get("route"), "path", None)
            log.error("request failed", method=scope["method"], route=route, exc_info=error)
            if not started:
                await _internal()(scope, receive, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body may have {self.limit} bytes at most.")
