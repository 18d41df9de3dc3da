"""Alerts: one when a trouble begins and one when it is over, however many deliveries it is about.

No personal data: the name of an agency, or of somebody at the console, the kind of trouble, counts and times.
"""

import json
import random
from datetime import datetime, timedelta
from typing import Any

from gateway import logs, wire
from gateway.errors import MaybeSent, NotSent
from gateway.plugins import Agency
from gateway.policy.hours import is_open
from gateway.policy.retry import Schedule, next_time
from gateway.policy.troubles import OF_PEOPLE, Kind, Phase, says
from gateway.store import cases, directory, troubles
from gateway.store.directory import Directory
from gateway.store.session import Tx
from gateway.store.troubles import Alert

from . import standing
from .room import PostRoom

log = logs.get()

LEASE = timedelta(minutes=2)  # over every deadline of the wire
WATCHED = frozenset({Kind.LATE, Kind.DEAD, Kind.UNDECIDED, *OF_PEOPLE})
"""Found by looking; an outage is found by the calls themselves."""


def outage(room: PostRoom, tx: Tx, agency: str, phase: Phase) -> None:
    """An agency's outage begins or is over: told in the transaction that changes its breaker."""
    troubles.change(tx, agency, Kind.OUTAGE, phase, channels=room.settings.alerts.channels)


def watch(room: PostRoom) -> None:
    """Look for what no call shows, and begin or end the troubles that it makes."""
    with room.store.begin() as tx:
        found, under_way = _found(room, tx), troubles.under_way(tx)
        for agency, kind in sorted({*found, *under_way}):
            lately, whole = found.get((agency, kind), (0, 0))
            if lately and (agency, kind) not in under_way:
                phase, count = Phase.BEGINS, lately
            elif not lately and kind in WATCHED:
                phase, count = Phase.OVER, whole
            else:
                continue
            if troubles.change(tx, agency, kind, phase, channels=room.settings.alerts.channels, count=count):
                log.warning(f"trouble {phase}", agency=agency, kind=kind, count=count)


def _found(room: PostRoom, tx: Tx) -> dict[tuple[str, Kind], tuple[int, int]]:
    """``{(agency, kind): (how many lately, how many in all)}``."""
    oldest, now = room.settings.alerts.oldest, tx.now()
    listed = directory.look(tx)
    counting = {name: _counting(agency, listed, now, oldest) for name, agency in room.agencies.items()}
    late = troubles.late(tx, {name: only for name, only in counting.items() if only != frozenset()}, oldest)
    people = {which: (count, count) for which, count in cases.remarkable(tx).items()}
    return {(agency, Kind.LATE): (count, count) for agency, count in late.items()} | troubles.ended(tx) | people


def _counting(agency: Agency, listed: Directory, now: datetime, oldest: timedelta) -> frozenset[str] | None:
    """The urgencies that must not wait for *oldest* now; None: all. What an agency's closing holds back is not late."""
    hours = agency.opening(listed, now)
    open_long_enough = hours is None or (is_open(hours, now) and is_open(hours, now - oldest))
    return None if open_long_enough else agency.exempt


def send_due(room: PostRoom) -> int:
    """Send what is due, one after another, each tried again on the schedule of retries. Returns how many were sent."""
    count = 0
    while (alert := _take(room)) is not None:
        why_not = _send(room, alert)
        with room.store.begin() as tx:
            if why_not is None:
                troubles.sent(tx, alert)
            else:
                due = next_time(
                    Schedule(room.settings.retry, room.settings.jitter), alert.failures + 1, tx.now(), random.random()
                )
                troubles.failed(tx, alert, due)
                log.error("alert not sent", agency=alert.agency, kind=alert.kind, code=why_not, due=due is not None)
        count += why_not is None
    return count


def _take(room: PostRoom) -> Alert | None:
    with room.store.begin() as tx:
        return troubles.take(tx, room.settings.alerts.channels, LEASE)


def _send(room: PostRoom, alert: Alert) -> str | None:
    """Why it could not be sent, or None: it was."""
    text = says(alert.agency, alert.kind, alert.phase, alert.count)
    try:
        if alert.channel == "mail":
            wire.mail(
                room.settings.alerts,
                alert.id,
                alert.at,
                f"Referral Gateway: {text.partition('. ')[0]}",
                _letter(alert, text),
            )
            return None
        status = wire.post(room.settings.alerts, alert.id, json.dumps(_document(alert, text)))
        return None if 200 <= status < 300 else f"HTTP {status}"
    except (NotSent, MaybeSent) as error:
        return error.code


def _document(alert: Alert, text: str) -> dict[str, Any]:
    """What the webhook is given: type, time and data, as Standard Webhooks advises."""
    whose = "person" if alert.kind in OF_PEOPLE else "agency"
    return {
        "type": f"{whose}.{alert.kind}.{alert.phase}",
        "timestamp": alert.at.isoformat(),
        "data": {
            whose: alert.agency,
            "count": alert.count,
            "began_at": alert.began_at.isoformat(),
            "ended_at": alert.ended_at.isoformat() if alert.phase is Phase.OVER and alert.ended_at else None,
            "text": text,
        },
    }


def _letter(alert: Alert, text: str) -> str:
    since = f"Since {standing.clock(alert.began_at)}"
    until = f", until {standing.clock(alert.ended_at)}" if alert.phase is Phase.OVER else ""
    return f"{text}\n\n{since}{until}. More: gateway doctor, or the status page.\n"
