"""SOAP: zeep makes the envelope and WS-Security; the bytes travel like any others.

zeep lives here and nowhere else. It never opens a socket: WSDL and schemas come from the adapter's
package, the address from the settings. Replies are looked at before they are parsed, validated
against the schema, and read without zeep, which passes over missing elements in silence.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gateway_sdk as sdk
import zeep
import zeep.transports
from lxml import etree
from zeep.wsse import utils
from zeep.wsse.username import UsernameToken

from gateway.errors import MaybeSent, NotSent

from .target import Target
from .transport import exchange

for name in ("zeep", "zeep.transports", "zeep.wsdl", "zeep.xsd"):
    logging.getLogger(name).setLevel(logging.CRITICAL)  # at DEBUG they log whole envelopes

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
XSD = "http://www.w3.org/2001/XMLSchema"
MOST_DEPTH = 40


class _Packaged(zeep.transports.Transport):  # type: ignore[misc]  # zeep has no types
    """Loads from the adapter's folder, and from nowhere else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(cache=None)
        self._folder = folder.resolve()

    def load(self, url: str) -> bytes:
        path = Path(unquote(urlsplit(url).path) if url.startswith("file:") else url).resolve()
        if not path.is_relative_to(self._folder):
            raise NotSent("request_unbuildable")
        return path.read_bytes()

    def post(self, address: str, message: Any, headers: Any) -> Any:
        raise NotSent("request_unbuildable")

    get = post_xml = post


@dataclass(frozen=True)
class _Service:
    client: Any
    binding: Any
    schemas: Mapping[str, etree.XMLSchema]


_services: dict[str, _Service] = {}
_lock = threading.Lock()


def _service(target: Target) -> _Service:
    """The parsed WSDL, kept. Building one takes a tenth of a second."""
    path = Path(str(target.wsdl))
    with _lock:
        if str(path) not in _services:
            settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_external=True, forbid_entities=True)
            client = zeep.Client(str(path), transport=_Packaged(path.parent), settings=settings)
            binding = next(iter(client.wsdl.bindings.values()))
            _services[str(path)] = _Service(client, binding, _schemas(path))
        return _services[str(path)]


def _schemas(wsdl: Path) -> dict[str, etree.XMLSchema]:
    """The schemas the WSDL imports, by target namespace."""
    found: dict[str, etree.XMLSchema] = {}
    for node in etree.parse(str(wsdl), _parser()).iter(f"{{{XSD}}}import", f"{{{XSD}}}include"):
        location = node.get("schemaLocation")
        if location:
            document = etree.parse(str(wsdl.parent / location), _parser())
            found[document.getroot().get("targetNamespace") or ""] = etree.XMLSchema(document)
    return found


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )


def send(request: sdk.SoapRequest, target: Target, extra_headers: Mapping[str, str], deadline: float) -> sdk.Reply:
    """As :func:`gateway.wire.send`. The reply has ``message`` or ``fault`` only if it is well-formed SOAP."""
    try:
        service = _service(target)
    except Exception:  # noqa: BLE001  # the adapter's WSDL does not load, or reaches outside its folder
        raise NotSent("request_unbuildable") from None
    body, headers = _envelope(service, request, target)
    reply = exchange(target, "POST", target.base_url, body, {**headers, **extra_headers}, deadline)
    return _read(reply, service, service.binding._operations[request.operation].output.body.qname)


def _envelope(service: _Service, request: sdk.SoapRequest, target: Target) -> tuple[bytes, dict[str, str]]:
    try:
        envelope = service.client.create_message(
            service.client.service, request.operation, **{str(key): value for key, value in request.message.items()}
        )
        action = service.binding._operations[request.operation].soapaction
    except Exception:  # noqa: BLE001  # zeep raises many kinds, whose texts quote the message
        raise NotSent("request_unbuildable") from None
    if isinstance(target.auth, sdk.UsernameToken):
        envelope = _secured(envelope, target, target.auth)
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    return etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), headers


def _secured(envelope: Any, target: Target, kind: sdk.UsernameToken) -> Any:
    """WS-Security 1.1: UsernameToken with digest and nonce, and a Timestamp."""
    now = time.time()
    moments = (("Created", now), ("Expires", now + kind.lifetime))
    stamp = utils.WSU.Timestamp(
        *(utils.WSU(name, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))) for name, at in moments)
    )
    credentials = target.credentials
    token = UsernameToken(credentials["username"], credentials["password"], use_digest=True, timestamp_token=stamp)
    secured, _ = token.apply(envelope, {})
    return secured


def _read(reply: sdk.Reply, service: _Service, expected: etree.QName) -> sdk.Reply:
    """Read *reply* if it says that it is SOAP; a page of HTML is left as it is. Raises MaybeSent.

    *expected*: the element that answers this operation. Another's would be taken for a yes to what was not asked.
    """
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("text/xml", "application/soap+xml") or reply.status not in (200, 202, 400, 500):
        return reply
    try:
        root = etree.fromstring(reply.body, _parser())
        content = _body(root)
    except (etree.XMLSyntaxError, ValueError):
        raise MaybeSent("reply_unreadable") from None
    if etree.QName(content).localname == "Fault":
        return sdk.Reply(reply.status, reply.headers, reply.body, fault=_fault(content))
    schema = service.schemas.get(etree.QName(content).namespace or "")
    if schema is None or content.tag != expected or not schema.validate(content):
        raise MaybeSent("reply_unreadable")
    message = _plain(content)
    return sdk.Reply(reply.status, reply.headers, reply.body, message=message if isinstance(message, dict) else {})


def _body(root: Any) -> Any:
    namespace = etree.QName(root).namespace
    if etree.QName(root).localname != "Envelope" or namespace not in (SOAP11, SOAP12):
        raise ValueError("not an envelope")
    if root.getroottree().docinfo.doctype or sum(1 for _ in root.iter(etree.Entity, etree.PI)):
        raise ValueError("SOAP has neither a document type nor instructions")
    bodies = root.findall(f"{{{namespace}}}Body")
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise ValueError("one body with one element")
    return bodies[0][0]


def _fault(element: Any) -> sdk.Fault:
    """Code and typed detail; never the text, which quotes what was sent."""
    children = {etree.QName(child).localname: child for child in element}
    code = children.get("faultcode")
    if code is None and "Code" in children:
        code = next(iter(children["Code"]), None)
    word = (code.text or "").strip().rpartition(":")[2] if code is not None else ""
    holder = children.get("detail", children.get("Detail"))
    detail = next(iter(holder), None) if holder is not None else None
    if detail is None:
        return sdk.Fault(word)
    fields = {etree.QName(child).localname: (child.text or "").strip() for child in detail if len(child) == 0}
    return sdk.Fault(word, etree.QName(detail).localname, fields)


def _plain(element: Any, depth: int = 0) -> Any:
    """Text, or a mapping of local names; repeated elements as a list."""
    if depth > MOST_DEPTH:
        raise MaybeSent("reply_unreadable")
    if len(element) == 0:
        return {} if depth == 0 else (element.text or "")
    found: dict[str, Any] = {}
    for child in element:
        name, value = etree.QName(child).localname, _plain(child, depth + 1)
        if name in found:
            found[name] = [*found[name], value] if isinstance(found[name], list) else [found[name], value]
        else:
            found[name] = value
    return found
