"""The locks: seal and open.

Envelope encryption: each record has a data key of its own, wrapped by the master key; both steps
are AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. The associated data names the
table, column and row, so that a sealed value opens only where it was sealed.
"""

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Misconfigured, Sealed

NONCE = 12
VERSION = b"\x01"


def generate() -> str:
    """A new master key, in the form the settings take."""
    return base64.b64encode(os.urandom(32)).decode()


def _seal(key: bytes, plain: bytes, where: str) -> bytes:
    nonce = os.urandom(NONCE)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, plain, where.encode())


def _open(key: bytes, sealed: bytes, where: str) -> bytes:
    try:
        if sealed[:1] != VERSION:
            raise InvalidTag
        return AESGCM(key).decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], where.encode())
    except (InvalidTag, ValueError):
        raise Sealed(
            f"{where.split(':')[0]} does not open: another master key, or the value was moved or changed"
        ) from None


@dataclass(frozen=True, repr=False)
class DataKey:
    """The key of one record. Keep it no longer than the work at hand."""

    _key: bytes

    def seal(self, plain: bytes, where: str) -> bytes:
        """*plain* sealed for the place called *where*, for example ``referrals.payload:ref_…``."""
        return _seal(self._key, plain, where)

    def open(self, sealed: bytes, where: str) -> bytes:
        """What was sealed for *where*. Raises Sealed."""
        return _open(self._key, sealed, where)


class Vault:
    """Holds the master key; never shows it."""

    def __init__(self, master_key: str) -> None:
        try:
            key = base64.b64decode(master_key, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != 32:
            raise Misconfigured("setting master_key: give the base64 of 32 random bytes (gateway key)")
        self._wrapping = hmac.digest(key, b"wrap data keys", "sha256")
        self._index = hmac.digest(key, b"blind index", "sha256")

    def new_key(self, record: str) -> tuple[DataKey, bytes]:
        """A data key for *record* (its id), and the same wrapped, to be stored beside it."""
        key = os.urandom(32)
        return DataKey(key), _seal(self._wrapping, key, f"key:{record}")

    def key(self, wrapped: bytes, record: str) -> DataKey:
        """The data key that was wrapped for *record*. Raises Sealed."""
        return DataKey(_open(self._wrapping, wrapped, f"key:{record}"))

    def blind(self, column: str, value: str) -> bytes:
        """A keyed hash for looking *value* up by equality: the same value gives the same 32 bytes, in one column only."""
        return hmac.digest(self._index, f"{column}\0{value}".encode(), "sha256")


def fingerprint(secret: str) -> bytes:
    """The stored form of a random secret (an API key, a session): SHA-256. Not for passwords."""
    return hashlib.sha256(secret.encode()).digest()
