"""JSON Web Tokens: the access tokens that we sign and read (RFC 9068), and the assertions by which clients prove
who they are (RFC 7523).

Signatures are Ed25519 (RFC 9864) or, of clients, ES256 as well; nothing else is looked at. Time is the caller's: the
database's clock.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from .errors import Invalid, Untrusted

ALGORITHMS = {"Ed25519": "Ed25519", "P-256": "ES256"}  # by curve
LONGEST = 8192  # characters of a token
SKEW = 30  # seconds by which a client's clock may be wrong
ASSERTED_FOR = 300  # seconds that an assertion may hold at most

Key = OKPKey | ECKey


@dataclass(frozen=True)
class Access:
    """What an access token says. *ends*: seconds since 1970. *certificate*: the thumbprint it is bound to (RFC 8705)."""

    client: str
    scopes: frozenset[str]
    ends: int
    certificate: str

    def require_present(self, now: datetime) -> None:
        """Raises Untrusted when it has ended."""
        if now.timestamp() >= self.ends:
            raise Untrusted("it has expired")


class Issuer:
    """Holds the signing keys, the present one first; never shows them. *url* is the issuer, and the audience.

    *keys*: Ed25519 private keys (RFC 8032), in base64.
    """

    def __init__(self, url: str, keys: Sequence[str], lasting: timedelta) -> None:
        self.url, self.lasting = url, lasting
        made = [OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(base64.b64decode(key))) for key in keys]
        self._keys = {key.thumbprint(): key for key in made}
        self._kid = made[0].thumbprint()

    def issue(self, client: str, scopes: Iterable[str], now: datetime, certificate: str = "") -> str:
        """An access token for *client*, bound to the *certificate* with this thumbprint, if there is one."""
        at = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": self.url, "aud": self.url, "sub": client, "client_id": client, "scope": " ".join(sorted(scopes)),
            "iat": at, "exp": at + int(self.lasting.total_seconds()), "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        if certificate:
            claims["cnf"] = {"x5t#S256": certificate}
        header = {"alg": "Ed25519", "typ": "at+jwt", "kid": self._kid}
        return jwt.encode(header, claims, self._keys[self._kid], algorithms=["Ed25519"])

    def read(self, token: str) -> Access:
        """What *token* says, if we signed it. Whether it has ended is still to be asked. Raises Untrusted."""
        header, _ = _unproved(token)
        key = self._keys.get(str(header.get("kid")))
        if key is None or header.get("typ") != "at+jwt":
            raise Untrusted("it is not an access token of this gateway, or is signed with a key that was taken away")
        claims = _proved(token, [key])
        if claims["iss"] != self.url or claims["aud"] != self.url:
            raise Untrusted("it is for another gateway")
        bound = claims.get("cnf", {}).get("x5t#S256", "")
        return Access(claims["client_id"], frozenset(claims["scope"].split()), claims["exp"], bound)


@dataclass(frozen=True)
class Assertion:
    """A client's proof, which counts once. *jti*: a hash of its id. *until*: it is believed, in seconds since 1970."""

    jti: bytes
    until: int


def claimed(assertion: str) -> str:
    """The client that *assertion* says it is of, unproved. Raises Untrusted."""
    _, claims = _unproved(assertion)
    return str(claims.get("sub"))


def prove(
    assertion: str, client: str, keys: Sequence[Mapping[str, Any]], audiences: Sequence[str], now: datetime
) -> Assertion:
    """That *assertion* was made for one of *audiences* with one of the client's public *keys* (JWK). Raises Untrusted."""
    header, _ = _unproved(assertion)
    algorithm: str = header["alg"]
    fitting = [key for key in keys if _algorithm(key) == algorithm] or [_decoy(algorithm)]
    claims = _proved(assertion, [_imported(key) for key in fitting])
    ends, jti, audience = claims.get("exp"), claims.get("jti"), claims.get("aud")
    if claims.get("iss") != client or claims.get("sub") != client:
        raise Untrusted("iss and sub are to be the client's id")
    named = audience if isinstance(audience, list) else [audience]
    if not set(map(str, named)) & set(audiences):
        raise Untrusted("aud is to be the gateway's issuer")
    at = now.timestamp()
    if type(ends) is not int or not at - SKEW < ends <= at + ASSERTED_FOR + SKEW:
        raise Untrusted(f"exp is to be within {ASSERTED_FOR} seconds from now")
    if any(type(claims[name]) is not int or claims[name] > at + SKEW for name in ("iat", "nbf") if name in claims):
        raise Untrusted("it is not valid yet")
    if not isinstance(jti, str) or not 8 <= len(jti) <= 255:
        raise Untrusted("jti is to be random, of 8 to 255 characters")
    return Assertion(hashlib.sha256(jti.encode("utf-8", "surrogatepass")).digest(), ends + SKEW)


def public_key(text: bytes) -> dict[str, Any]:
    """The JWK of a public key that is given as JWK (RFC 7517) or PEM. Raises Invalid."""
    try:
        key = _imported(load_pem_public_key(text) if b"-----BEGIN PUBLIC KEY" in text else json.loads(text))
    except (JoseError, ValueError, TypeError, KeyError):
        raise Invalid("This is no public key: give a JWK of one, or PEM.") from None
    if key.is_private:
        raise Invalid("This is a private key: give its public part, and keep the private one where the hub is.")
    document = dict(key.as_dict(private=False))
    if _algorithm(document) is None:
        raise Invalid("This kind of key is not taken: give one for Ed25519, or for ES256 (P-256).")
    return {name: document[name] for name in ("kty", "crv", "x", "y") if name in document}


def thumbprint(certificate: bytes) -> str:
    """The x5t#S256 of a certificate in DER (RFC 8705, section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def _imported(key: Any) -> Key:
    """From a JWK, or a key of cryptography's. Raises JoseError, ValueError, TypeError, KeyError."""
    curve = isinstance(key, EllipticCurvePublicKey) or (isinstance(key, Mapping) and key["kty"] == "EC")
    return ECKey.import_key(key) if curve else OKPKey.import_key(key)


def _algorithm(key: Mapping[str, Any]) -> str | None:
    """What a JWK signs with, if it is one of ours."""
    return ALGORITHMS.get(str(key.get("crv")))


@cache
def _decoy(algorithm: str) -> Mapping[str, Any]:
    """A key that nobody has: with it an unknown client takes as long as a wrong signature."""
    made = OKPKey.generate_key("Ed25519") if algorithm == "Ed25519" else ECKey.generate_key("P-256")
    return dict(made.as_dict(private=False))


def _unproved(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, whoever wrote them. Raises Untrusted."""
    try:
        if len(token) > LONGEST:
            raise ValueError
        found = jws.extract_compact(token.encode())
        header, claims = found.headers(), json.loads(found.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Untrusted("it is not a signed JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Untrusted("it is not a signed JWT")
    if header.get("alg") not in ALGORITHMS.values():
        raise Untrusted("alg is to be Ed25519 or ES256")
    return header, claims


def _proved(token: str, keys: Iterable[Key]) -> Mapping[str, Any]:
    """The claims of *token*, which was signed with one of *keys*. Raises Untrusted."""
    for key in keys:
        with suppress(JoseError, ValueError):
            return jwt.decode(token, key, algorithms=list(ALGORITHMS.values())).claims
    raise Untrusted("its signature is wrong")
