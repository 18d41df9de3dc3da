"""What a receiver's answers mean.

BaRS answers with a Bundle, or with an OperationOutcome whose issues have a code of FHIR's and one of
``http-error-codes``. A 200 counts only if it holds a MessageHeader that says ``ok``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import gateway_sdk as sdk

KEYS = "https://referral-gateway.example/Id/delivery"
ERRORS = "https://fhir.nhs.uk/Codesystem/http-error-codes"

CODES: Mapping[str, str] = {
    "chi_invalid": "her CHI number is not a valid one: check it, or leave it out",
    "not_found": "the receiver does not know the service this is addressed to, or the referral that it is about",
    "rejected": "the receiver rejected the message as ours to mend",
    "not_authorised": "the receiver does not accept the gateway's credentials",
    "transient": "the receiver's service is closed or overloaded for now",
    "proxy_timeout": "the connection to the receiver timed out on the way; it may have the referral",
    "not_acknowledged": "the receiver answered without saying that it has the referral",
    "server_fault": "the receiver's service failed; it may have the referral",
}

STATUSES: Mapping[str, sdk.Status] = {
    "received": sdk.Status.SENT,
    "accepted": sdk.Status.ACCEPTED,
    "rejected": sdk.Status.DECLINED,
    "appointment-offered": sdk.Status.APPOINTMENT_OFFERED,
    "no-show": sdk.Status.NO_SHOW,
    "in-progress": sdk.Status.IN_PROGRESS,
    "on-hold": sdk.Status.ON_HOLD,
    "lost-contact": sdk.Status.LOST_CONTACT,
    "completed": sdk.Status.COMPLETED,
    "cancelled": sdk.Status.WITHDRAWN,
}
"""Task.businessStatus of a feedback message, and what it is in the hub's words."""

REJECTIONS: Mapping[str, sdk.Reason] = {
    "RRNA": sdk.Reason.NOT_ELIGIBLE,  # referral request not appropriate
    "FC": sdk.Reason.NO_CAPACITY,  # full capacity
    "OTH": sdk.Reason.OTHER,
}


def outcome(reply: sdk.Reply) -> sdk.Outcome:
    """What the reply to a referral or a revocation means."""
    issues = set(_issues(reply))
    if reply.status == 200:
        return _acknowledged(reply) if not issues else sdk.Uncertain("not_acknowledged")
    if reply.status in (429, 503) or (reply.status == 500 and "transient" in issues):
        return sdk.Unavailable("transient" if issues else f"HTTP {reply.status}", retry_after=reply.retry_after)
    if reply.status == 401:
        return sdk.Unavailable("not_authorised")
    if reply.status in (408, 504):
        return sdk.Uncertain("proxy_timeout")
    if not issues:  # BaRS: an error without an OperationOutcome is tried again
        return sdk.Uncertain(f"HTTP {reply.status}")
    return _rejected(reply.status, issues)


def _rejected(status: int, issues: set[str]) -> sdk.Outcome:
    """What an OperationOutcome with an error status means."""
    match status:
        case 409 if "duplicate" in issues:
            return sdk.Delivered(duplicate=True)
        case 410 if "deleted" in issues:
            return sdk.Delivered()  # nothing to take back, or to bring up to date
        case 404:
            return sdk.Refused("not_found")
        case 422 if "code-invalid" in issues:
            return sdk.Refused("chi_invalid")
        case 400 | 403 | 405 | 406 | 409 | 410 | 415 | 422:
            return sdk.Refused("rejected")
        case _:
            return sdk.Uncertain("server_fault")


def _acknowledged(reply: sdk.Reply) -> sdk.Outcome:
    resources = _resources(reply)
    header = next((r for r in resources if r.get("resourceType") == "MessageHeader"), {})
    response = header.get("response")
    if not isinstance(response, Mapping) or response.get("code") != "ok" or not response.get("identifier"):
        return sdk.Uncertain("not_acknowledged")
    request = next((r for r in resources if r.get("resourceType") == "ServiceRequest"), {})
    reference = request.get("id")
    return sdk.Delivered(reference if isinstance(reference, str) else None)


def said(reply: sdk.Reply) -> sdk.Update | sdk.Message:
    """What the receiver posted: how a referral stands, or a question about it."""
    resources = _resources(reply)
    header = next(r for r in resources if r.get("resourceType") == "MessageHeader")
    match header["eventCoding"]["code"]:
        case "servicerequest-response":
            return _update(reply, resources)
        case "communication-request":
            return _question(next(r for r in resources if r.get("resourceType") == "CommunicationRequest"))
    raise sdk.Unreadable("neither a servicerequest-response nor a communication-request")


def _question(asked: Mapping[str, Any]) -> sdk.Message:
    """A FHIR CommunicationRequest: what is asked is its payload."""
    about = asked["basedOn"][0]["identifier"]
    return sdk.Message(
        asked["identifier"][0]["value"],
        "\n".join(part["contentString"] for part in asked["payload"]),
        datetime.fromisoformat(asked["authoredOn"]) if "authoredOn" in asked else None,
        delivery_key=about["value"] if about.get("system") == KEYS else None,
        reference=about["value"] if about.get("system") != KEYS else None,
    )


def _update(reply: sdk.Reply, resources: Sequence[Mapping[str, Any]]) -> sdk.Update:
    """A ``servicerequest-response`` Bundle: Task.businessStatus says how the referral stands."""
    request = next(r for r in resources if r.get("resourceType") == "ServiceRequest")
    task = next(r for r in resources if r.get("resourceType") == "Task")
    keys = [entry["value"] for entry in request.get("identifier", ()) if entry.get("system") == KEYS]
    reason = task.get("statusReason", {}).get("coding", [{}])[0].get("code")
    return sdk.Update(
        STATUSES[task["businessStatus"]["coding"][0]["code"]],
        delivery_key=keys[0] if keys else None,
        reference=request.get("id"),
        reason=REJECTIONS.get(reason, sdk.Reason.OTHER) if reason else None,
        at=datetime.fromisoformat(task["lastModified"]) if "lastModified" in task else None,
        id=reply.json["id"],
    )


def _resources(reply: sdk.Reply) -> list[Mapping[str, Any]]:
    body = reply.json
    if not isinstance(body, Mapping) or body.get("resourceType") != "Bundle" or not isinstance(body.get("entry"), list):
        raise sdk.Unreadable("not a Bundle")
    resources = [entry.get("resource") for entry in body["entry"] if isinstance(entry, Mapping)]
    return [resource for resource in resources if isinstance(resource, Mapping)]


def _issues(reply: sdk.Reply) -> Iterator[str]:
    """The issue codes of an OperationOutcome that are errors."""
    try:
        body = reply.json
    except sdk.Unreadable:
        return
    if not isinstance(body, Mapping) or body.get("resourceType") != "OperationOutcome":
        return
    found = body.get("issue")
    for issue in found if isinstance(found, list) else []:
        if isinstance(issue, Mapping) and issue.get("severity") in ("error", "fatal"):
            yield str(issue.get("code"))
