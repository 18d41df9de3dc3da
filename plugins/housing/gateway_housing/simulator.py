"""A council's homelessness service that is not one: ``python -m gateway_housing.simulator``. Synthetic data only."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote

from gateway_sdk import Status
from gateway_sdk.simulator import Callback, Case, Incoming, Response, Said, Simulator, main, now
from jsonschema import Draft202012Validator

from .contract import MESSAGE, NOT_THREATENED, STATUSES, TYPES, schema

DEMO_CLIENT_ID, DEMO_CLIENT_SECRET = "demo-gateway", "demo-secret"
WINDOW = timedelta(days=183)  # Housing (Scotland) Act 2025: threatened with homelessness within six months
WORDS = {status: word for word, status in STATUSES.items()}
LASTING = 300  # seconds, of a token


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


class HousingSimulator(Simulator):
    """A council's homelessness service, validating against openapi.json."""

    name = "housing"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tokens: dict[str, float] = {}
        self.bodies: dict[tuple[str, str], bytes] = {}

    def is_business(self, request: Incoming) -> bool:
        return request.path != "/oauth/token"

    def answer(self, request: Incoming) -> Response:
        if request.path == "/oauth/token":
            return self._token(request)
        if self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "), 0) < time.monotonic():
            return problem(401, "unauthorised")
        match request.method, request.path.split("/")[1:]:
            case "POST", ["referrals"]:
                return self._refer(request)
            case "GET", ["referrals"]:
                case = self.find(request.site, key=request.query.get("reference", "?"))
                return Response.json(200, {"referrals": [self._status(case)] if case else []})
            case "PUT", ["referrals", key]:
                return self._update(request, key)
            case "POST", ["withdrawals", key]:
                return self._withdraw(request, key)
            case "POST", ["messages", key]:
                return self._hear(request, key)
            case _:
                return problem(404, "not-found")

    def _token(self, request: Incoming) -> Response:
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        form = request.form
        if (unquote(name), unquote(secret)) != (DEMO_CLIENT_ID, DEMO_CLIENT_SECRET):
            return problem(401, "unauthorised")
        if form.get("grant_type") != "client_credentials":
            return problem(400, "invalid")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = time.monotonic() + LASTING
        return Response.json(200, {"access_token": token, "token_type": "Bearer", "expires_in": LASTING})

    def _refer(self, request: Incoming) -> Response:
        key = request.headers.get("idempotency-key")
        try:
            referral = json.loads(request.body)
        except ValueError:
            return problem(400, "invalid")
        error = next(validator("Referral").iter_errors(referral), None)
        if error or not key or request.headers.get("content-type") != "application/json":
            return problem(422, "invalid", "/".join(map(str, error.absolute_path)) if error else "")
        if self.bodies.setdefault((request.site, key), request.body) != request.body:
            return problem(422, "reference-reused")
        if (known := self.find(request.site, key=referral["reference"])) and key != known.key:
            return Response.json(409, self._case(known))
        lost_on = referral["accommodation"].get("lostOn")
        if lost_on and date.fromisoformat(lost_on) > datetime.now(UTC).date() + WINDOW:
            return problem(422, NOT_THREATENED)
        case, new = self.take(request.site, key, f"HL-{uuid.uuid4().hex[:10].upper()}", referral)
        headers = {"Location": f"/referrals/{case.reference}"} if new else {}
        return Response.json(201 if new else 200, self._case(case), **headers)

    def _update(self, request: Incoming, key: str) -> Response:
        case = self.find(request.site, key=key)
        if case is None or case.status is Status.WITHDRAWN:
            return problem(410, "gone")
        referral = json.loads(request.body)
        error = next(validator("Referral").iter_errors(referral), None)
        if error or referral["reference"] != key or "idempotency-key" not in request.headers:
            return problem(422, "invalid", "/".join(map(str, error.absolute_path)) if error else "")
        case.document = referral
        return Response.json(200, self._case(case))

    def _withdraw(self, request: Incoming, key: str) -> Response:
        case = self.find(request.site, key=key)
        if not validator("Withdrawal").is_valid(json.loads(request.body)) or "idempotency-key" not in request.headers:
            return problem(422, "invalid")
        if case is None:
            return problem(410, "gone")
        case.status, case.document = Status.WITHDRAWN, None
        return Response(204)

    def _hear(self, request: Incoming, key: str) -> Response:
        case, message = self.find(request.site, key=key), json.loads(request.body)
        if not validator("HubMessage").is_valid(message) or "idempotency-key" not in request.headers:
            return problem(422, "invalid")
        if case is None or case.status is Status.WITHDRAWN:
            return problem(404, "unknown-reference")
        self.hear(case, Said("hub", message["id"], message["text"], now(), message.get("answers")))
        return Response.json(201, self._case(case))

    def _case(self, case: Case) -> dict[str, Any]:
        return {"id": case.reference, "reference": case.key, "status": WORDS[case.status]}

    def _status(self, case: Case) -> dict[str, Any]:
        reason = {"reason": str(case.reason)} if case.reason else {}
        return {
            "type": "referral.status", "reference": case.key, "caseId": case.reference, "status": WORDS[case.status],
            "at": case.updated_at, **reason,
        }  # fmt: skip

    def callback(self, case: Case) -> Callback | None:
        identifier = f"msg_{case.reference}_{case.updates}"
        return signed(case.site, identifier, {"id": identifier, **self._status(case)})

    def question(self, case: Case, said: Said) -> Callback:
        told = {"id": said.id, "text": said.text, "at": said.at}
        return signed(case.site, said.id, {"type": MESSAGE, "reference": case.key, "caseId": case.reference, **told})


def demo_callback_secret(site: str) -> str:
    """With which *site* signs what it posts: each its own, or one could speak for another."""
    return "whsec_" + base64.b64encode(f"a secret for demonstrations only, of {site}".encode()).decode()


def signed(
    site: str, identifier: str, message: dict[str, Any], at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """*message* of *site* and its headers, signed after Standard Webhooks."""
    body, moment = json.dumps(message).encode(), str(int(at or time.time()))
    key = base64.b64decode(demo_callback_secret(site).removeprefix("whsec_"))
    mark = base64.b64encode(hmac.digest(key, f"{identifier}.{moment}.".encode() + body, hashlib.sha256)).decode()
    headers = {"webhook-id": identifier, "webhook-timestamp": moment, "webhook-signature": f"v1,{mark}"}
    return body, {**headers, "Content-Type": "application/json"}


def problem(status: int, slug: str, pointer: str | None = None) -> Response:
    body = {"type": TYPES + slug, "title": slug.replace("-", " "), "status": status}
    return Response.json(status, body | ({"pointer": pointer} if pointer else {}), "application/problem+json")


if __name__ == "__main__":
    main(HousingSimulator)
