"""Where a request goes, and the limits of the conversation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path

from gateway_sdk import Auth, NoAuth


@dataclass(frozen=True)
class Target:
    """One agency's interface, from the configuration.

    *base_url* ends without a slash; requests can go nowhere else. *deadline*: seconds for the whole
    exchange, from connecting to the last byte. *max_reply*: bytes. *credentials*: what *auth* names.
    *public_only*: somebody outside chose the address, so it must not lead inside. *status_only*: the
    reply's body is of no use; what is over *max_reply* is left unread.
    """

    name: str
    base_url: str
    auth: Auth = NoAuth()
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    wsdl: Traversable | None = None
    deadline: float = 20.0
    max_reply: int = 1_000_000
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    public_only: bool = False
    status_only: bool = False
