"""The right of access (UK GDPR article 15): everything that is held on one woman, who was given what of it, and who looked."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.errors import Conflict, NotFound
from gateway.store import audit, subjects
from gateway.store.session import Store

from .page import render

NAMES = ("subject-access.json", "subject-access.html")


def collect(store: Store, hub: str, subject: str, *, by: str, reason: str) -> dict[str, Any]:
    """All that *hub* has of the woman that it calls *subject*, in the clear; written in the audit. Raises NotFound, Sealed.

    *reason* is a person's words and is kept in the audit: no personal data in it.
    """
    with store.begin() as tx:
        agreed, made = subjects.find(tx, hub, subject)
        audit.write(tx, by, "subject.access", *(agreed + made or [hub]), reason=reason, found=len(agreed + made))
        held: dict[str, Any] = {
            "hub": hub,
            "reference": subject,
            "made_at": tx.now(),
            "consents": [subjects.consent(tx, one, hub=hub) for one in agreed],
            "referrals": [subjects.referral(tx, one, hub=hub) for one in made],
        }
        parts = ("deliveries", "messages")
        sent = [one["id"] for referral in held["referrals"] for part in parts for one in referral[part]]
        held["accesses"] = subjects.accesses(tx, [*agreed, *made, *sent])
    if not agreed and not made:
        raise NotFound(f"{hub} holds nothing under this reference")
    return held


def write(held: Mapping[str, Any], folder: Path) -> list[Path]:
    """*held* as JSON and as a page, for nobody else to read. Raises Conflict rather than write over an earlier answer."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = [folder / name for name in NAMES]
    if there := [file for file in written if file.exists()]:
        raise Conflict(f"there is {there[0]} already: give another folder")
    texts = (json.dumps(held, indent=2, ensure_ascii=False, default=_plain), render(held))
    for file, text in zip(written, texts, strict=True):
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
    return written


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
