"""Who is calling: an API key, or a client that is given short-lived access tokens (OAuth 2.0 client credentials)."""

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import requests
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from requests.auth import AuthBase, HTTPBasicAuth

from .errors import NoAnswer, problem

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTED_FOR = 60  # seconds
EARLY = 0.2  # a token is renewed when this part of its time is left


class Bearer(AuthBase):
    """As requests' own auth, so that no .netrc takes its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Anonymous(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


@dataclass(frozen=True, repr=False)
class ApiKey:
    """The same for ever."""

    key: str

    def token(self, session: requests.Session, base: str, timeout: float) -> str:
        return self.key

    def forget(self, token: str) -> bool:
        """Whether there can be another than *token*, which was refused."""
        return False


@dataclass(repr=False)
class ClientCredentials:
    """A client that the gateway knows by *client_id*. It proves itself with its *private_key*, or its *secret*.

    *private_key*: a JWK, for Ed25519 or P-256, or the path of a file with one; ``python -m gateway_client new-key``
    makes one. *scope*: what is wanted, with spaces between; all that it may do, if nothing is said. *audience*: the
    gateway's issuer, if that is not the address it is called at. Tokens are kept, and renewed before they end.
    """

    client_id: str
    private_key: Mapping[str, Any] | str | Path | None = None
    secret: str = ""
    scope: str = ""
    audience: str = ""
    _kept: tuple[str, float] = field(default=("", 0.0), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        if bool(self.private_key) == bool(self.secret):
            raise ValueError("give a private_key or a secret")
        self._key = _read(self.private_key) if self.private_key else None

    def token(self, session: requests.Session, base: str, timeout: float) -> str:
        """An access token that holds. Raises NoAnswer, Problem."""
        with self._lock:
            token, until = self._kept
            if time.monotonic() >= until:
                token, lasting = self._fetch(session, base, timeout)
                self._kept = token, time.monotonic() + lasting * (1 - EARLY)
            return token

    def forget(self, token: str) -> bool:
        """*token* was refused: ask for another the next time."""
        with self._lock:
            if self._kept[0] == token:
                self._kept = "", 0.0
        return True

    def _fetch(self, session: requests.Session, base: str, timeout: float) -> tuple[str, float]:
        form = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {})}
        auth: AuthBase = Anonymous()
        if self._key:
            form |= {"client_assertion_type": JWT_BEARER, "client_assertion": self._assertion(self.audience or base)}
        else:
            auth = HTTPBasicAuth(quote_plus(self.client_id), quote_plus(self.secret))
        try:
            answer = session.post(f"{base}/v1/token", data=form, auth=auth, timeout=timeout, allow_redirects=False)
            document = answer.json() if answer.content else {}
        except requests.JSONDecodeError:
            document = {}
        except requests.RequestException as error:
            raise NoAnswer(f"POST /v1/token: {type(error).__name__}") from None
        if answer.status_code != 200 or not isinstance(document, dict) or "access_token" not in document:
            found = document if isinstance(document, dict) else {}
            told = {"type": found["error"], "detail": found.get("error_description")} if "error" in found else found
            raise problem(answer.status_code, told, answer.headers.get("Retry-After", ""))
        return str(document["access_token"]), float(document["expires_in"])

    def _assertion(self, audience: str) -> str:
        """A proof for this once (RFC 7523)."""
        assert self._key is not None
        now = int(time.time())
        claims = {
            "iss": self.client_id, "sub": self.client_id, "aud": audience, "jti": secrets.token_urlsafe(16), "iat": now,
            "exp": now + ASSERTED_FOR,
        }  # fmt: skip
        algorithm = "ES256" if isinstance(self._key, ECKey) else "Ed25519"
        return jwt.encode({"alg": algorithm, "kid": self._key.thumbprint()}, claims, self._key, algorithms=[algorithm])


def _read(key: Mapping[str, Any] | str | Path) -> OKPKey | ECKey:
    document: Any = key if isinstance(key, Mapping) else json.loads(Path(key).read_text("utf-8"))
    made = ECKey.import_key(dict(document)) if document.get("kty") == "EC" else OKPKey.import_key(dict(document))
    if not made.is_private:
        raise ValueError("private_key: this is only its public part")
    return made


def new_key() -> tuple[dict[str, Any], dict[str, Any]]:
    """A private key, to be kept where the hub is, and its public part, for the gateway's administrator; each a JWK."""
    made = OKPKey.generate_key("Ed25519")
    return dict(made.as_dict(private=True)), dict(made.as_dict(private=False))
