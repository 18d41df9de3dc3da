"""Delivery by hand: the agency has no interface, or none for this, so a person tells it, by phone or secure mail.

It is claimed like any other delivery and becomes a task; one that its adapter makes no request of becomes one when that
is known (settle.py). Its hub opens a sheet with what that agency may be given, and records when it gave it and to whom;
later, what the agency answers. From the moment the sheet was opened the agency may have it, as with a request that has
begun to leave.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import gateway_sdk as sdk

from gateway.errors import Conflict, ConsentMissing, Invalid, NotFound
from gateway.plugins import Agency
from gateway.policy import minimise
from gateway.policy.consent import Grant, WhyNot
from gateway.policy.lifecycle import MAY_SET, Move, Party, State
from gateway.store import audit, consents, deliveries, directory, messages, referrals
from gateway.store.attempts import Look
from gateway.store.callers import Caller
from gateway.store.contradictions import Source
from gateway.store.deliveries import Delivery
from gateway.store.session import Tx

from . import behind, feedback, settle
from .permission import permission
from .room import PostRoom

SKEW = timedelta(minutes=5)  # a worker's watch may go before our clock


@dataclass(frozen=True)
class Sheet:
    """What a person needs to give *delivery* to its agency. *data*: the minimised referral; empty for a withdrawal, for
    an update that may tell nothing of her any more, and for a *message*, the words.

    *reference*: the agency's own, of what is taken back. *contacts*: name and numbers of its services.
    """

    delivery: Delivery
    data: Mapping[str, Any]
    message: str | None
    reference: str | None
    contacts: list[dict[str, Any]]

    @property
    def says(self) -> str:
        """What to do with it, in words."""
        match self.delivery.kind, bool(self.data):
            case "withdrawal", _:
                return "She took her referral back. Tell the agency to stop, and to delete what it was given."
            case "update", False:
                return "What the agency has is out of date, and she agrees to it being told no more. Tell it not to use it."
            case "update", True:
                return "What the agency has is out of date. Give it this in its place, and nothing else. Destroy the sheet afterwards."
            case _:
                return "Give the agency this and nothing else. Destroy the sheet afterwards."


def carry_on(room: PostRoom, look: Look, agency: Agency) -> None:
    """What the clock does about a held delivery: make it a person's task, or remind of one that nobody has done.

    A referral or update becomes a task only if her consent has not changed meanwhile; a withdrawal in any case.
    """
    held = look.delivery
    consent = look.agreed if held.kind != "withdrawal" else None
    with room.store.begin() as tx:
        due = tx.now() + agency.settings.remind_after
        if held.state is State.TASK:
            deliveries.remind(tx, held, again_at=due)
        else:
            deliveries.put_move(tx, held, Move.HAND, due_at=due, consent=consent)


def sheet(
    room: PostRoom, identifier: str, caller: Caller, *, first: Callable[[Tx, Delivery], None] | None = None
) -> Sheet:
    """Open the sheet of a task: audited, and only while she agrees. Raises NotFound, Conflict, ConsentMissing.

    *first*: done before anything of her is opened, in that transaction and outside the hub's walls, which are up after it.
    """
    with room.store.begin(hub=None if first else caller.hub) as tx:
        task, agency, record = _task(room, tx, identifier, caller)
        allowed = _allowed(record, task, agency, record.read_at)
        if not isinstance(allowed, WhyNot):
            if first and allowed:
                first(tx, task)
            tx.only([caller.hub])
            return _opened(tx, task, agency, allowed, caller)
        if not task.seen_at:
            settle.consent_ended(tx, task, allowed)
    raise ConsentMissing(
        f"She does not agree to {agency.name} any more: it must not be given.", missing=_missing(agency, allowed)
    )


def _opened(tx: Tx, task: Delivery, agency: Agency, grant: Grant | None, caller: Caller) -> Sheet:
    because = f"sheet of {task.id} for {agency.name}"
    data: Mapping[str, Any] = {}
    message = None
    if grant and task.referral:
        deliveries.open_sheet(tx, task)
        referral = referrals.sealed(tx, task.referral)
        if task.kind == "message":
            letter = messages.carried(tx, task.id)
            message = letter.open(referral.key(tx.vault)).text
            audit.write(tx, caller.actor, "message.open", letter.id, because=because)
        else:
            data = minimise.keep(referral.open(tx.vault), agency.name, agency.adapter.needs, grant.categories)
            audit.write(tx, caller.actor, "referral.open", task.referral, because=because)
    original = deliveries.get(tx, task.of) if task.of else task
    return Sheet(task, data, message, deliveries.reference(tx, original), contacts(tx, agency.name))


def contacts(tx: Tx, agency: str) -> list[dict[str, Any]]:
    """``{name, phones}`` of each service of *agency*, by the directory."""
    return [
        {"name": one.name, "phones": [phone["number"] for phone in one.phones]}
        for one in directory.look(tx).services
        if one.agency == agency
    ]


def _places(tx: Tx, task: Delivery, agency: Agency, allowed: Grant | WhyNot | None) -> list[str]:
    """What of the referral the agency was given, as places: what stood on the sheet."""
    if task.referral is None or not isinstance(allowed, Grant):
        return []
    if task.kind == "message":
        return ["/message"]
    [whole] = referrals.open_all(tx, [task.referral], because=f"{task.id} was given by hand").values()
    return minimise.places(minimise.keep(whole, agency.name, agency.adapter.needs, allowed.categories))


def given(room: PostRoom, identifier: str, document: Mapping[str, Any], caller: Caller) -> Delivery:
    """A person gave it to the agency. *document* follows the schema ``given``.

    She must have agreed at the time it was given; what happened all the same is recorded on request, and taken back.
    Raises NotFound, Conflict, Invalid, ConsentMissing.
    """
    at = datetime.fromisoformat(document["at"])
    with room.store.begin(hub=caller.hub) as tx:
        task, agency, record = _task(room, tx, identifier, caller)
        if not task.created_at - SKEW <= at <= record.read_at + SKEW:
            expected = "a time since the referral was made, and not in the future"
            raise Invalid(f"At /at: expected {expected}.", errors=[{"pointer": "/at", "expected": expected}])
        allowed, without = _allowed(record, task, agency, at), bool(document.get("without_consent"))
        agreed = not isinstance(allowed, WhyNot) and not (without and allowed is None and task.kind == "update")
        if isinstance(allowed, WhyNot) and not without:
            raise ConsentMissing(
                "She did not agree at that time, so it must not be given. If the agency has it all the same, "
                "record it with without_consent: it is then taken back.",
                missing=_missing(agency, allowed),
            )
        deliveries.keep_given(tx, task, at, document["to"], _places(tx, task, agency, allowed))
        settle.delivered(
            room, tx, task, agency, document.get("reference"), record.read_at,
            by=caller.actor, code=None if agreed else "given_without_consent",
        )  # fmt: skip
        done = deliveries.lock(tx, task.id)
        if not agreed:
            behind.take_back(tx, done, by=caller.actor)
        behind.release(tx, done)
        return deliveries.get(tx, done.id)


def answers(room: PostRoom, tx: Tx, delivery: Delivery) -> list[sdk.Status]:
    """What a person can record that its agency answered: of a task before it was given, of a referral afterwards."""
    if delivery.state is State.TASK:
        return [sdk.Status.DECLINED] + ([sdk.Status.WITHDRAWN] if _may_stay_untold(tx, delivery) else [])
    if delivery.state is not State.DELIVERED or delivery.kind != "referral" or not _is_by_hand(room, delivery):
        return []
    return [status for status in sdk.Status if status in MAY_SET[Party.HUB_FOR_AGENCY]]


def answered(room: PostRoom, identifier: str, document: Mapping[str, Any], caller: Caller) -> tuple[Delivery, bool]:
    """The agency told a person how it stands. *document* follows the schema ``answer``.

    Of a task that was not given yet: that the agency declines it, or (``withdrawn``) that it was never given; of an
    update only if she has taken the referral back since, and of a withdrawal never. Returns the delivery, and whether
    that was believed: what contradicts an earlier answer is kept and shown, and changes nothing. Raises NotFound, Conflict.
    """
    status = sdk.Status(document["status"])
    reason = sdk.Reason(document["reason"]) if "reason" in document else None
    at = datetime.fromisoformat(document["at"]) if "at" in document else None
    with room.store.begin(hub=caller.hub) as tx:
        delivery = _own(tx, identifier, caller, lock=True)
        if delivery.state is State.TASK:
            return _not_given(tx, delivery, status, reason, caller), True
        if not _is_by_hand(room, delivery):
            raise Conflict(f"{delivery.agency} is not reached by hand")
        if delivery.state is not State.DELIVERED or delivery.kind != "referral":
            raise Conflict(f"{identifier} is {delivery.state}: there is no answer to it")
        update = sdk.Update(status, reason=reason, at=at)
        believed = feedback.apply(
            tx, delivery, update, by=caller.actor, source=Source.BY_HAND, party=Party.HUB_FOR_AGENCY
        )
        return deliveries.get(tx, identifier), believed


def _not_given(tx: Tx, task: Delivery, status: sdk.Status, reason: sdk.Reason | None, caller: Caller) -> Delivery:
    may_stay_untold = _may_stay_untold(tx, task)
    if status is sdk.Status.DECLINED:
        if task.kind == "referral":
            task = deliveries.set_status(tx, task, status, reason=reason, at=tx.now(), by=caller.actor)
        said: dict[str, Any] = {"reason": reason} if reason else {}
        deliveries.put_move(tx, task, Move.REFUSE, by=caller.actor, code="declined_by_hand", **said)
    elif status is sdk.Status.WITHDRAWN and may_stay_untold:
        deliveries.put_move(tx, task, Move.WITHDRAW, by=caller.actor, code="not_given", status=status)
    else:
        or_not = " or was never given (withdrawn)" if may_stay_untold else ""
        raise Conflict(f"{task.id} waits to be given: record that first, or that the agency declined it{or_not}")
    behind.release(tx, deliveries.lock(tx, task.id))
    return deliveries.get(tx, task.id)


def _may_stay_untold(tx: Tx, task: Delivery) -> bool:
    return task.kind in ("referral", "message") or (task.kind == "update" and behind.is_taken_back(tx, task))


def _allowed(record: consents.Record, task: Delivery, agency: Agency, at: datetime) -> Grant | WhyNot | None:
    """What the agency may be told of her. None: nothing, and it has to be told all the same, that what it has is taken
    back, or out of date."""
    if task.kind == "withdrawal":
        return None
    found = permission(record.consent, agency, task.purpose, at, kind=task.kind)
    lapsed = isinstance(found, WhyNot) and found is not WhyNot.WITHDRAWN
    return None if lapsed and task.kind == "update" else found


def _missing(agency: Agency, why: WhyNot) -> list[dict[str, str]]:
    return [{"agency": agency.name, "purpose": agency.purpose, "reason": why}]


def _task(room: PostRoom, tx: Tx, identifier: str, caller: Caller) -> tuple[Delivery, Agency, consents.Record]:
    """A task of *caller*'s, its agency and consent; the consent locked before the task, as everywhere."""
    found = _own(tx, identifier, caller)
    if found.referral is None:
        raise Conflict(f"{identifier} is told to a webhook: it is not to be given by hand")
    record = consents.get(tx, referrals.get(tx, found.referral, hub=caller.hub).consent, hub=caller.hub)
    task = deliveries.lock(tx, identifier)
    agency = room.agencies.get(task.agency)
    if task.state is not State.TASK:
        raise Conflict(f"{identifier} is {task.state}: it is not to be given by hand")
    if agency is None:
        raise Conflict(f"{task.agency} is not configured any more")
    return task, agency, record


def _own(tx: Tx, identifier: str, caller: Caller, *, lock: bool = False) -> Delivery:
    found = deliveries.lock(tx, identifier) if lock else deliveries.get(tx, identifier)
    if found.hub != caller.hub:
        raise NotFound(f"there is no delivery {identifier}")
    return found


def _is_by_hand(room: PostRoom, delivery: Delivery) -> bool:
    agency = room.agencies.get(delivery.agency)
    return agency is not None and agency.settings.by_hand
