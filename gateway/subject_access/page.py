"""The same as a page that needs nothing else: no script, its style inside, ready to print."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import gateway_schemas
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.policy.hours import LONDON

KINDS = {"referral": "Referral", "update": "Later change", "withdrawal": "Request to delete"}
ARRIVED = {
    "delivered": "it arrived", "uncertain": "it may have arrived", "refused": "it arrived and was refused",
    "unavailable": "it did not arrive, or was sent back", "update": "they answered", "notfound": "they had nothing",
    "unmade": "nothing was sent",
}  # fmt: skip


def render(held: Mapping[str, Any]) -> str:
    """*held*: as collect() gives it."""
    return _environment.get_template("page.html").render(held=held, kinds=KINDS, arrived=ARRIVED)


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every value below *value*, each with where it stands, in words."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _lines(child, f"{name}: {_spoken(key)}" if name else _spoken(key).capitalize())
    elif isinstance(value, list | tuple | set | frozenset):
        for number, child in enumerate(value, start=1):
            yield from _lines(child, f"{name} {number}" if len(value) > 1 else name)
    elif value is not None:
        yield name, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else _text(value)


def _text(value: Any) -> str:
    return _date(value) if isinstance(value, datetime) else str(value)


def _spoken(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _kinds(fields: list[str]) -> list[str]:
    """The kinds of data that *fields*, places of a referral, belong to, in plain words."""
    known, leaves = gateway_schemas.categories(), gateway_schemas.leaves()
    return list(dict.fromkeys(known[leaves[one]["dataCategory"]]["plain"] for one in fields if one in leaves))


def _date(moment: datetime) -> str:
    local = moment.astimezone(LONDON)
    return f"{local.day} {local:%B %Y, %H:%M}"


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_environment.filters |= {"date": _date, "lines": _lines, "spoken": _spoken, "kinds": _kinds}
