"""A health board's referral receiver that is not one: ``python -m gateway_nhs.simulator``. Synthetic data only."""

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from gateway_sdk import Status
from gateway_sdk.simulator import Callback, Case, Incoming, Response, Said, Simulator, main, now

from . import chi
from .bundle import EVENTS, KEYS, OUR_EVENTS, STRUCTURE, THEIRS
from .replies import ERRORS, REJECTIONS, STATUSES
from .settings import NhsSettings

DEMO_API_KEY = "demo-api-key"
FHIR = "application/fhir+json"
CHI = NhsSettings().patient_identifier_system
WORDS = {status: word for word, status in STATUSES.items()}
REJECTION = {reason: code for code, reason in REJECTIONS.items()}
ENCODED = ("nhsd-target-identifier", "nhsd-end-user-organisation", "nhsd-requesting-software")
REQUIRED = {
    "new": {"ServiceRequest", "Patient", "Encounter", "CarePlan", "Organization", "Practitioner", "PractitionerRole",
            "HealthcareService", "Consent"},
    "update": {"ServiceRequest", "Patient", "Organization"},
}  # fmt: skip


class Wrong(Exception):  # what is wrong with a message
    """Becomes an OperationOutcome. It quotes nothing of the message."""

    def __init__(self, status: int, issue: str, error: str, expression: str | None = None) -> None:
        super().__init__(issue)
        self.response = operation_outcome(status, issue, error, expression)


def operation_outcome(status: int, issue: str, error: str, expression: str | None = None, **headers: str) -> Response:
    entry: dict[str, Any] = {
        "severity": "error",
        "code": issue,
        "details": {"coding": [{"system": ERRORS, "code": error}]},
    }
    if expression:
        entry["expression"] = [expression]
    return Response.json(status, {"resourceType": "OperationOutcome", "issue": [entry]}, FHIR, **headers)


class NhsSimulator(Simulator):
    """A health board's receiver of BaRS-style messages."""

    name: ClassVar[str] = "health"

    def answer(self, request: Incoming) -> Response:
        try:
            self._check_headers(request)
            bundle = self._parse(request)
            response = self._process(request, bundle)
        except Wrong as wrong:
            response = wrong.response
        mirrored = {name: request.headers.get(name.lower(), "") for name in ("X-Request-Id", "X-Correlation-Id")}
        return Response(response.status, response.body, response.content_type, {**response.headers, **mirrored})

    def failure(self, fault: str) -> Response:
        match fault:
            case "unavailable":
                return operation_outcome(503, "transient", "REC_UNAVAILABLE")
            case "busy":
                return operation_outcome(429, "throttled", "SEND_TOO_MANY_REQUESTS", Retry_After="1")
            case _:
                return operation_outcome(500, "exception", "REC_SERVER_ERROR")

    def _check_headers(self, request: Incoming) -> None:
        if (request.method, request.path) != ("POST", "/$process-message"):
            raise Wrong(404, "not-found", "SEND_NOT_FOUND")
        if request.headers.get("apikey") != DEMO_API_KEY:
            raise Wrong(401, "security", "SEND_UNAUTHORIZED")
        if request.headers.get("content-type") != FHIR or "version=1." not in request.headers.get("accept", ""):
            raise Wrong(406, "not-supported", "SEND_NOT_ACCEPTABLE")
        try:
            for name in ENCODED:
                json.loads(base64.b64decode(request.headers[name], validate=True))
            for name in ("x-request-id", "x-correlation-id"):
                uuid.UUID(request.headers[name])
            request.headers["use-context"]
        except (KeyError, ValueError):
            raise Wrong(400, "required", "SEND_BAD_REQUEST") from None

    def _parse(self, request: Incoming) -> dict[str, Any]:
        try:
            bundle: dict[str, Any] = json.loads(request.body)
            profile = bundle["meta"]["profile"] == [STRUCTURE + "BARSBundleMessage"]
            if (
                bundle["resourceType"] != "Bundle"
                or bundle["type"] != "message"
                or not profile
                or not bundle["timestamp"]
            ):
                raise Wrong(422, "structure", "REC_UNPROCESSABLE_ENTITY", "Bundle")
            addresses = {entry["fullUrl"] for entry in bundle["entry"]}
            if not all(address.startswith("urn:uuid:") for address in addresses):
                raise Wrong(422, "structure", "REC_UNPROCESSABLE_ENTITY", "Bundle.entry.fullUrl")
            if not set(references(bundle)) <= addresses:
                raise Wrong(422, "structure", "REC_UNPROCESSABLE_ENTITY", "Reference")
        except (ValueError, KeyError, TypeError):
            raise Wrong(400, "structure", "SEND_BAD_REQUEST") from None
        return bundle

    def _process(self, request: Incoming, bundle: Mapping[str, Any]) -> Response:
        resources = [entry["resource"] for entry in bundle["entry"]]
        header = resources[0]
        kinds = {resource["resourceType"] for resource in resources}
        reason = header.get("reason", {}).get("coding", [{}])[0].get("code")
        event = header.get("eventCoding", {})
        if event == {"system": OUR_EVENTS, "code": "communication"}:
            return self._hear(request.site, bundle, resources)
        if header["resourceType"] != "MessageHeader" or event != {"system": EVENTS, "code": "servicerequest-request"}:
            raise Wrong(422, "structure", "REC_UNPROCESSABLE_ENTITY", "MessageHeader")
        if reason not in REQUIRED or not REQUIRED[reason] <= kinds:
            raise Wrong(422, "required", "REC_UNPROCESSABLE_ENTITY", "Bundle.entry")
        wanted = next(r for r in resources if r["resourceType"] == "ServiceRequest")
        key = next(i["value"] for i in wanted["identifier"] if i["system"] == KEYS)
        if reason == "update" and wanted["status"] == "revoked":
            return self._revoke(request.site, key, bundle)
        patient = next(r for r in resources if r["resourceType"] == "Patient")
        for place, identifier in enumerate(patient.get("identifier", ())):
            if identifier["system"] == CHI and not chi.valid(identifier["value"]):
                raise Wrong(422, "code-invalid", "REC_UNPROCESSABLE_ENTITY", f"Patient.identifier[{place}].value")
        if reason == "update":
            return self._update(request.site, key, bundle)
        case, new = self.take(request.site, key, str(uuid.uuid4()), dict(bundle))
        if not new:
            raise Wrong(409, "duplicate", "REC_CONFLICT")
        return acknowledgement(bundle, case)

    def _update(self, site: str, key: str, bundle: Mapping[str, Any]) -> Response:
        case = self.find(site, key=key)
        if case is None or case.status is Status.WITHDRAWN:
            raise Wrong(410, "deleted", "REC_GONE")
        case.document = dict(bundle)
        return acknowledgement(bundle, case)

    def _hear(self, site: str, bundle: Mapping[str, Any], resources: list[Mapping[str, Any]]) -> Response:
        told = next((r for r in resources if r["resourceType"] == "Communication"), None)
        if told is None or told["status"] != "completed" or not told["payload"]:
            raise Wrong(422, "required", "REC_UNPROCESSABLE_ENTITY", "Communication")
        case = self.find(site, key=told["basedOn"][0]["identifier"]["value"])
        if case is None or case.status is Status.WITHDRAWN:
            raise Wrong(404, "not-found", "REC_NOT_FOUND", "Communication.basedOn")
        answers = told.get("inResponseTo", [{}])[0].get("identifier", {}).get("value")
        text = "\n".join(part["contentString"] for part in told["payload"])
        self.hear(case, Said("hub", told["identifier"][0]["value"], text, now(), answers))
        return acknowledgement(bundle, case)

    def _revoke(self, site: str, key: str, bundle: Mapping[str, Any]) -> Response:
        case = self.find(site, key=key)
        if case is None:
            raise Wrong(410, "deleted", "REC_GONE")
        case.status, case.document = Status.WITHDRAWN, None
        return acknowledgement(bundle, case)

    def callback(self, case: Case) -> Callback | None:
        """Feedback: a ``servicerequest-response`` Bundle with the state in a Task."""
        task: dict[str, Any] = {
            "resourceType": "Task",
            "status": "in-progress",
            "intent": "order",
            "businessStatus": {"coding": [{"code": WORDS[case.status]}]},
            "lastModified": now(),
        }
        if case.reason:
            task["statusReason"] = {"coding": [{"code": REJECTION.get(case.reason, "OTH")}]}
        bundle = message("servicerequest-response", case, {}, task)
        return json.dumps(bundle).encode(), proof(case)

    def question(self, case: Case, said: Said) -> Callback:
        """A question: a ``communication-request`` Bundle."""
        asked = {
            "resourceType": "CommunicationRequest",
            "identifier": [{"system": THEIRS, "value": said.id}],
            "basedOn": [{"type": "ServiceRequest", "identifier": {"system": KEYS, "value": case.key}}],
            "status": "active",
            "payload": [{"contentString": said.text}],
            "authoredOn": said.at,
        }
        bundle = message("communication-request", case, {}, asked)
        return json.dumps(bundle).encode(), proof(case)


def demo_callback_token(site: str) -> str:
    """With which *site* proves itself when it posts: each its own, or one could speak for another."""
    return f"demo-callback-token-of-{site}"


def proof(case: Case) -> dict[str, str]:
    return {"Content-Type": FHIR, "Authorization": f"Bearer {demo_callback_token(case.site)}"}


def message(event: str, case: Case, header: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    resources = [
        {"resourceType": "MessageHeader", "eventCoding": {"system": EVENTS, "code": event}, **header},
        {"resourceType": "ServiceRequest", "id": case.reference, "identifier": [{"system": KEYS, "value": case.key}],
         "status": "active", "intent": "plan"},
        *more,
    ]  # fmt: skip
    entries = [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "id": str(uuid.uuid4()), "type": "message", "timestamp": now(), "entry": entries}


def acknowledgement(bundle: Mapping[str, Any], case: Case) -> Response:
    response = {"response": {"identifier": bundle["id"], "code": "ok"}}
    return Response.json(200, message("servicerequest-response", case, response), FHIR)


def references(value: Any) -> Iterator[str]:
    """Every reference in *value*."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


if __name__ == "__main__":
    main(NhsSimulator)
