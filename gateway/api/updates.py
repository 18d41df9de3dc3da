"""Agencies' callbacks: how a referral stands with them."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from gateway.delivery import feedback

from .door import Guessing
from .incoming import Room

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])


@router.post("/{agency}", status_code=204, dependencies=[Guessing])
async def take(agency: str, request: Request, room: Room) -> None:
    """Take an agency's update. The body is what its adapter reads; it must prove who it is, as its adapter says."""
    body = await request.body()
    await run_in_threadpool(feedback.callback, room, agency, dict(request.headers), body)
