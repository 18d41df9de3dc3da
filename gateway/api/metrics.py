"""For operators: the figures that Prometheus scrapes."""

import hmac

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway import metrics
from gateway.errors import NotFound, Unauthenticated

from .door import Guessing
from .incoming import Room

router = APIRouter(include_in_schema=False)


@router.get("/metrics", dependencies=[Guessing])
def scrape(request: Request, room: Room) -> Response:
    """Everything there is to watch, for whoever has the settings' ``metrics_token``; without one there is nothing here."""
    wanted = room.settings.metrics_token
    if wanted is None:
        raise NotFound("Metrics are off: set metrics_token to switch them on, or use gateway metrics.")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), wanted.get_secret_value().encode()):
        raise Unauthenticated("Send the metrics token: Authorization: Bearer …", refused=bool(token))
    with room.store.begin() as tx:
        return Response(metrics.text(tx, room.agencies), media_type=metrics.CONTENT_TYPE)
