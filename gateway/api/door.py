"""The door: who may come in, and how often.

What it remembers is this process's own: with several web processes each lets as many in. Nothing is waited for and
nothing is written; only credentials that are not known yet, or were not seen for a second, are looked up.
"""

import hmac
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gateway import logs, peers
from gateway.authentication import Authentication, refuse
from gateway.errors import TooMany, Unauthenticated
from gateway.policy import rates
from gateway.settings import Settings
from gateway.store.callers import Caller
from gateway.store.session import Store
from gateway.vault import fingerprint

log = logs.get()

BELIEVED = 1.0  # seconds; a revoked key, or a token of a revoked client, works no longer than this
MANY = 10_000  # addresses or callers that are remembered


class Buckets:
    """A token bucket for each name, by time.monotonic(): a step of the clock opens and closes nothing."""

    def __init__(self, a_minute: int) -> None:
        self._a_minute = a_minute
        self._full_at: dict[str, float] = {}

    def take(self, name: str, detail: str) -> None:
        """Raises TooMany, with *detail*, if *name*'s bucket is empty."""
        now = time.monotonic()
        if len(self._full_at) >= MANY:  # those that are full are as if they had never been
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[name], wait = rates.take(self._full_at.get(name, 0.0), now, self._a_minute)
        if wait:
            raise TooMany(detail, wait)

    def require(self, name: str, detail: str) -> None:
        """As take(), and takes nothing."""
        _, wait = rates.take(self._full_at.get(name, 0.0), time.monotonic(), self._a_minute)
        if wait:
            raise TooMany(detail, wait)


class Door:
    """One for each process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.authentication = Authentication(store, settings)
        self.tokens = Buckets(settings.rates.tokens_a_minute)
        self._settings = settings
        self._calls = Buckets(settings.rates.calls_a_minute)
        self._failures = Buckets(settings.rates.failures_a_minute)
        self._believed: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, request: Request, secret: str) -> Caller:
        """The hub whose API key or access token *secret* is. Raises Unauthenticated, TooMany."""
        mark, now = fingerprint(secret), time.monotonic()
        known, until = self._believed.get(mark, (None, 0.0))
        if known is None or now >= until:
            known = await self._look_up(request, secret, mark)
        if known.certificate and not hmac.compare_digest(known.certificate, peers.certificate(request, self._settings)):
            with self.guessing(request):  # it may be stolen: counted, and logged
                refuse("This access token holds only with the certificate that it was given for.")
        self._calls.take(known.key, "This key or client has called too often in this minute.")
        return known

    async def _look_up(self, request: Request, secret: str, mark: bytes) -> Caller:
        try:
            # who proved good before comes in, though somebody guesses beside them, from the same address
            with nullcontext() if mark in self._believed else self.guessing(request):
                known = await run_in_threadpool(self.authentication.caller, secret)
        except Unauthenticated:
            self._believed.pop(mark, None)
            raise
        if len(self._believed) >= MANY:
            self._believed.clear()
        self._believed[mark] = known, time.monotonic() + BELIEVED
        return known

    @contextmanager
    def guessing(self, request: Request, about: str = "") -> Iterator[None]:
        """Around a look at credentials. Raises TooMany where too many that came from one address were wrong.

        *about*: whose credentials they are, where wrong ones are to hold up nobody else at that address.
        """
        place = peers.address(request, self._settings)
        name, detail = f"{place} {about}", "Too many wrong credentials came from your address."
        self._failures.require(name, detail)
        try:
            yield
        except Unauthenticated:
            log.warning("credentials refused", host=place, route=getattr(request.scope.get("route"), "path", None))
            self._failures.take(name, detail)
            raise


async def door(request: Request) -> Door:
    found: Door = request.app.state.door
    return found


TheDoor = Annotated[Door, Depends(door)]


async def guessing(request: Request, door: TheDoor) -> AsyncIterator[None]:
    """For routes that look at credentials of their own: of an agency, where they name one."""
    with door.guessing(request, request.path_params.get("agency", "")):
        yield


Guessing = Depends(guessing)
