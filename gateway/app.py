"""The web process: settings, adapters, routes, pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from . import __version__, console, logs, telemetry
from .api import (
    agencies,
    bases,
    border,
    by_hand,
    consents,
    deliveries,
    events,
    health,
    messages,
    metrics,
    problems,
    referrals,
    routes,
    server,
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
        messages,
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
        app.include_router(part.router, responses=problems.RESPONSES)
    console.install(app)
    problems.install(app)
    return border.Headers(border.Guard(app, room.settings.body_limit), border.always(room.settings))


def run(settings: Settings) -> None:
    """Serve until told to stop."""
    logs.configure(settings.log_level)
    telemetry.start(settings.otlp_endpoint, "web")
    server.serve(build(open_room(settings)), settings)
