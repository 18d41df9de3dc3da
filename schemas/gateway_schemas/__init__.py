"""The schemas as data: what a referral may hold, and which data category each leaf is.

JSON Schema draft 2020-12 with two annotations of our own, defined in ``v1/meta.json``:

- ``dataCategory`` on every leaf: consent and minimisation work in these categories;
- ``safeWhen`` on a way to contact her: the names of flags, one of which must be true
  for the channel to be passed on at all.

A *pointer* here is an RFC 6901 JSON Pointer in which ``*`` stands for every item of an
array, for example ``/household/children/*/birth_date``. Pointers speak of the *agency's
view* of a referral: the document with ``/requests`` replaced by ``/request``, the one
entry that is that agency's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ._select import NOTHING, Categories, Plan, UnknownPointer, covers, plan, select

__all__ = [
    "NAMES",
    "Categories",
    "UnknownPointer",
    "agency_view",
    "categories",
    "categories_under",
    "channels",
    "consent_categories",
    "covers",
    "keep",
    "leaves",
    "load",
    "resolve",
    "view_schema",
]

NAMES = (
    "referral", "consent", "withdrawal", "contact", "lawful_basis", "approval", "delivery", "event", "route", "given", "answer",
    "message",
)  # fmt: skip


@cache
def load(name: str) -> dict[str, Any]:
    """The schema (or ``meta``, or ``categories``) called *name*, as parsed JSON. Do not change it."""
    document: dict[str, Any] = json.loads(files(__name__).joinpath("v1", f"{name}.json").read_text("utf-8"))
    return document


def categories() -> Mapping[str, Mapping[str, Any]]:
    """Every data category: ``{code: {title, plain, needsConsent, specialCategory}}``; *plain* is said to her."""
    return load("categories")


@cache
def consent_categories() -> frozenset[str]:
    """The categories that leave only with her consent; the rest run the referral."""
    return frozenset(code for code, category in categories().items() if category["needsConsent"])


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """*schema* with its ``$ref`` followed. What stands beside the ``$ref`` wins."""
    while "$ref" in schema:  # a reference without a document is to the referral schema
        document, _, path = schema["$ref"].partition("#")
        target: Any = load(document.rsplit("/", 1)[-1].removesuffix(".json") if document else "referral")
        for part in path.strip("/").split("/"):
            target = target[part]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


@cache
def view_schema() -> dict[str, Any]:
    """The schema of what an agency may at most be given: a referral with its own ``/request``."""
    properties = dict(load("referral")["properties"])
    properties["request"] = properties.pop("requests")["items"]
    return {"type": "object", "additionalProperties": False, "properties": properties}


def agency_view(referral: Mapping[str, Any], agency: str) -> dict[str, Any]:
    """*referral* as *agency* may at most see it. Raises LookupError if it asks nothing of that agency."""
    view = {key: value for key, value in referral.items() if key != "requests"}
    for request in referral["requests"]:
        if request.get("agency") == agency:
            return {**view, "request": request}
    raise LookupError(f"the referral asks nothing of {agency}")


def _walk(schema: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = resolve(schema)
    for name, child in schema.get("properties", {}).items():
        yield from _walk(child, f"{pointer}/{name}")
    if "items" in schema:
        yield from _walk(schema["items"], f"{pointer}/*")
    if "properties" not in schema and "items" not in schema:
        yield pointer, schema


@cache
def leaves(name: str = "view") -> Mapping[str, Mapping[str, Any]]:
    """``{pointer: leaf schema}`` for the agency's view, or for the schema called *name*."""
    schema = view_schema() if name == "view" else load(name)
    return dict(_walk(schema, ""))


@cache
def channels() -> tuple[str, ...]:
    """The pointers of the ways to contact her. Each is asked for whole, so that its rules travel with it."""
    contact = view_schema()["properties"]["contact"]["properties"]
    return tuple(f"/contact/{name}" for name, schema in contact.items() if "safeWhen" in schema)


def categories_under(pointer: str) -> frozenset[str]:
    """The data categories of the leaves at or below *pointer*. Raises UnknownPointer."""
    found = frozenset(leaf["dataCategory"] for path, leaf in leaves().items() if covers(pointer, path))
    if not found:
        raise UnknownPointer(pointer)
    return found


def keep(view: Mapping[str, Any], pointers: Iterable[str], allowed: Categories | None = None) -> dict[str, Any]:
    """The part of an agency's *view* that lies under *pointers* and in the *allowed* categories.

    ``None`` allows every category. A channel that is not safe (``safeWhen``) is left out
    whoever asks and whatever is allowed. Objects and arrays left empty are left out.
    Pure: *view* is not changed, the result shares nothing mutable with it.
    """
    chosen = _plan(tuple(pointers))
    kept = select(view, chosen, allowed) if chosen else NOTHING
    return kept if isinstance(kept, dict) else {}


@cache
def _plan(pointers: tuple[str, ...]) -> Plan | None:
    return plan(view_schema(), pointers, resolve)
