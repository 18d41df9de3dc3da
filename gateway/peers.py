"""Who is at the other end of the line: the address and the certificate, on the word of a trusted proxy only."""

import base64
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

from fastapi import Request

from gateway import tokens
from gateway.settings import Settings

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


def address(request: Request, settings: Settings) -> str:
    """The caller's: the peer's, or, when that is a trusted proxy, the last in X-Forwarded-For that is none.

    Of IPv6 the /64, which one machine can have to itself.
    """
    chain = [request.client.host if request.client else ""]
    chain += ",".join(request.headers.getlist("x-forwarded-for")).split(",")[::-1]
    seen = None
    for name in chain:
        found = _parsed(name)
        if found is None:
            break
        seen = found
        if not _trusted(found, settings.trusted_proxies):
            break
    return str(IPv6Network((seen, 64), strict=False) if isinstance(seen, IPv6Address) else seen or "")


def certificate(request: Request, settings: Settings) -> str:
    """The thumbprint (RFC 8705) of the certificate that the caller showed to a trusted proxy, or nothing.

    The proxy passes it as RFC 9440 says, in base64 between colons, or as PEM with percent signs; once.
    """
    peer = _parsed(request.client.host) if request.client else None
    if settings.certificate_header is None or peer is None or not _trusted(peer, settings.trusted_proxies):
        return ""
    passed = request.headers.getlist(settings.certificate_header)
    if len(passed) != 1:  # the caller's own header beside the proxy's
        return ""
    [value] = passed
    try:
        if value.startswith(":"):
            return tokens.thumbprint(base64.b64decode(value.strip(":"), validate=True))
        return tokens.thumbprint(ssl.PEM_cert_to_DER_cert(unquote(value)))
    except ValueError:
        return ""


def _parsed(text: str) -> Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _trusted(found: Address, proxies: Networks) -> bool:
    return any(found in network for network in proxies)
