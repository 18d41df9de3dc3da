"""Documents to test with, made from the schemas: every leaf filled, each with a value of its own. Synthetic."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import gateway_schemas

FIRST_DAY = date(1970, 1, 1)
SHAPED = {  # values for the patterns of the schemas, by a piece that tells the pattern
    "(con|bas)_": "con_{n:017d}",
    "ref_": "ref_{n:017d}",
    "del_": "del_{n:017d}",
    "msg_": "msg_{n:017d}",
    "+?[0-9": "07700 {n:06d}",
    "[0-9]{10}": "{n:010d}",
    "(?!BG": "AB{n:06d}C",
    "[A-Za-z]{2,3}(-": "en-x{n:06d}",
    "^[A-Z0-9][A-Z0-9-]": "S-{n:06d}",
    "^[a-z0-9]+(-": "agency-{n:06d}",
}


def filled(schema: Mapping[str, Any], marker: str = "Canary") -> Any:
    """A valid document with every leaf filled; arrays have two items, flags are true.

    Free texts are *marker* and a number, no two alike.
    """
    return _fill(schema, itertools.count(100), marker)


def full_view(marker: str = "Canary") -> dict[str, Any]:
    """An agency's view of a referral with every leaf filled."""
    view: dict[str, Any] = filled(gateway_schemas.view_schema(), marker)
    return view


def _fill(schema: Mapping[str, Any], numbers: Iterator[int], marker: str) -> Any:
    schema = gateway_schemas.resolve(schema)
    match schema:
        case {"properties": properties}:
            return {name: _fill(child, numbers, marker) for name, child in properties.items()}
        case {"items": items}:
            kind = gateway_schemas.resolve(items)
            if "enum" in kind:
                return kind["enum"][:2]
            return [_fill(items, numbers, marker) for _ in range(2)]
        case _:
            return _leaf(schema, next(numbers), marker)


def _leaf(schema: Mapping[str, Any], number: int, marker: str) -> Any:
    match schema:
        case {"enum": values}:
            return values[number % len(values)]
        case {"type": "boolean"}:
            return True
        case {"type": "number" | "integer"}:
            return number
        case {"format": "date"}:
            return (FIRST_DAY + timedelta(days=number * 37)).isoformat()
        case {"format": "date-time"}:
            return f"{(FIRST_DAY + timedelta(days=number * 37)).isoformat()}T10:00:00+00:00"
        case {"format": "email"}:
            return f"{marker.lower()}{number}@example.org"
        case {"pattern": pattern}:
            shape = next(shape for piece, shape in SHAPED.items() if piece in pattern)
            return shape.format(n=number)
        case _:
            return f"{marker}{number}".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 400)]


def places(document: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """``(pointer, value)`` of every leaf of *document*, items by their number."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from places(value, f"{pointer}/{name}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, f"{pointer}/{index}")
    else:
        yield pointer, document


def changed(document: Any, pointer: str, value: Any = None) -> Any:
    """A copy of *document* with the leaf at *pointer* (items by their number) changed, to *value* or another legal one."""
    copied = copy.deepcopy(document)
    *parents, last = pointer.strip("/").split("/")
    holder = copied
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    key: Any = int(last) if isinstance(holder, list) else last
    holder[key] = _other(holder[key], pointer) if value is None else value
    return copied


def _other(value: Any, pointer: str) -> Any:
    """Another legal value for the leaf at *pointer*."""
    schema = gateway_schemas.leaves()["/".join("*" if part.isdigit() else part for part in pointer.split("/"))]
    if isinstance(value, bool):
        return not value
    if "enum" in schema:
        return next(word for word in reversed(schema["enum"]) if word != value)
    return _leaf(schema, 7777, "Other")
