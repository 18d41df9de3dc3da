"""How an agency's interface knows who is calling. An adapter names the kind; the gateway holds the secrets.

Each class lists, in ``credentials``, the names an agency's configuration must then give.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class NoAuth:
    """Nothing is added: for a network that authenticates by itself (mutual TLS)."""

    credentials: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Bearer:
    """A fixed token in ``Authorization: Bearer`` (RFC 6750)."""

    credentials: ClassVar[tuple[str, ...]] = ("token",)


@dataclass(frozen=True)
class ApiKey:
    """A fixed key in the named header."""

    header: str = "apikey"
    credentials: ClassVar[tuple[str, ...]] = ("api_key",)


@dataclass(frozen=True)
class OAuth2ClientCredentials:
    """A token from *token_path* (relative to the base address), RFC 6749 section 4.4; kept until it nears its end."""

    token_path: str
    scope: str | None = None
    credentials: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")


@dataclass(frozen=True)
class UsernameToken:
    """WS-Security 1.1 UsernameToken with password digest, nonce and a Timestamp of *lifetime* seconds."""

    lifetime: int = 300
    credentials: ClassVar[tuple[str, ...]] = ("username", "password")


Auth = NoAuth | Bearer | ApiKey | OAuth2ClientCredentials | UsernameToken


@dataclass(frozen=True)
class SignedCallback:
    """The agency signs what it posts to us, after Standard Webhooks: ``webhook-id``, ``-timestamp``, ``-signature``."""

    credentials: ClassVar[tuple[str, ...]] = ("callback_secret",)


@dataclass(frozen=True)
class BearerCallback:
    """The agency sends a token we gave it in ``Authorization: Bearer``."""

    credentials: ClassVar[tuple[str, ...]] = ("callback_token",)


CallbackAuth = SignedCallback | BearerCallback
