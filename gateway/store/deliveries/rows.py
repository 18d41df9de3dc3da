"""What a row says of a delivery."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway_sdk import Reason, Status

from gateway.policy.lifecycle import MAY_HAVE_IT, State


@dataclass(frozen=True)
class Delivery:
    """One thing that is told to one agency. *kind*: ``referral``, or ``update``, ``message`` or ``withdrawal`` *of* a
    referral's delivery.

    Or an *event* for a hub's webhook (kind ``event``), whose id is then in the place of the agency's name.
    """

    id: str
    referral: str | None  # None: of an event that is about none
    hub: str
    agency: str
    purpose: str
    kind: str
    of: str | None
    event: int | None
    state: State
    status: Status
    status_at: datetime | None
    reason: Reason | None
    code: str | None
    reference: bytes | None  # sealed; see reference()
    reference_index: bytes | None  # by which it is found
    route: bytes | None  # sealed; see route()
    seen_at: datetime | None  # by hand: when a person first saw the sheet
    given: bytes | None  # by hand; sealed, see given()
    token: UUID | None
    due_at: datetime | None
    waited: float | None  # seconds from due to claimed, the last time
    traceparent: str | None  # the trace it belongs to
    attempts: int  # every time it was sent
    failures: int  # since the schedule began, or a person replayed it
    asks: int
    polls: int
    doubted: bool  # a request may have arrived, and nobody has said since that it did not
    created_at: datetime
    updated_at: datetime

    @property
    def may_be_there(self) -> bool:
        """Whether its agency has it, or may have it: also when it was to be sent again, or was given up, since."""
        return self.doubted or self.state in MAY_HAVE_IT

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Delivery":
        reason = Reason(row["reason"]) if row["reason"] else None
        known = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "state": State(row["state"]), "status": Status(row["status"]), "reason": reason})
