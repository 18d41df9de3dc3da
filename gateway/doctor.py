"""What is configured, what answers, what is late."""

import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from . import reports
from .delivery import standing
from .delivery.room import PostRoom
from .plugins import Agency
from .policy.lifecycle import State
from .settings import Settings
from .store import listings, server, troubles, webhooks

PORTS = {"http": 80, "https": 443, "amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    says: str

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "ok": "ok" if self.ok else "LOOK"}


def examine(room: PostRoom, refused: Sequence[str] = ()) -> list[Finding]:
    """Each thing looked at, in the order a person would: settings, servers, agencies, deliveries.

    *refused*: what production refuses. Where this is for trying out, that is no fault.
    """
    findings = [_mode(room.settings, refused), *(_refused(room.settings, line) for line in refused)]
    findings += [_master_key(room), Finding("database", True, "answers"), _broker(room.settings)]
    with room.store.begin() as tx:
        overview = reports.overview(tx, list(room.agencies))
        standings, untold = standing.everyones(room, tx), troubles.untold(tx)
        hooks, late = webhooks.all_of(tx), listings.late_tasks(tx)
        findings.append(_database_log(server.logs_values(tx)))
    findings += [_agency(agency) for agency in room.agencies.values()]
    if not room.agencies:
        findings.append(Finding("agencies", False, "none is configured: see docs/operations.md"))
    known = {*room.agencies, *(hook.id for hook in hooks)}
    gone = [totals.agency for totals in overview.agencies if totals.agency not in known and totals.oldest]
    findings += [
        Finding(f"agency {name}", False, "has undelivered referrals and is no longer configured") for name in gone
    ]
    findings += [
        Finding(f"agency {name}", stands.expected, standing.says(stands))
        for name, stands in standings.items()
        if stands.stops or stands.probing
    ]
    findings += [
        Finding(f"webhook {hook.id} of {hook.hub}", False, f"was switched off: {hook.disabled_code}")
        for hook in hooks
        if hook.disabled_at and hook.disabled_code != "webhook_off"
    ]
    age = overview.oldest_undelivered
    findings.append(
        Finding(
            "oldest undelivered",
            age is None or age < room.settings.alerts.oldest,
            "nothing waits" if age is None else f"{int(age.total_seconds())} s old",
        )
    )
    if any(agency.settings.by_hand for agency in room.agencies.values()) or late:
        findings.append(
            Finding(
                "late by hand", late == 0, f"{late}" + (": see gateway deliveries list --state task" if late else "")
            )
        )
    for state, advice in (
        (State.DEAD, "gateway deliveries replay"),
        (State.ASKING, "gateway deliveries confirm or replay"),
    ):
        count = overview.counts.get(state, 0)
        findings.append(
            Finding(
                str(state),
                count == 0,
                f"{count}" + (f": see gateway deliveries list --state {state}; {advice}" if count else ""),
            )
        )
    return [*findings, _alerts(room.settings.alerts.channels, untold)]


def _mode(settings: Settings, refused: Sequence[str]) -> Finding:
    if settings.mode == "production":
        return Finding("mode", not refused, "production; a restart is refused" if refused else "production")
    return Finding("mode", True, f"trial; production refuses {len(refused)} things" if refused else "trial")


def _refused(settings: Settings, line: str) -> Finding:
    setting, _, says = line.partition(": ")
    return Finding(setting, settings.mode != "production", f"not for production: {says}")


def _database_log(telling: list[str]) -> Finding:
    """What we store of people is sealed before it gets there; hubs' and agencies' names, ids and times are not."""
    says = (
        f"values of statements are written into it: set {' and '.join(telling)} to 0" if telling else "holds no values"
    )
    return Finding("database log", not telling, says)


def _alerts(channels: list[str], untold: int) -> Finding:
    if not channels:
        return Finding("alerts", True, "nobody is told of trouble: see alerts in docs/operations.md")
    return Finding("alerts", not untold, f"{untold} could not be sent" if untold else f"by {' and '.join(channels)}")


def _master_key(room: PostRoom) -> Finding:
    generated = room.settings.database_url is not None and room.settings.data_folder is not None
    return Finding("master key", True, "kept beside the embedded database: for trying out only" if generated else "set")


def _agency(agency: Agency) -> Finding:
    what = f"agency {agency.name}"
    return (
        Finding(what, True, "is reached by hand") if agency.settings.by_hand else _reach(what, agency.settings.base_url)
    )


def _broker(settings: Settings) -> Finding:
    if settings.in_one_process:
        return Finding("broker", True, "inside the delivery process; run one such process only")
    return _reach("broker", settings.broker)


def _reach(what: str, url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    try:
        with socket.create_connection((host, port), timeout=3):
            return Finding(what, True, f"{host}:{port} answers")
    except OSError:
        return Finding(what, False, f"{host}:{port} does not answer")
