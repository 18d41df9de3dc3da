"""The notary: signs how far the audit goes, so that whoever has the public key can tell when it was shortened or rewritten.

A chain of hashes shows an edit only to somebody who knows its end. A checkpoint is that end, signed
with Ed25519 (RFC 8032); kept elsewhere, it outlives whoever can write to the database.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .errors import Misconfigured


@dataclass(frozen=True)
class Checkpoint:
    """*position*: how many rows the audit had *at* that time. *link*: of the last of them."""

    position: int
    link: bytes
    at: datetime
    signature: bytes = b""

    def text(self) -> bytes:
        """What is signed."""
        return f"referral-gateway audit\n{self.position}\n{self.link.hex()}\n{self.at.timestamp()}\n".encode()

    def signed_by(self, public: str) -> bool:
        """Whether the owner of the *public* key, in base64, signed it."""
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(self.signature, self.text())
        except (InvalidSignature, ValueError):
            return False
        return True

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "checkpoint": self.position, "link": self.link.hex(), "at": self.at.isoformat(),
            "signature": base64.b64encode(self.signature).decode(),
        }  # fmt: skip

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From its JSON. Raises ValueError, KeyError, TypeError."""
        return cls(
            int(document["checkpoint"]), bytes.fromhex(document["link"]), datetime.fromisoformat(document["at"]),
            base64.b64decode(document["signature"]),
        )  # fmt: skip


class Notary:
    """Holds the signing key; never shows it."""

    def __init__(self, secret: str) -> None:
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret, validate=True))
        except (binascii.Error, ValueError):
            raise Misconfigured("setting audit_key: give the base64 of 32 random bytes (gateway key)") from None

    @property
    def public(self) -> str:
        """The public key, in base64: it checks and cannot sign."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, position: int, link: bytes, at: datetime) -> Checkpoint:
        plain = Checkpoint(position, link, at)
        return Checkpoint(position, link, at, self._key.sign(plain.text()))
