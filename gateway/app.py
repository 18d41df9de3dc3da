"""The web process: settings, adapters, routes, pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import __version__, console, logs, telemetry
from .api import (
    agencies,
    bases,
    by_hand,
    consents,
    deliveries,
    events,
    health,
    metrics,
    problems,
    referrals,
    routes,
    token,
    updates,
    webhooks,
)  # fmt: skip
from .api.door import Door
from .delivery.room import PostRoom, open_room
from .intake import Counter
from .settings import Settings

DESCRIPTION = (
    "Hubs submit referrals here and read what became of them. Every referral rests on a consent record; "
    "each agency is given only what its adapter needs and she agreed to. Errors are problem details (RFC 9457)."
)

HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def build(room: PostRoom) -> ASGIApp:
    """The ASGI application. It closes *room*'s store when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        room.store.close()
        telemetry.stop()

    app = FastAPI(
        title="Referral Gateway", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # they fetch scripts from elsewhere
    )  # fmt: skip
    app.state.room, app.state.counter = room, Counter(room.store)
    app.state.door = Door(room.store, room.settings)
    for part in (
        referrals,
        consents,
        bases,
        deliveries,
        by_hand,
        events,
        webhooks,
        token,
        agencies,
        routes,
        updates,
        health,
        metrics,
    ):
        app.include_router(part.router)
    console.install(app)
    problems.install(app)
    return problems.Guard(Headers(app), room.settings.body_limit)


class Headers:
    """Headers that every answer carries; a page may set its own instead."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in present)]
            await send(message)

        await self.app(scope, receive, with_headers)


def run(settings: Settings) -> None:
    """Serve until told to stop."""
    import uvicorn

    logs.configure(settings.log_level)
    telemetry.start(settings.otlp_endpoint, "web")
    app = build(open_room(settings))
    uvicorn.run(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False,
        proxy_headers=False,  # whom we trust as a proxy, and with what, is in the settings: see api/peers.py
        timeout_graceful_shutdown=20, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
