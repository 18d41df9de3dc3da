"""``gateway agencies``, and what is decided about one; ``gateway adapters``."""

from dataclasses import asdict
from typing import Any

from . import terminal
from .terminal import AsJson, Reason


def agencies(as_json: AsJson = False) -> None:
    """The configured agencies and how their deliveries stand."""
    from .. import reports
    from ..delivery import standing
    from ..store import directory

    with terminal.opened() as room, room.store.begin() as tx:
        standings, listed, now = standing.everyones(room, tx), directory.look(tx), tx.now()
        rows: list[dict[str, Any]] = []
        for totals in reports.overview(tx, list(room.agencies)).agencies:
            agency, stands = room.agencies.get(totals.agency), standings.get(totals.agency)
            stop, minute = stands and stands.stop(), stands and stands.minute
            rows.append(
                {
                    "agency": totals.agency,
                    "stands": standing.says(stands) if stands else _not_an_agency(totals.agency),
                    "deliveries": " ".join(f"{state}:{count}" for state, count in totals.counts.items()) or None,
                    "oldest": now - totals.oldest if totals.oldest else None,
                    "hours": standing.hours(agency, listed, now) if agency else None,
                    "calls_a_minute": f"{minute.calls} of {minute.most}" if minute else None,
                    "address": agency and (agency.settings.base_url or "by hand"),
                }
            )
            if as_json:  # a terminal is not wide enough for all
                rows[-1] |= {
                    "until": stop and stop.until,
                    "adapter": agency and agency.settings.adapter,
                    "purpose": agency and agency.purpose,
                    "areas": list(agency.settings.areas) if agency else None,
                }
        terminal.show(rows, as_json, "agencies")


def _not_an_agency(name: str) -> str:
    from .. import ids

    return "a hub's webhook" if ids.valid(name, "whe") else "not configured"


def adapters(as_json: AsJson = False) -> None:
    """The installed adapters, and the hash of each, for the setting adapter_hashes. None of them is loaded."""
    from .. import provenance

    terminal.show([asdict(one) for one in provenance.installed()], as_json, "adapters")


def pause(agency: str, reason: Reason) -> None:
    """Send nothing more to an agency until it is resumed. What is on the wire is finished."""
    from ..delivery import decisions

    with terminal.opened() as room:
        decisions.pause(room, agency, by=terminal.actor(), reason=reason)
        print(f"{agency} is paused: its referrals wait")


def resume(agency: str, reason: Reason) -> None:
    """Go on with a paused agency: what waits is sent; nothing that ended is started again."""
    from ..delivery import decisions

    with terminal.opened() as room:
        decisions.resume(room, agency, by=terminal.actor(), reason=reason)
        print(f"{agency} goes on")
