"""Is this document what its schema says? If not: where, and what is expected there.

jsonschema-rs answers the common case, that all is well, about a hundred times faster; jsonschema
finds the words when it is not. A test holds the two to the same verdicts. Errors name the place
and the rule, never the value.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import gateway_schemas
import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway.errors import Invalid

FORMATS = {
    "date": "a date, YYYY-MM-DD",
    "date-time": "a time with its zone, YYYY-MM-DDThh:mm:ssZ",
    "email": "an e-mail address",
}
MOST_ERRORS = 50
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_/-]{0,39}")


def check(name: str, document: Any) -> dict[str, Any]:
    """*document*, if it follows the schema called *name* (``referral``, ``consent``). Raises Invalid.

    The problem lists ``errors``: ``{pointer, expected}``, the pointer after RFC 6901.
    """
    if not _quick(name).is_valid(document):
        errors = problems(name, document)
        first = errors[0]
        more = f" There are {len(errors) - 1} more errors." if len(errors) > 1 else ""
        raise Invalid(f"At {first['pointer'] or 'the top'}: expected {first['expected']}.{more}", errors=errors)
    kept: dict[str, Any] = document
    return kept


def problems(name: str, document: Any) -> list[dict[str, str]]:
    """Everything wrong with *document*, in its own order; empty when it is right."""
    found = (entry for error in _slow(name).iter_errors(document) for entry in _explain(error))
    unique = {(entry["pointer"], entry["expected"]): entry for entry in found}
    return sorted(unique.values(), key=lambda entry: entry["pointer"])[:MOST_ERRORS]


def pointer(parts: Iterable[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of *parts*."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _explain(error: ValidationError) -> Iterable[dict[str, str]]:
    place = list(error.absolute_path)
    rule: Any = error.validator_value
    match error.validator:
        case "required":
            assert isinstance(error.instance, Mapping)
            for name in rule:
                if name not in error.instance:
                    yield {"pointer": pointer([*place, name]), "expected": "a value; it is required"}
        case "additionalProperties":
            assert isinstance(error.instance, Mapping)
            assert isinstance(error.schema, Mapping)
            known: Mapping[str, Any] = error.schema.get("properties", {})
            for name in error.instance:
                if name not in known:
                    # what is no plain name is not repeated: it may be a value in the wrong place
                    where = [*place, name] if PLAIN.fullmatch(name) else place
                    yield {"pointer": pointer(where), "expected": f"no such property; known are {', '.join(known)}"}
        case _:
            yield {"pointer": pointer(place), "expected": _WORDS.get(str(error.validator), _other)(rule)}


def _other(rule: Any) -> str:
    return "another value; see the schema"


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "type": lambda rule: f"{'an' if rule[0] in 'aio' else 'a'} {rule}",
    "enum": lambda rule: f"one of {', '.join(map(str, rule))}",
    "pattern": lambda rule: f"text that matches {rule}",
    "format": lambda rule: FORMATS.get(rule, rule),
    "minLength": lambda rule: f"at least {rule} character{'s' if rule > 1 else ''}",
    "maxLength": lambda rule: f"at most {rule} characters",
    "minItems": lambda rule: f"at least {rule} entr{'ies' if rule > 1 else 'y'}",
    "maxItems": lambda rule: f"at most {rule} entries",
    "uniqueItems": lambda rule: "no entry twice",
    "minimum": lambda rule: f"{rule} or more",
    "maximum": lambda rule: f"{rule} or less",
    "anyOf": lambda rule: " or ".join(name for option in rule for name in option["required"]),
}


@cache
def _registry() -> Registry[Any]:
    documents = [gateway_schemas.load(name) for name in ("meta", *gateway_schemas.NAMES)]
    resources = [(d["$id"], Resource.from_contents(d, default_specification=DRAFT202012)) for d in documents]
    return Registry[Any]().with_resources(resources)


@cache
def _slow(name: str) -> Draft202012Validator:
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(gateway_schemas.load(name), registry=_registry(), format_checker=checker)


@cache
def _quick(name: str) -> Any:
    documents = [gateway_schemas.load(other) for other in gateway_schemas.NAMES]
    plain = [{**document, "$schema": "https://json-schema.org/draft/2020-12/schema"} for document in documents]
    registry = jsonschema_rs.Registry([(document["$id"], document) for document in plain])
    schema = next(document for document in plain if document["$id"].endswith(f"/{name}.json"))
    return jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)
