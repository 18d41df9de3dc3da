"""Public identifiers: random, so that nothing can be told or guessed from one.

``ref_`` and 17 characters: 80 random bits in Crockford's base 32, then a check character
(Luhn's method, modulo 32), so that a mistyped id is told from an unknown one.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 16


def new(prefix: str) -> str:
    """A new id, for example ``ref_7Q2M4…``. *prefix* is ``con``, ``ref``, ``del``, ``key``, ``cli``, ``msg`` or ``whe``."""
    number = secrets.randbits(5 * LENGTH)
    body = "".join(ALPHABET[number >> 5 * place & 31] for place in range(LENGTH))
    return f"{prefix}_{body}{check(body)}"


def check(body: str) -> str:
    """The check character of *body*. Raises ValueError on a character outside the alphabet."""
    total = 0
    for place, character in enumerate(reversed(body)):
        value = ALPHABET.index(character) * (2 - place % 2)
        total += value // 32 + value % 32
    return ALPHABET[-total % 32]


def valid(identifier: str, prefix: str) -> bool:
    """Whether *identifier* is well formed and its check character right."""
    kind, _, rest = identifier.partition("_")
    body, last = rest[:-1], rest[-1:]
    return kind == prefix and len(body) == LENGTH and set(body) <= set(ALPHABET) and check(body) == last
