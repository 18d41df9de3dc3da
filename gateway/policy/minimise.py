"""What an agency is given: what its adapter declared, in categories she agreed to, and no unsafe channel.

Data minimisation, UK GDPR article 5(1)(c). Done before the adapter is called, so that it cannot
leak what it never had.
"""

from collections.abc import Mapping
from typing import Any

import gateway_schemas
from gateway_sdk import Needs


def required_categories(needs: Needs) -> frozenset[str]:
    """The categories she must have agreed to for an agency with these *needs*."""
    under = (gateway_schemas.categories_under(pointer) for pointer in needs.required)
    return frozenset[str]().union(*under) & gateway_schemas.consent_categories()


def keep(referral: Mapping[str, Any], agency: str, needs: Needs, consented: frozenset[str]) -> dict[str, Any]:
    """The part of *referral* that *agency* is given. Categories that need no consent are always allowed."""
    free = frozenset(gateway_schemas.categories()) - gateway_schemas.consent_categories()
    view = gateway_schemas.agency_view(referral, agency)
    return gateway_schemas.keep(view, needs.pointers, consented | free)


def missing_needs(referral: Mapping[str, Any], agency: str, needs: Needs) -> tuple[str, ...]:
    """The required places that are empty, or hold only an unsafe channel."""
    kept = gateway_schemas.keep(gateway_schemas.agency_view(referral, agency), needs.required)
    return tuple(pointer for pointer in needs.required if not _holds(kept, pointer.strip("/").split("/")))


def places(data: Mapping[str, Any], at: str = "") -> list[str]:
    """The places that *data* fills, as pointers, each once: what was given, without the values."""
    found: dict[str, None] = {}
    _fill(data, at, found)
    return list(found)


def _fill(data: Mapping[str, Any], at: str, found: dict[str, None]) -> None:
    for name, value in data.items():
        items, place = (value, f"{at}/{name}/*") if isinstance(value, list) else ((value,), f"{at}/{name}")
        for item in items:
            if isinstance(item, dict):
                _fill(item, place, found)
            else:
                found[place] = None


def _holds(data: Any, parts: list[str]) -> bool:
    """Whether there is anything at the place *parts* of *data*."""
    for index, part in enumerate(parts):
        if part == "*":
            return isinstance(data, list) and any(_holds(item, parts[index + 1 :]) for item in data)
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True
