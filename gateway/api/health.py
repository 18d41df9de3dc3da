"""Is it up, is it ready, and what does it speak?"""

from typing import Any

import gateway_schemas
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.errors import NotFound

from .incoming import Room

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(room: Room) -> dict[str, str]:
    """The process and its database answer. 503 when the database does not."""
    with room.store.begin() as tx:
        tx.now()
    return {"status": "ready"}


@router.get("/schemas/v1/{name}.json", response_class=JSONResponse)
async def schema(name: str) -> Any:
    """The JSON Schemas: referral, consent, delivery, event; meta and categories."""
    if name not in (*gateway_schemas.NAMES, "meta", "categories"):
        raise NotFound(f"known schemas: {', '.join(gateway_schemas.NAMES)}, meta, categories")
    return gateway_schemas.load(name)
