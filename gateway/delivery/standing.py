"""How each agency stands now: what the store and the settings say of it, under the one rule of policy/calls.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway.plugins import Agency
from gateway.policy.calls import Minute, Standing, Stop, Why, stand
from gateway.policy.hours import LONDON, words
from gateway.policy.lifecycle import State
from gateway.store import directory, health, pace, referrals
from gateway.store.deliveries import Delivery
from gateway.store.directory import Directory
from gateway.store.health import Health
from gateway.store.session import Tx

from .room import PostRoom


def everyones(room: PostRoom, tx: Tx) -> dict[str, Standing]:
    """``{name: Standing}`` of the configured agencies, by the database's clock."""
    looking = directory.Looking(tx)
    unwell, now = health.picture(tx)
    listed = looking.result()
    limits = {name: most for name, agency in room.agencies.items() if (most := agency.settings.calls_a_minute)}
    used = pace.minutes(tx, limits) if limits else {}
    return {name: of(agency, unwell.get(name), now, listed, used.get(name)) for name, agency in room.agencies.items()}


def of(
    agency: Agency, found: Health | None, now: datetime, listed: Directory | None, minute: Minute | None = None
) -> Standing:
    """How *agency* stands whose health was *found* so at *now*; None: well. *listed*: the directory."""
    found = found or Health(agency.name)
    return stand(
        now, paused_at=found.paused_at, opened_at=found.opened_at, probe_at=found.probe_at,
        hours=agency.opening(listed, now), exempt=agency.exempt, minute=minute,
    )  # fmt: skip


@dataclass(frozen=True)
class Prospect:
    """When a waiting delivery is sent at the earliest (None: nobody can say), and what *stop* holds it until then."""

    at: datetime | None
    stop: Stop | None = None


def prospects(room: PostRoom, tx: Tx, deliveries: Iterable[Delivery]) -> dict[str, Prospect]:
    """``{id: Prospect}`` of those of *deliveries* that wait."""
    waiting = [delivery for delivery in deliveries if delivery.state is State.WAITING]
    if not waiting:
        return {}
    standings = everyones(room, tx)
    exempting = {name for name, stands in standings.items() if stands.exempt}
    urgencies = referrals.urgencies(tx, {d.referral for d in waiting if d.referral and d.agency in exempting})
    return {
        delivery.id: _prospect(
            delivery, standings.get(delivery.agency, Standing()), urgencies.get(delivery.referral or "")
        )
        for delivery in waiting
    }


def _prospect(delivery: Delivery, stands: Standing, urgency: str | None) -> Prospect:
    stop, due = stands.stop(urgency), delivery.due_at
    if stop is None or (due and stop.until and stop.until <= due):
        return Prospect(due)
    return Prospect(stop.until, stop)


def waits(delivery: Delivery, prospect: Prospect | None) -> str | None:
    """What an undelivered one waits for, for people; None: for nothing but its turn, or no longer."""
    if delivery.state is State.TASK:
        return "for a person to tell the agency"
    if delivery.state is State.WAITING and delivery.code == "area_off":
        return "for its area to be switched on"
    if prospect:
        if prospect.stop is None:
            return f"until {clock(prospect.at)}"
        return f"because its agency is {told(prospect.stop)}"
    if delivery.state is State.ASKING:
        return f"to be asked about at {clock(delivery.due_at)}" if delivery.due_at else "for a person"
    return "for the referral it takes back" if delivery.state is State.HELD else None


def says(stands: Standing) -> str:
    """How an agency stands, for people; times are London's."""
    return "; ".join(told(stop) for stop in stands.stops) or ("down, one call may try" if stands.probing else "well")


def hours(agency: Agency, listed: Directory, now: datetime) -> str | None:
    """Its opening hours in a line, as the settings or the directory have them; None: round the clock."""
    chosen, opening = agency.settings, agency.opening(listed, now)
    parts = [f"{days} {times}" for days, times in chosen.hours.items()]
    if opening and opening.week != (agency.hours and agency.hours.week):
        parts = [f"{words(opening)}, by the directory"]
    parts += [f"closed on {', '.join(map(str, sorted(chosen.closed_on)))}"] if chosen.closed_on else []
    parts += [f"{' and '.join(chosen.hours_except)} at any time"] if chosen.hours_except and parts else []
    return "; ".join(parts) or None


def told(stop: Stop) -> str:
    """For example ``closed until Mon 30 Nov 2026 09:00``."""
    since = f" since {clock(stop.since)}" if stop.since else ""
    until = f", next try {clock(stop.until)}" if stop.why is Why.DOWN else f" until {clock(stop.until)}"
    return f"{stop.why}{since}{until if stop.until else ''}"


def clock(at: datetime | None) -> str:
    """*at* in London, to the second where it is not a whole minute."""
    if at is None:
        return "–"
    local = at.astimezone(LONDON)
    return f"{local:%a %-d %b %Y %H:%M}" + (f":{local:%S}" if local.second else "")
