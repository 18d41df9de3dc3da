"""What an adapter is given: a minimised referral, or the trace of one that was sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from gateway_schemas import covers


class NotDeclared(LookupError):
    """The adapter read a place that its ``needs`` do not name."""


@dataclass(frozen=True)
class Needs:
    """The places of a referral an adapter asks for. Made by :func:`needs`."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def pointers(self) -> tuple[str, ...]:
        return self.required + self.optional


def needs(*required: str, optional: tuple[str, ...] | list[str] = ()) -> Needs:
    """Declare what an adapter needs.

    Each is a JSON Pointer (RFC 6901) into the referral, ``*`` for each item of an array, for
    example ``/person/name`` or ``/household/children/*/birth_date``; ``/request`` is this agency's
    own entry of ``/requests``. A contact channel is asked for whole (``/contact/phone``), so that
    its number never travels without its rules.

    A referral is refused at the counter when a *required* place is empty or not consented.
    An *optional* place is simply absent then.
    """
    pointers = (*required, *optional)
    for pointer in pointers:
        if not pointer.startswith("/") or pointer.endswith("/"):
            raise ValueError(f"{pointer!r} is not a JSON Pointer such as /person/name")
    if len(set(pointers)) != len(pointers):
        raise ValueError("a place is declared twice")
    return Needs(tuple(required), tuple(optional))


@lru_cache(4096)
def _declared(needs: Needs, pointer: str) -> bool:
    """Whether *pointer* is one of *needs*, or lies above or below one."""
    return any(covers(need, pointer) or covers(pointer, need) for need in needs.pointers)


_ABSENT = object()


def _find(data: Any, parts: list[str]) -> Any:
    for index, part in enumerate(parts):
        if part == "*":
            if not isinstance(data, list):
                return _ABSENT
            found = [_find(item, parts[index + 1 :]) for item in data]
            return [item for item in found if item is not _ABSENT] or _ABSENT
        if not isinstance(data, dict) or part not in data:
            return _ABSENT
        data = data[part]
    return data


@dataclass(frozen=True)
class Referral:
    """A referral, cut down to what this adapter declared and the woman agreed to.

    *delivery_key* is the same for every attempt of this delivery: use it as the idempotency key,
    as the reference the agency stores, and as the seed of any id the message needs
    (``uuid.uuid5``), so that a retry sends the same bytes. *submitted_at* has a time zone.
    Reading: ``referral["/person/name/family"]`` raises KeyError where the place is empty,
    ``referral.get("/contact/phone")`` gives None; both raise NotDeclared outside ``needs``. *basis*: ``consent`` or,
    rarely, another lawful basis, ``vital-interests`` or ``safeguarding``; say nothing of consent then.
    """

    delivery_key: str
    submitted_at: datetime
    data: Mapping[str, Any]
    needs: Needs
    basis: str = "consent"

    def __getitem__(self, pointer: str) -> Any:
        value = self._read(pointer)
        if value is _ABSENT:
            raise KeyError(pointer)
        return value

    def get(self, pointer: str, default: Any = None) -> Any:
        value = self._read(pointer)
        return default if value is _ABSENT else value

    def _read(self, pointer: str) -> Any:
        if not _declared(self.needs, pointer):
            raise NotDeclared(f"{pointer} is not in this adapter's needs")
        return _find(self.data, pointer.strip("/").split("/"))


@dataclass(frozen=True)
class Sent:
    """A referral that was sent, or may have been. It carries no personal data.

    *delivery_key*: the referral's, as in Referral. *reference*: the agency's own, if it gave one.
    *message_key*: constant for every attempt of this very message; the idempotency key of an update or a withdrawal.
    """

    delivery_key: str
    submitted_at: datetime
    message_key: str
    reference: str | None = None
