"""The locks: seal and open.

Envelope encryption: each record has a data key of its own, wrapped by a master key; both steps
are AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. The associated data names the
table, column and row, so that a sealed value opens only where it was sealed. There may be several
master keys, by version: a wrapped data key begins with the version of the one that wraps it.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Misconfigured, Sealed
from .settings import Settings

NONCE = 12
FORMAT = 1  # the first byte of what is sealed under a data key
BY_SERVICE = "kms:"  # a master key that begins so is wrapped by the key service
KEY_SERVICES = "referral_gateway.key_services"
INDEX = "index"  # the record whose data key is that of the blind index


def generate() -> str:
    """A new master key, in the form the settings take."""
    return base64.b64encode(os.urandom(32)).decode()


def _seal(key: bytes, plain: bytes, where: str, first: int = FORMAT) -> bytes:
    nonce = os.urandom(NONCE)
    return bytes([first]) + nonce + AESGCM(key).encrypt(nonce, plain, where.encode())


def _open(key: bytes | None, sealed: bytes, where: str, first: int = FORMAT) -> bytes:
    try:
        if key is None or sealed[:1] != bytes([first]):
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
    """Holds the master keys; never shows them.

    *master_keys*: ``{version: key}``, versions from 1 to 255; or one key, which is then version 1. What is new is
    wrapped with version *wrap_with*, or else with the newest. Raises Misconfigured.
    """

    def __init__(self, master_keys: str | Mapping[int, str], wrap_with: int | None = None) -> None:
        keys = {1: master_keys} if isinstance(master_keys, str) else master_keys
        plain = {version: _master(version, key) for version, key in keys.items()}
        self._wrapping = {version: hmac.digest(key, b"wrap data keys", "sha256") for version, key in plain.items()}
        self.current = wrap_with or max(plain)
        if self.current not in plain:
            raise Misconfigured(f"setting wrap_with: there is no master key of version {self.current}")
        first = hmac.digest(plain[1], b"blind index", "sha256") if 1 in plain else os.urandom(32)
        self._index = DataKey(first)

    @property
    def versions(self) -> frozenset[int]:
        """Of the master keys that are at hand."""
        return frozenset(self._wrapping)

    def new_key(self, record: str) -> tuple[DataKey, bytes]:
        """A data key for *record* (its id), and the same wrapped, to be stored."""
        key = os.urandom(32)
        return DataKey(key), self._wrap(key, record)

    def key(self, wrapped: bytes | None, record: str) -> DataKey:
        """The data key that was wrapped for *record*; None: it has none any more. Raises Sealed."""
        return DataKey(self._unwrap(wrapped or b"", record))

    def rewrap(self, wrapped: bytes, record: str) -> bytes:
        """The same data key, wrapped with the present master key. Raises Sealed."""
        return self._wrap(self._unwrap(wrapped, record), record)

    def _wrap(self, key: bytes, record: str) -> bytes:
        return _seal(self._wrapping[self.current], key, f"key:{record}", self.current)

    def _unwrap(self, wrapped: bytes, record: str) -> bytes:
        version = wrapped[0] if wrapped else 0
        return _open(self._wrapping.get(version), wrapped, f"key:{record}", version)

    def blind(self, column: str, value: str) -> bytes:
        """A keyed hash for looking *value* up by equality: the same value gives the same 32 bytes, in one column only."""
        return hmac.digest(self._index._key, f"{column}\0{value}".encode(), "sha256")

    def wrapped_index(self) -> bytes:
        """The key of the blind index, to be stored: it stays when master keys change."""
        return self._wrap(self._index._key, INDEX)

    def use_index(self, wrapped: bytes) -> None:
        """Hash with the key that wrapped_index() gave once. Raises Sealed."""
        self._index = self.key(wrapped, INDEX)


def of(settings: Settings) -> Vault:
    """The vault of these *settings*, which name a master key. Raises Misconfigured."""
    opened = {
        version: _from_service(settings.key_service, version, secret.removeprefix(BY_SERVICE))
        if secret.startswith(BY_SERVICE)
        else secret
        for version, secret in settings.masters.items()
    }
    return Vault(opened, settings.wrap_with)


def _from_service(name: str | None, version: int, wrapped: str) -> str:
    """A master key that is given *wrapped*, unwrapped by the key service *name*: once, when a process starts.

    A key service is an entry point of the group ``referral_gateway.key_services``: a function that takes what it
    wrapped, as bytes, and returns the 32 bytes of the master key.
    """
    found = [one for one in entry_points(group=KEY_SERVICES) if one.name == name]
    if len(found) != 1:
        raise Misconfigured(f"setting key_service: {name or 'none'} is not installed (entry point {KEY_SERVICES})")
    try:
        unwrap: Callable[[bytes], bytes] = found[0].load()
        return base64.b64encode(unwrap(base64.b64decode(wrapped, validate=True))).decode()
    except Exception as error:  # noqa: BLE001  # code we did not write; its text may hold anything
        raise Misconfigured(
            f"setting master_keys.{version}: {name} does not unwrap it ({type(error).__name__})"
        ) from None


def _master(version: int, secret: str) -> bytes:
    try:
        key = base64.b64decode(secret, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32 or not 1 <= version <= 255:
        which = "master_key" if version == 1 else f"master_keys.{version}"
        raise Misconfigured(
            f"setting {which}: give the base64 of 32 random bytes (gateway key), versions from 1 to 255"
        )
    return key


def fingerprint(secret: str) -> bytes:
    """The stored form of a random secret (an API key, a session): SHA-256. Not for passwords."""
    return hashlib.sha256(secret.encode()).digest()
