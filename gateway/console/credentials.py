"""Passwords and second factors."""

import hmac
import secrets
import threading
from datetime import datetime
from functools import cache

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from gateway.errors import Invalid

hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, low-memory profile
STEP = 30  # seconds for which a code is good (RFC 6238)
LEAST, MOST = 12, 256  # characters of a password
_one_at_a_time = threading.Lock()  # guessing costs memory and time; not all of ours at once


@cache
def nobody() -> str:
    """A hash that no password has."""
    return hasher.hash(secrets.token_urlsafe())


def matches(stored: str | None, password: str) -> bool:
    """Whether *password* is the one; an unknown name takes as long as a wrong password."""
    with _one_at_a_time:
        try:
            return hasher.verify(stored or nobody(), password[: MOST + 1]) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


def check(password: str, name: str) -> str:
    """*password*, if it is fit to be one (NIST SP 800-63B: long, and no rules about characters). Raises Invalid."""
    if not LEAST <= len(password) <= MOST or name.lower() in password.lower():
        raise Invalid(f"Choose a password of {LEAST} to {MOST} characters without your name: a few words are good.")
    return password


def one_time() -> str:
    """A password to hand over once."""
    return secrets.token_urlsafe(12)


def new_totp() -> str:
    return pyotp.random_base32()


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is: the present one, or the ones beside it for clocks that differ. None: it is wrong."""
    present, given = int(now.timestamp()) // STEP, "".join(code.split()).encode()
    found = [
        step for step in (present - 1, present, present + 1)
        if hmac.compare_digest(pyotp.TOTP(secret).at(step * STEP).encode(), given)
    ]  # fmt: skip
    return found[0] if found else None


def uri(secret: str, name: str) -> str:
    """What an authenticator reads: ``otpauth://totp/…``."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Referral Gateway")


def picture(text: str) -> str:
    """*text* as a QR code, in SVG without styles."""
    return segno.make(text, error="m").svg_inline(scale=4, border=4)
