"""Who is calling: API keys, access tokens, and how a client gets one (OAuth 2.0 client credentials, RFC 6749, 4.4).

Everything blocks on the database, once or twice. Whoever is unknown meets the same work and the same words as who
is wrong.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from . import ids, tokens
from .errors import NotFound, TokenRefused, Unauthenticated, Untrusted
from .settings import Settings
from .store import audit, callers, clients
from .store.callers import Caller
from .store.clients import Client
from .store.session import Store
from .tokens import Assertion, Issuer
from .vault import fingerprint

NOBODY = (fingerprint(""),)  # that no secret has: none is empty


@dataclass(frozen=True, repr=False)
class Credentials:
    """By which a client proves who it is: an *assertion*, or else its id and *secret*."""

    client: str = ""
    secret: str = ""
    assertion: str = ""


@dataclass(frozen=True)
class Proved:
    """A client that is what it says it is. *assertion*: that must not have counted before."""

    client: Client
    assertion: Assertion | None


@dataclass(frozen=True, repr=False)
class Granted:
    """*seconds*: how long the *token* holds."""

    token: str
    seconds: int
    scopes: Sequence[str]


class Authentication:
    """For one process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        keys = [key.get_secret_value() for key in settings.tokens.keys]
        self.store = store
        self.audiences = [settings.issuer, f"{settings.issuer}/v1/token"]
        self._issuer = Issuer(settings.issuer, keys, settings.tokens.lasting) if keys else None

    @property
    def issuer(self) -> Issuer:
        """Raises NotFound where no tokens are given."""
        if self._issuer is None:
            raise NotFound("Access tokens are off here: set tokens.keys to switch them on, or use an API key.")
        return self._issuer

    def caller(self, secret: str) -> Caller:
        """The hub whose API key or access token this is. Raises Unauthenticated."""
        found = self._of_key(secret) if secret.startswith("gw_") or self._issuer is None else self._of_token(secret)
        if found is None:
            refuse("This API key or access token is not known, was revoked, or has expired.")
        return found

    def _of_key(self, secret: str) -> Caller | None:
        with self.store.single() as tx:
            return callers.by_key(tx, secret)

    def _of_token(self, token: str) -> Caller | None:
        try:
            access = self.issuer.read(token)
            with self.store.single() as tx:
                now, client = clients.find(tx, access.client, note=True)
            access.require_present(now)
        except Untrusted as error:
            refuse(f"This access token is not taken: {error}.")
        return Caller(client.hub, client.id, access.scopes & client.scopes, access.certificate) if client else None

    def prove(self, given: Credentials) -> Proved:
        """The client that *given* proves. Raises Unauthenticated, NotFound."""
        _ = self.issuer
        try:
            name = tokens.claimed(given.assertion) if given.assertion else given.client
            with self.store.single() as tx:
                now, client = clients.find(tx, name if ids.valid(name, "cli") else "", note=False)
            if given.assertion:
                assertion = tokens.prove(given.assertion, name, client.keys if client else (), self.audiences, now)
        except Untrusted as error:
            refuse(f"The client assertion is not taken: {error}.")
        if given.assertion and client:
            return Proved(client, assertion)
        known, mark = (client and client.fingerprints) or NOBODY, fingerprint(given.secret)
        if sum(hmac.compare_digest(mark, one) for one in known) == 0 or client is None:
            refuse("The client is not known, or its secret is wrong.")
        return Proved(client, None)

    def grant(self, proved: Proved, scope: str, certificate: str) -> Granted:
        """An access token for some *scope* of the client's, or all; bound to its *certificate*, if it is to be.

        Raises TokenRefused, Unauthenticated.
        """
        client, assertion = proved.client, proved.assertion
        wanted = set(scope.split()) or client.scopes
        if not wanted <= client.scopes:
            raise TokenRefused("invalid_scope", f"This client's scopes are: {' '.join(sorted(client.scopes))}.")
        if client.bound and not certificate:
            raise TokenRefused("invalid_request", "This client's tokens are bound to its certificate: connect with it.")
        with self.store.begin() as tx:
            now, still = clients.find(tx, client.id, note=True)
            if still is None or (assertion and not clients.spend(tx, client.id, assertion.jti, assertion.until)):
                refuse("The client assertion was used before: make a new one for each request.")
            audit.write(tx, f"hub:{client.hub}", "client.token", client.id)
        token = self.issuer.issue(client.id, wanted, now, certificate if client.bound else "")
        return Granted(token, int(self.issuer.lasting.total_seconds()), sorted(wanted))


def refuse(detail: str) -> NoReturn:
    raise Unauthenticated(detail, refused=True)
