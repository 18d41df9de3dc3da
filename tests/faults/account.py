"""What became of every referral that a hub has a 202 for: in the database, and at the agencies themselves."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.delivery import decisions
from gateway.delivery.room import PostRoom
from gateway.plugins import Agency
from gateway.settings import AREAS, AgencySettings, Settings
from gateway.store import audit
from tests.running import Gateway

from .agencies import BENEFITS, COUNCIL, PLAIN
from .load import Load, wait_for
from .plain import Plain

PATIENCE = 90.0  # seconds to drain


@dataclass
class Account:
    """Counts of referrals at agencies (one referral to three agencies counts three times), but for *accepted*.

    *lost*: not held by the agency it was for, or by nobody's fault but ours not ended; a withdrawal or an agency's
    answer that never arrived counts too. *doubled*: ``{agency: how many it has twice}``. *late*: begun after she
    had withdrawn. *asking*: left for a person, who then asked the agency and decided. *wrong*: sentences.
    """

    accepted: int
    drained: float
    lost: int = 0
    doubled: dict[str, int] = field(default_factory=lambda: dict.fromkeys((COUNCIL, BENEFITS, PLAIN), 0))
    late: int = 0
    asking: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or sum(self.doubled.values()) or self.late or self.wrong)


def settle(gateway: Gateway, load: Load) -> Account:
    """Wait until nothing of *load*, which is over, is under way any more, and account for it."""
    started = time.monotonic()
    wrong = list(load.unanswered)
    _drain(gateway, load, wrong)
    account = Account(len(load.submitted), time.monotonic() - started, wrong=wrong)
    account.asking = _person_decides(gateway, load, account)
    _drain(gateway, load, wrong)
    rows = {row["id"]: row for row in _rows(gateway, load)}
    for one in load.submitted:
        for agency, identifier in one.deliveries.items():
            _check(gateway, account, one, agency, rows.get(identifier))
    for row in rows.values():
        if row["kind"] == "withdrawal" and row["state"] not in ("delivered", "withdrawn"):
            account.lost += 1
            account.wrong.append(f"withdrawal {row['id']} to {row['agency']} is {row['state']} ({row['code']})")
    _check_consent(gateway, account, load)
    with gateway.store.begin() as tx:
        verdict = audit.verify(tx)
    if verdict.broken is not None:
        account.wrong.append(f"the audit is broken at row {verdict.broken}: {verdict.why}")
    return account


def _check(gateway: Gateway, account: Account, one: Any, agency: str, row: dict[str, Any] | None) -> None:
    held = gateway.agencies[agency].held(one.mark)
    where = f"{one.id} at {agency}"
    if held > 1:
        account.doubled[agency] += 1
        account.wrong.append(f"{where} arrived {held} times")
    if row is None:
        lost = "is not in the database"
    elif row["state"] == "withdrawn" and row["code"] == "consent_withdrawn" and held:
        account.late += 1
        account.wrong.append(f"{where} was stopped, and arrived all the same")
        return
    elif row["state"] == "delivered" and not held:
        lost = "is delivered, but the agency does not hold it"
    elif row["state"] == "delivered" and agency == COUNCIL and row["status"] == "sent" and not one.withdrawn:
        lost = "was accepted by the agency, and the hub is not told"
    elif row["state"] != "delivered" and not (row["state"] == "withdrawn" and one.withdrawn):
        lost = f"is {row['state']} ({row['code']})"
    else:
        return
    account.lost += 1
    account.wrong.append(f"{where} {lost}")


def _rows(gateway: Gateway, load: Load) -> list[dict[str, Any]]:
    with gateway.store.begin() as tx:
        return tx.all(
            "SELECT * FROM deliveries WHERE referral = ANY(%(ids)s)", {"ids": [one.id for one in load.submitted]}
        )


def _moving(gateway: Gateway, load: Load) -> Iterator[dict[str, Any]]:
    """What is under way still: on our side, or an answer that the council gave."""
    withdrawn = {one.id for one in load.submitted if one.withdrawn}
    for row in _rows(gateway, load):
        waits_for_a_person = row["state"] == "asking" and row["due_at"] is None
        answered = row["agency"] != COUNCIL or row["status"] != "sent" or row["referral"] in withdrawn
        ended = row["state"] in ("refused", "dead", "withdrawn") or (row["state"] == "delivered" and answered)
        if not ended and not waits_for_a_person:
            yield row


def _drain(gateway: Gateway, load: Load, wrong: list[str]) -> None:
    try:
        wait_for(lambda: not any(_moving(gateway, load)), "drained", PATIENCE)
    except AssertionError:
        wrong += [
            f"{row['id']} to {row['agency']} does not end: {row['state']}, {row['status']}"
            for row in _moving(gateway, load)
        ]


def _person_decides(gateway: Gateway, load: Load, account: Account) -> int:
    """For what nobody can tell by machine, somebody phones the agency: has it got it? Returns how many."""
    shelter = AgencySettings(adapter="plain", base_url="http://127.0.0.1", areas=list(AREAS))
    room = PostRoom(gateway.store, {PLAIN: Agency(PLAIN, Plain(), shelter)}, Settings())
    marks = {identifier: one.mark for one in load.submitted for identifier in one.deliveries.values()}
    left = [row for row in _rows(gateway, load) if row["state"] == "asking" and row["due_at"] is None]
    for row in left:
        if row["agency"] != PLAIN or row["id"] not in marks:
            account.wrong.append(f"{row['kind']} {row['id']} to {row['agency']} is left to a person: {row['code']}")
            continue
        decide = decisions.confirm if gateway.agencies[PLAIN].held(marks[row["id"]]) else decisions.replay
        decide(room, row["id"], by="admin:faults", reason="asked by phone")
    return len(left)


def _check_consent(gateway: Gateway, account: Account, load: Load) -> None:
    """Nothing is begun once a withdrawal is committed: the two are in one order in the audit, by the consent's lock."""
    with gateway.store.begin() as tx:
        late = tx.all(
            "SELECT deliveries.id FROM referrals JOIN deliveries ON deliveries.referral = referrals.id "
            "JOIN audit AS withdrawal ON withdrawal.object = referrals.consent AND withdrawal.action = 'consent.withdrawn' "
            "JOIN audit AS beginning ON beginning.object = deliveries.id AND beginning.id > withdrawal.id "
            "WHERE referrals.id = ANY(%(ids)s) AND deliveries.kind = 'referral' "
            "AND beginning.action IN ('delivery.begin', 'delivery.repeat')",
            {"ids": [one.id for one in load.submitted]},
        )
        told = tx.all("SELECT FROM audit WHERE action = 'consent.withdrawn'")
    if len(told) < sum(one.withdrawn for one in load.submitted):
        account.wrong.append("not every withdrawal is in the audit")
    account.late += len(late)
    account.wrong += [f"{row['id']} was begun after she withdrew" for row in late]
