"""A social security agency that is not one: ``python -m gateway_social_security.simulator``. Synthetic data only.

A SOAP service on lxml: it validates the body against the XSD and checks WS-Security itself.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from gateway_sdk import Status
from gateway_sdk.simulator import Case, Incoming, Response, Said, Simulator, main, now
from lxml import etree

from .contract import STATUSES

DEMO_USERNAME, DEMO_PASSWORD = "demo-gateway", "demo-password"
NS = "https://referral-gateway.example/social-security/v1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DIGEST = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
FRESH = timedelta(minutes=5)
WORDS = {status: word for word, status in STATUSES.items()}
PARTS = {"s": SOAP, "w": WSSE, "u": WSU, "t": NS}


class Fault(Exception):  # the SOAP word
    """A SOAP fault: code, typed detail, its fields. It quotes nothing of the message."""

    def __init__(self, code: str, detail: str | None = None, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code, self.detail, self.fields = code, detail, fields or {}


def parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


@cache
def schema() -> etree.XMLSchema:
    source = files(__package__).joinpath("wsdl", "referrals-v1.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(source, parser()))


def envelope(content: str) -> bytes:
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}"><s:Body>{content}</s:Body></s:Envelope>'.encode()


def element(name: str, **fields: str | list[dict[str, str]]) -> str:
    """One element with its children; a list is a child for each item, with children of its own."""
    root = etree.Element(f"{{{NS}}}{name}")
    for key, value in fields.items():
        if isinstance(value, str):
            etree.SubElement(root, f"{{{NS}}}{key}").text = value
            continue
        for item in value:
            child = etree.SubElement(root, f"{{{NS}}}{key}")
            for inner, text in item.items():
                etree.SubElement(child, f"{{{NS}}}{inner}").text = text
    return etree.tostring(root, encoding="unicode")


def fault(error: Fault) -> Response:
    detail = f"<detail>{element(error.detail, **error.fields)}</detail>" if error.detail else ""
    code = f'<faultcode xmlns:wsse="{WSSE}">{error.code}</faultcode>'
    text = f"<s:Fault>{code}<faultstring>see the detail</faultstring>{detail}</s:Fault>"
    return Response(500, envelope(text), "text/xml; charset=utf-8")


class SocialSecuritySimulator(Simulator):
    """A social security agency, validating against referrals-v1.xsd."""

    name: ClassVar[str] = "social-security"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.nonces: set[str] = set()

    def is_business(self, request: Incoming) -> bool:
        return request.method == "POST"

    def answer(self, request: Incoming) -> Response:
        if request.method == "GET" and "wsdl" in request.query:
            return Response(200, files(__package__).joinpath("wsdl", "referrals-v1.wsdl").read_bytes(), "text/xml")
        try:
            header, body = self._parse(request)
            self._authenticate(header)
            operation = etree.QName(body).localname
            if request.headers.get("soapaction", "").strip('"') != f"{NS}/{operation}":
                raise Fault("s:Client")
            act = {
                "SubmitReferral": self._submit,
                "GetReferralStatus": self._status,
                "UpdateReferral": self._update,
                "WithdrawReferral": self._withdraw,
                "SendMessage": self._hear,
            }
            return Response(200, envelope(act[operation](request.site, body)), "text/xml; charset=utf-8")
        except Fault as error:
            return fault(error)

    def failure(self, fault_name: str) -> Response:
        if fault_name == "unavailable":
            return fault(Fault("s:Server", "ServiceUnavailableFault", {"retryAfterSeconds": "1"}))
        if fault_name == "error":  # the trap: a page, not a fault
            return Response(503, b"<html><body>Down for maintenance</body></html>", "text/html", {"Retry-After": "1"})
        return super().failure(fault_name)

    def _parse(self, request: Incoming) -> tuple[Any, Any]:
        try:
            root: Any = etree.fromstring(request.body, parser())
        except etree.XMLSyntaxError:
            raise Fault("s:Client") from None
        bodies = root.findall("s:Body", PARTS)
        if root.getroottree().docinfo.doctype or len(bodies) != 1 or len(bodies[0]) != 1:
            raise Fault("s:Client")
        body = bodies[0][0]
        if not schema().validate(body):
            errors: Any = schema().error_log
            path = next((entry.path for entry in errors), "/")
            raise Fault("s:Client", "ValidationFault", {"code": "NOT_IN_SCHEMA", "path": path[:400]})
        return root.find("s:Header", PARTS), body

    def _authenticate(self, header: Any) -> None:
        """WS-Security 1.1: a fresh Timestamp, and a password digest over a nonce never seen before."""
        token = header.find("w:Security/w:UsernameToken", PARTS) if header is not None else None
        if token is None:
            raise Fault("wsse:InvalidSecurity")

        def text(path: str, inside: Any = token) -> str:
            return (inside.findtext(path, "", PARTS) or "").strip()

        nonce, created, password = text("w:Nonce"), text("u:Created"), token.find("w:Password", PARTS)
        digest = hashlib.sha1(
            base64.b64decode(nonce) + created.encode() + DEMO_PASSWORD.encode(), usedforsecurity=False
        )
        expected = base64.b64encode(digest.digest()).decode()
        given = (password.text or "") if password is not None and password.get("Type") == DIGEST else ""
        if text("w:Username") != DEMO_USERNAME or not hmac.compare_digest(given, expected) or nonce in self.nonces:
            raise Fault("wsse:FailedAuthentication")
        self.nonces.add(nonce)
        stamp = header.find("w:Security/u:Timestamp", PARTS)
        moments = [created] if stamp is None else [created, text("u:Created", stamp)]
        now = datetime.now(UTC)
        if stamp is None or any(abs(now - datetime.fromisoformat(moment)) > FRESH for moment in moments):
            raise Fault("wsse:MessageExpired")

    def _submit(self, site: str, body: Any) -> str:
        key = body.findtext("t:reference", "", PARTS)
        known = self.find(site, key=key)
        if known:
            known.times += 1
            raise Fault("s:Client", "DuplicateFault", {"caseReference": known.reference})
        born = date.fromisoformat(body.findtext("t:person/t:birthDate", "", PARTS))
        today = datetime.now(UTC).date()
        if today.year - born.year - ((today.month, today.day) < (born.month, born.day)) < 16:
            raise Fault("s:Client", "ValidationFault", {"code": "UNDER_16", "path": "/person/birthDate"})
        case, _ = self.take(site, key, f"SSR-{uuid.uuid4().hex[:10].upper()}", plain(body))
        return element("SubmitReferralResponse", reference=key, caseReference=case.reference)

    def _status(self, site: str, body: Any) -> str:
        key = body.findtext("t:reference", "", PARTS)
        case = self.find(site, key=key)
        if case is None:
            return element("GetReferralStatusResponse", reference=key, found="false")
        reason = {"declinedReason": case.reason.upper().replace("-", "_")} if case.reason else {}
        return element(
            "GetReferralStatusResponse", reference=key, found="true", caseReference=case.reference,
            status=WORDS[case.status], **reason, updatedAt=case.updated_at,
            question=[
                {"questionReference": said.id, "text": said.text, "askedAt": said.at}
                for said in case.messages
                if said.sender == "agency"
            ],
        )  # fmt: skip

    def _update(self, site: str, body: Any) -> str:
        key = body.findtext("t:reference", "", PARTS)
        case = self.find(site, key=key)
        held = case is not None and case.status is not Status.WITHDRAWN
        if case is not None and held:
            case.document = plain(body)
        return element("UpdateReferralResponse", reference=key, updated="true" if held else "false")

    def _hear(self, site: str, body: Any) -> str:
        key = body.findtext("t:reference", "", PARTS)
        case = self.find(site, key=key)
        held = case is not None and case.status is not Status.WITHDRAWN
        if case is not None and held:
            identifier, text = (body.findtext(f"t:{name}", "", PARTS) for name in ("messageId", "text"))
            self.hear(case, Said("hub", identifier, text, now(), body.findtext("t:answers", None, PARTS)))
        return element("SendMessageResponse", reference=key, noted="true" if held else "false")

    def _withdraw(self, site: str, body: Any) -> str:
        key = body.findtext("t:reference", "", PARTS)
        case: Case | None = self.find(site, key=key)
        if case:
            case.status, case.document = Status.WITHDRAWN, None
        return element("WithdrawReferralResponse", reference=key, withdrawn="true" if case else "false")


def plain(node: Any) -> Any:
    """*node* as nested dictionaries of local names; repeated elements as lists."""
    if len(node) == 0:
        return node.text or ""
    found: dict[str, Any] = {}
    for child in node:
        name, value = etree.QName(child).localname, plain(child)
        found[name] = (
            [*found[name], value]
            if isinstance(found.get(name), list)
            else [found[name], value]
            if name in found
            else value
        )
    return found


if __name__ == "__main__":
    main(SocialSecuritySimulator)
