"""The back office: server-rendered pages for administrators, without personal data."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from . import login, status


def install(app: FastAPI) -> None:
    """Add the pages to *app*."""
    app.mount("/console/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(login.router)
    app.include_router(status.router)
