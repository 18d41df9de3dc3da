"""Reading the samples: synthetic referrals, each with what should become of it.

Times in the files are relative (``-2d``, ``+90d``, ``-15y``), so that they never age.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import gateway_schemas

FOLDER = Path(__file__).parent / "referrals"
RELATIVE = re.compile(r"([+-]\d+)([dy])")


@dataclass(frozen=True)
class Sample:
    """One file. *referral* lacks the consent's id, which is known only once the consent is recorded.

    *expect*: ``{"answer": 202, "deliveries": {agency: {"state", "code"}}, "absent": {agency: [pointer]}}``,
    or ``{"answer", "problem", "missing" | "pointers"}``. *conversation*: ``{agency, asks, answer}``, in words.
    """

    name: str
    title: str
    story: str
    hub: str
    consent: dict[str, Any]
    referral: dict[str, Any]
    expect: dict[str, Any]
    withdraw: bool = field(default=False)
    conversation: dict[str, str] | None = None


def load(now: datetime) -> list[Sample]:
    """Every sample, in the order of the files, with its times made absolute from *now*."""
    return [_read(path, now) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path, now: datetime) -> Sample:
    document = json.loads(path.read_text("utf-8"))
    return Sample(
        name=path.stem,
        title=document["title"],
        story=document["story"],
        hub=document["hub"],
        consent=_absolute(document["consent"], gateway_schemas.load("consent"), now),
        referral=_absolute(document["referral"], gateway_schemas.load("referral"), now),
        expect=document["expect"],
        withdraw=document.get("withdraw", False),
        conversation=document.get("conversation"),
    )


def _absolute(value: Any, schema: Any, now: datetime) -> Any:
    """*value* with the relative times made absolute, in places that the schema says are dates or times."""
    schema = gateway_schemas.resolve(schema)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {name: _absolute(member, known.get(name, {}), now) for name, member in value.items()}
    if isinstance(value, list):
        return [_absolute(item, schema.get("items", {}), now) for item in value]
    match = RELATIVE.fullmatch(value) if isinstance(value, str) else None
    if match is None or schema.get("format") not in ("date", "date-time"):
        return value
    count, unit = int(match[1]), match[2]
    moment = now + timedelta(days=count) if unit == "d" else _years(now, count)
    return (
        moment.isoformat()
        if schema["format"] == "date-time"
        else date(moment.year, moment.month, moment.day).isoformat()
    )


def _years(moment: datetime, count: int) -> datetime:
    return moment.replace(year=moment.year + count, day=min(moment.day, 28))
