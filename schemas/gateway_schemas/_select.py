"""Cutting a document down to named places and allowed categories."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

Categories = Set[str]

NOTHING = object()


class UnknownPointer(LookupError):
    """No leaf of the schema lies at or below this pointer."""


@dataclass(frozen=True)
class Leaf:
    category: str


@dataclass(frozen=True)
class Array:
    items: "Plan"


@dataclass(frozen=True)
class Object:
    """*flags*: when there are any, one of these members must be true for anything to be kept."""

    members: Mapping[str, "Plan"]
    flags: tuple[str, ...] = ()


Plan = Leaf | Array | Object


def covers(pointer: str, place: str) -> bool:
    """Whether *place* is *pointer* or lies below it."""
    return place == pointer or place.startswith(pointer + "/")


def plan(
    schema: Mapping[str, Any],
    pointers: tuple[str, ...],
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    place: str = "",
) -> Plan | None:
    """What to keep of a value at *place*: the part of *schema* that *pointers* name. None: nothing."""
    schema = resolve(schema)
    if not any(covers(pointer, place) or covers(place, pointer) for pointer in pointers):
        return None
    if "properties" in schema:
        below = {
            name: plan(child, pointers, resolve, f"{place}/{name}") for name, child in schema["properties"].items()
        }
        members = {name: child for name, child in below.items() if child is not None}
        return Object(members, tuple(schema.get("safeWhen", ())))
    if "items" in schema:
        items = plan(schema["items"], pointers, resolve, f"{place}/*")
        return Array(items) if items else None
    return Leaf(schema["dataCategory"]) if any(covers(pointer, place) for pointer in pointers) else None


def select(value: Any, plan: Plan, allowed: Categories | None) -> Any:
    """What of *value* may be kept, or NOTHING. A value the schema does not describe is never kept."""
    match plan:
        case Object(members, flags) if isinstance(value, dict):
            if flags and not any(value.get(flag) is True for flag in flags):
                return NOTHING
            kept = {name: select(child, members[name], allowed) for name, child in value.items() if name in members}
            return {name: child for name, child in kept.items() if child is not NOTHING} or NOTHING
        case Array(items) if isinstance(value, list):
            kept_items = [select(item, items, allowed) for item in value]
            return [item for item in kept_items if item is not NOTHING] or NOTHING
        case Leaf(category) if not isinstance(value, dict | list):
            return value if allowed is None or category in allowed else NOTHING
    return NOTHING
