"""Cutting a document down to named places and allowed categories."""

from collections.abc import Callable, Mapping, Set
from typing import Any

Categories = Set[str]

NOTHING = object()


class UnknownPointer(LookupError):
    """No leaf of the schema lies at or below this pointer."""


def covers(pointer: str, place: str) -> bool:
    """Whether *place* is *pointer* or lies below it."""
    return place == pointer or place.startswith(pointer + "/")


def select(
    value: Any,
    schema: Mapping[str, Any],
    pointers: tuple[str, ...],
    allowed: Categories | None,
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    place: str = "",
) -> Any:
    """What of *value* may be kept, or NOTHING. A value the schema does not describe is never kept."""
    schema = resolve(schema)
    if not any(covers(pointer, place) or covers(place, pointer) for pointer in pointers):
        return NOTHING
    if "properties" in schema and isinstance(value, dict):
        flags = schema.get("safeWhen")
        if flags and not any(value.get(flag) is True for flag in flags):
            return NOTHING
        known = schema["properties"]
        kept = {
            name: select(child, known[name], pointers, allowed, resolve, f"{place}/{name}")
            for name, child in value.items()
            if name in known
        }
        return {name: child for name, child in kept.items() if child is not NOTHING} or NOTHING
    if "items" in schema and isinstance(value, list):
        items = [select(item, schema["items"], pointers, allowed, resolve, f"{place}/*") for item in value]
        return [item for item in items if item is not NOTHING] or NOTHING
    if "properties" in schema or "items" in schema or isinstance(value, dict | list):
        return NOTHING
    wanted = any(covers(pointer, place) for pointer in pointers)
    return value if wanted and (allowed is None or schema["dataCategory"] in allowed) else NOTHING
