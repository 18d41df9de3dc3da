"""Every error the gateway raises on purpose.

::

    GatewayError
    ├── Misconfigured            a setting is wrong; one line, names it; the start stops
    ├── Problem                  somebody asked for what cannot be done; becomes RFC 9457 problem details
    │   ├── Invalid              the document is not what the schema says            422
    │   ├── NeedsMissing         an agency needs what the referral leaves empty      422
    │   ├── NobodyServes         the directory knows nobody who can take a need      422
    │   ├── AreaOff              the roll-out has not reached the area               409
    │   ├── ConsentMissing       she did not agree to what would be sent             403
    │   ├── NotFound             no such thing, or not this caller's                 404
    │   ├── Unauthenticated      who is calling?                                     401
    │   ├── Forbidden            known, but not allowed                              403
    │   │   └── ScopeMissing     this key or token is not for that                   403
    │   ├── Conflict             not in the state that this needs                    409
    │   ├── Changed              made from a version that is not the present one     412
    │   ├── VersionMissing       If-Match is required                                428
    │   ├── KeyMissing           Idempotency-Key is required                         400
    │   ├── KeyReused            the same Idempotency-Key with another body          422
    │   ├── Malformed            not JSON, or not UTF-8                              400
    │   ├── TooSlow              the request did not arrive whole in time            408
    │   ├── TooLarge             the body is over the limit                          413
    │   ├── UnsupportedMedia     not the content type this address takes             415
    │   ├── TooMany              called, or guessed, too often in this minute        429
    │   └── Busy                 more connections than there is room for             503
    ├── NotSent                  the request certainly did not reach the agency; try again
    ├── MaybeSent                the request may have reached the agency; never repeat blindly
    ├── TokenRefused             no access token for this; becomes an error of RFC 6749, section 5.2
    ├── Untrusted                a signed token is not what it says, or not for us, or not for now
    └── Sealed                   a sealed value does not open: wrong key, or moved, or changed

No message of these, and no field, holds personal data.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar


class GatewayError(Exception):
    """The root: catches all of the above."""


class Misconfigured(GatewayError):
    """A setting is wrong. The text is one line that names it and says what to do."""


class Problem(GatewayError):
    """What a caller is told, after RFC 9457.

    *detail* says what to do, in a sentence a caseworker can act on. *extra* are further members
    of the problem document: ids, codes, pointers; never values from a referral.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: Mapping[str, Any] = extra

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields of the answer."""
        return {}


class Invalid(Problem):
    status, slug, title = 422, "invalid", "The document does not follow its schema"


class NeedsMissing(Problem):
    status, slug, title = 422, "needs-missing", "An agency needs more than the referral says"


class NobodyServes(Problem):
    status, slug, title = 422, "nobody-serves-it", "Nobody can take this need there"


class AreaOff(Problem):
    status, slug, title = 409, "area-off", "The roll-out has not reached this area"


class ConsentMissing(Problem):
    status, slug, title = 403, "consent-missing", "She has not agreed to this"


class NotFound(Problem):
    status, slug, title = 404, "not-found", "There is no such thing here"


class Unauthenticated(Problem):
    """*refused*: credentials were sent and are no good (RFC 6750, section 3)."""

    status, slug, title = 401, "unauthenticated", "Say who is calling"

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__(detail)
        self.refused = refused

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"' if self.refused else "Bearer"}


class Forbidden(Problem):
    status, slug, title = 403, "forbidden", "Not allowed"


class ScopeMissing(Forbidden):
    slug, title = "scope-missing", "Not allowed with this key or token"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}. An administrator of the gateway can give it.", scope=scope)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.extra["scope"]}"'}


class Conflict(Problem):
    status, slug, title = 409, "conflict", "Not possible in its present state"


class Changed(Problem):
    status, slug, title = 412, "changed", "It has changed since you read it"


class VersionMissing(Problem):
    status, slug, title = 428, "version-missing", "Say which version you have read"


class KeyMissing(Problem):
    status, slug, title = 400, "idempotency-key-missing", "An Idempotency-Key is required"


class KeyReused(Problem):
    status, slug, title = 422, "idempotency-key-reused", "This Idempotency-Key was used for another body"


class Malformed(Problem):
    status, slug, title = 400, "malformed", "The body cannot be read"


class TooSlow(Problem):
    status, slug, title = 408, "request-timeout", "The request took too long to arrive"


class TooLarge(Problem):
    status, slug, title = 413, "too-large", "The body is too large"


class UnsupportedMedia(Problem):
    status, slug, title = 415, "unsupported-media-type", "Not a content type that is taken here"


class TooMany(Problem):
    """*seconds*: until it can be asked again."""

    status, slug, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(ceil(self.seconds))}


class Busy(Problem):
    status, slug, title = 503, "busy", "Try again later"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class NotSent(GatewayError):
    """Certainly not received: no connection, no name, no TLS, no credentials.

    *code* is one of the wire's own codes, for example ``connect_failed``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MaybeSent(GatewayError):
    """Perhaps received: bytes were written, and no whole readable answer came. *code* as in NotSent."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TokenRefused(GatewayError):
    """*code*: of RFC 6749, section 5.2, for example ``invalid_scope``. *detail*: a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Untrusted(GatewayError):
    """A JSON Web Token does not prove what it says; the text says why, and nothing of what is in it."""


class Sealed(GatewayError):
    """A sealed value does not open."""
