"""What referrals of a period came to, for the reading room: columns that are in the clear, and the consents they rest on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway_sdk import Status

from gateway.errors import Sealed
from gateway.policy.lifecycle import MAY_SET, Party

from . import consents
from .consents import Record
from .session import Tx

ANSWERS = sorted(MAY_SET[Party.AGENCY] - MAY_SET[Party.GATEWAY] | {Status.DECLINED})
"""What an agency says: the first of these ends the wait."""
ROWS = """
SELECT referrals.consent, subject_index AS woman, referrals.hub, referrals.area, purpose, status,
    extract(epoch FROM (SELECT min(at) FROM events WHERE events.referral = referrals.id AND delivery = deliveries.id
        AND type IN ('delivery.status', 'delivery.state') AND events.status = ANY(%(answers)s)) - referrals.created_at) AS waited
FROM referrals JOIN deliveries ON deliveries.referral = referrals.id AND kind = 'referral'
WHERE referrals.created_at >= %(since)s AND referrals.created_at < %(until)s AND erased_at IS NULL
"""


@dataclass(frozen=True)
class Asked:
    """One agency was asked to help one woman. *waited*: seconds until it answered. *consent*: as it is now; None: unreadable."""

    woman: tuple[str, bytes]
    area: str
    purpose: str
    status: Status
    waited: float | None
    consent: Record | None


def of_period(tx: Tx, since: datetime, until: datetime) -> list[Asked]:
    """All of referrals that were taken from *since* on and before *until*. Nothing of a referral is opened."""
    rows = tx.all(ROWS, {"since": since, "until": until, "answers": [str(status) for status in ANSWERS]})
    agreed = {record.id: record for record in _readable(tx, {row["consent"] for row in rows})}
    return [
        Asked(
            (row["hub"], bytes(row["woman"])), row["area"], row["purpose"], Status(row["status"]),
            None if row["waited"] is None else float(row["waited"]), agreed.get(row["consent"]),
        )
        for row in rows
    ]  # fmt: skip


def _readable(tx: Tx, wanted: set[str]) -> Iterator[Record]:
    for row in tx.all(consents.SEALED + "WHERE id = ANY(%(ids)s)", {"ids": sorted(wanted)}):
        try:
            yield consents.open_row(tx.vault, row)
        except Sealed:  # nobody can say what she agreed to
            continue
