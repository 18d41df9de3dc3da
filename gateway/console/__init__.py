"""The back office: server-rendered pages for administrators, without personal data."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from . import agencies, login, replays, status


def install(app: FastAPI) -> None:
    """Add the pages to *app*."""
    app.mount("/console/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for part in (login, status, agencies, replays):
        app.include_router(part.router)
