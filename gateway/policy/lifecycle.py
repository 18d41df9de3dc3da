"""How a delivery moves, and how a referral's public status moves: two tables, and who may do what.

The diagram in docs/architecture.md is drawn from these tables.
"""

from enum import StrEnum

from gateway_sdk import Status


class State(StrEnum):
    """Where a delivery stands: the gateway's own account, told to the hub and to administrators."""

    HELD = "held"  # waits for something before it: the referral it changes or takes back
    WAITING = "waiting"  # waits for its time
    QUEUED = "queued"  # claimed and on the broker; nothing was sent
    SENDING = "sending"  # a worker has it; the request may have left
    ASKING = "asking"  # it may have arrived; not sent again blindly
    TASK = "task"  # its agency has no interface for it: waits for a person
    DELIVERED = "delivered"
    REFUSED = "refused"
    DEAD = "dead"  # every retry failed; for a person
    WITHDRAWN = "withdrawn"  # consent ended before it was sent


class Move(StrEnum):
    """What can happen to a delivery."""

    RELEASE = "release"
    CLAIM = "claim"
    DEFER = "defer"  # its agency was stopped after the claim, or closed; no attempt is counted
    BEGIN = "begin"
    HAND = "hand"  # to a person, who gives it to the agency
    REPEAT = "repeat"  # the same key again, to an agency that honours it
    DELIVER = "deliver"
    REFUSE = "refuse"
    RETRY = "retry"
    EXHAUST = "exhaust"
    DOUBT = "doubt"
    REPLAY = "replay"  # a person's decision
    CONFIRM = "confirm"  # a person's decision: the agency has it, or was told
    WITHDRAW = "withdraw"


DELIVERY: dict[tuple[State, Move], State] = {
    (State.HELD, Move.RELEASE): State.WAITING,
    (State.HELD, Move.WITHDRAW): State.WITHDRAWN,
    (State.WAITING, Move.CLAIM): State.QUEUED,
    (State.WAITING, Move.WITHDRAW): State.WITHDRAWN,
    (State.QUEUED, Move.DEFER): State.WAITING,
    (State.QUEUED, Move.BEGIN): State.SENDING,
    (State.QUEUED, Move.WITHDRAW): State.WITHDRAWN,
    (State.QUEUED, Move.HAND): State.TASK,
    (State.TASK, Move.DELIVER): State.DELIVERED,
    (State.TASK, Move.CONFIRM): State.DELIVERED,
    (State.TASK, Move.REFUSE): State.REFUSED,
    (State.TASK, Move.WITHDRAW): State.WITHDRAWN,
    (State.SENDING, Move.DELIVER): State.DELIVERED,
    (State.SENDING, Move.REFUSE): State.REFUSED,
    (State.SENDING, Move.RETRY): State.WAITING,
    (State.SENDING, Move.EXHAUST): State.DEAD,
    (State.SENDING, Move.DOUBT): State.ASKING,
    (State.SENDING, Move.HAND): State.TASK,
    (State.ASKING, Move.REPEAT): State.SENDING,
    (State.ASKING, Move.DELIVER): State.DELIVERED,
    (State.ASKING, Move.REFUSE): State.REFUSED,
    (State.ASKING, Move.RETRY): State.WAITING,
    (State.ASKING, Move.CONFIRM): State.DELIVERED,
    (State.ASKING, Move.REPLAY): State.WAITING,
    (State.ASKING, Move.WITHDRAW): State.WITHDRAWN,
    (State.DEAD, Move.REPLAY): State.WAITING,
    (State.DEAD, Move.CONFIRM): State.DELIVERED,
    (State.DEAD, Move.WITHDRAW): State.WITHDRAWN,
    (State.REFUSED, Move.REPLAY): State.WAITING,
    (State.REFUSED, Move.CONFIRM): State.DELIVERED,
}

UNDELIVERED = frozenset({State.HELD, State.WAITING, State.QUEUED, State.SENDING, State.ASKING, State.TASK})
MAY_HAVE_IT = frozenset({State.SENDING, State.ASKING, State.DELIVERED})

HUB_IS_TOLD = frozenset({State.DELIVERED, State.REFUSED, State.DEAD, State.ASKING, State.TASK, State.WITHDRAWN})
"""Entering one of these is an event for the hub; the rest is the gateway's own business."""


class Illegal(ValueError):
    """The table has no such move."""


def after(state: State, move: Move) -> State:
    """The state that *move* leads to. Raises Illegal."""
    try:
        return DELIVERY[state, move]
    except KeyError:
        raise Illegal(f"{move} is not possible in state {state}") from None


class Party(StrEnum):
    """Who says how a referral stands."""

    GATEWAY = "gateway"
    AGENCY = "agency"
    HUB = "hub"
    HUB_FOR_AGENCY = "hub for agency"  # what an agency that is reached by hand told a hub worker


MAY_SET: dict[Party, frozenset[Status]] = {
    Party.GATEWAY: frozenset({Status.RECEIVED, Status.SENT, Status.DECLINED, Status.WITHDRAWN}),
    Party.HUB: frozenset({Status.CANCELLATION_REQUESTED, Status.LOST_CONTACT, Status.COMPLETED}),
    Party.AGENCY: frozenset(Status) - {Status.RECEIVED, Status.CANCELLATION_REQUESTED},
    Party.HUB_FOR_AGENCY: frozenset(Status)
    - {Status.RECEIVED, Status.SENT, Status.CANCELLATION_REQUESTED, Status.WITHDRAWN},
}

FINAL = frozenset({Status.COMPLETED, Status.WITHDRAWN})


def status_may_become(current: Status, new: Status, by: Party) -> bool:
    """Whether *by* may move the public status from *current* to *new*.

    Agencies work in their own order, so any of their statuses may follow any other, except that
    a final one stays (an agency that declined may change its mind), and nothing returns to ``sent``.
    """
    if new not in MAY_SET[by] or current in FINAL or new is current:
        return False
    return not (new is Status.SENT and current is not Status.RECEIVED)
