"""REST: an adapter's request, put on the wire."""

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from gateway_sdk import Reply, RestRequest

from gateway.errors import NotSent

from . import auth, outside
from .target import Target
from .transport import exchange

RESERVED = {"host", "authorization", "content-length", "transfer-encoding", "connection", "cookie", "accept-encoding"}
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")
PORTS = (443, 8443)  # of addresses that somebody outside chooses


def send(request: RestRequest, target: Target, extra_headers: Mapping[str, str], deadline: float) -> Reply:
    """As :func:`gateway.wire.send`. A 401 was certainly not accepted: it is tried once more with a new token."""
    address, headers, body = build(request, target)
    headers |= extra_headers
    reply = exchange(target, request.method, address, body, {**headers, **auth.headers(target, deadline)}, deadline)
    if reply.status == 401 and auth.forget(target):
        reply = exchange(target, request.method, address, body, {**headers, **auth.headers(target, deadline)}, deadline)
    return reply


def build(request: RestRequest, target: Target) -> tuple[str, dict[str, str], bytes]:
    """Address, headers and body. Raises NotSent("request_unbuildable") for what must not leave as it is."""
    try:
        body = request.body()
    except (TypeError, ValueError):
        raise NotSent("request_unbuildable") from None
    headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if body else {})}
    for name, value in request.headers.items():
        if name.lower() in RESERVED or not _clean(name) or not _clean(value):
            raise NotSent("request_unbuildable")
        headers = {known: kept for known, kept in headers.items() if known.lower() != name.lower()} | {name: value}
    if request.idempotency_key:
        headers["Idempotency-Key"] = request.idempotency_key
    return address(target.base_url, request.path, request.query), headers, body


def address(base: str, path: str, query: Mapping[str, str]) -> str:
    """*path* under *base*, and nowhere else. Raises NotSent("request_unbuildable")."""
    plain = path.startswith("/") and not path.startswith("//") and _clean(path) and path.isascii()
    if not plain or any(sign in path for sign in " \\?#@") or ".." in path.split("/") or "%2e" in path.lower():
        raise NotSent("request_unbuildable")
    whole = base + path + (f"?{urlencode(query)}" if query else "")
    if urlsplit(whole)[:2] != urlsplit(base)[:2]:
        raise NotSent("request_unbuildable")
    return whole


def _clean(text: str) -> bool:
    return text.isprintable() and text.strip() == text


def objection(url: str, *, allow_private: bool) -> str | None:
    """What is wrong with *url* as an address to post to, as "expected …"; None: nothing. It is resolved, not connected to."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "an address such as https://hub.example/events"
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        return "an address that begins with https://"
    if not HOST.fullmatch(parts.netloc.removesuffix(f":{parts.port}")):
        return "a host name or address in plain characters, without credentials"
    try:
        plain = address(f"{parts.scheme}://{parts.netloc}", parts.path or "/", {})
    except NotSent:
        plain = ""
    if url not in (plain, plain.rstrip("/")):
        return "a plain path after the host, without query or fragment"
    if allow_private:
        return None
    if port not in PORTS:
        return f"port {' or '.join(map(str, PORTS))}"
    try:
        outside.resolve(parts.hostname or "", port)
    except outside.NotPublic:
        return "a host with public addresses only"
    except (OSError, UnicodeError):
        return "a host name that is known"
    return None
