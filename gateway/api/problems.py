"""Errors as problem details (RFC 9457), whatever went wrong and whoever noticed."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from gateway.errors import Problem
from gateway.policy.contract import MOST_ERRORS
from gateway.store.session import StoreUnavailable

TYPES = "https://referral-gateway.example/problems/"
MEDIA_TYPE = "application/problem+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "which kind; the last part is a code"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "what to do, in a sentence; never a value from a referral"},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "What is wrong, and what to do (RFC 9457)", "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
}

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
        headers = dict(error.headers or {})
        if error.status_code == 405 and (known := _methods(app, request.url.path)):
            headers["Allow"] = ", ".join(known)
        return response(error.status_code, title.lower().replace(" ", "-"), title, detail, headers)

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own document quotes the input: only the place and the rule are told.
        errors = [
            {"parameter": _place(entry), "expected": entry["msg"].removeprefix("Value error, ")}
            for entry in error.errors()[:MOST_ERRORS]
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
        return internal()


def _methods(app: FastAPI, path: str) -> list[str]:
    """All that an address takes; each route of it knows its own method only."""
    matching = [found for template, found in app.openapi()["paths"].items() if compile_path(template)[0].match(path)]
    return sorted(method.upper() for found in matching[:1] for method in found)


def _place(error: Mapping[str, Any]) -> str:
    """Where it is wrong; a name that nobody knows is not repeated."""
    parts = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    return ".".join(map(str, parts))


def internal() -> JSONResponse:
    """What is said of our own mistakes."""
    detail = "Something went wrong inside the gateway. Nothing was taken unless an earlier answer said so."
    return response(500, "internal", "Internal error", detail)
