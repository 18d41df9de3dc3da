"""A referral's public status at one agency, in the hub's words.

The set follows what caseworkers need and the task states of electronic referral systems.
Who may set which is part of the gateway's lifecycle table.
"""

from enum import StrEnum


class Status(StrEnum):
    RECEIVED = "received"  # the gateway has it, the agency does not
    SENT = "sent"  # the agency has it
    ACCEPTED = "accepted"
    DECLINED = "declined"  # with a Reason
    APPOINTMENT_OFFERED = "appointment-offered"
    NO_SHOW = "no-show"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    LOST_CONTACT = "lost-contact"
    COMPLETED = "completed"
    CANCELLATION_REQUESTED = "cancellation-requested"
    WITHDRAWN = "withdrawn"


class Reason(StrEnum):
    """Why an agency declined."""

    NO_CAPACITY = "no-capacity"
    NOT_ELIGIBLE = "not-eligible"
    OUTSIDE_AREA = "outside-area"
    NEEDS_MORE_INFORMATION = "needs-more-information"
    OTHER = "other"
