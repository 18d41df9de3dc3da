"""The back office: server-rendered pages for people, each for the roles that it names."""

from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from . import account, agencies, audit, cases, glass, login, people, provider, replays, sandbox, status, tasks
from .access import gate

PARTS = (login, provider, account, status, agencies, replays, glass, cases, tasks, people, audit, sandbox)


def install(app: FastAPI) -> None:
    """Add the pages to *app*, behind the gate."""
    app.mount("/console/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for part in PARTS:
        app.include_router(part.router, dependencies=[Depends(gate)])
