"""Addresses that somebody outside chose: connections to them lead to public addresses only.

The name is resolved once; when any address it has is not public it is refused, else the connection is made to
one that was looked at. A name that answers otherwise the next time (DNS rebinding) therefore changes nothing.
TLS and the Host header keep to the name.
"""

import ipaddress

from . import connections
from .connections import Place

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
GLOBAL6 = ipaddress.IPv6Network("2000::/3")  # all that is given out; the rest is reserved
NOT_REALLY = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other special purposes
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
]


class NotPublic(OSError):
    """The name has an address that is not a public one."""


def is_public(text: str) -> bool:
    """Whether *text*, a numeric address, can be reached by anybody: the IANA special-purpose registries, and RFC 6890."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or (ipaddress.IPv4Address(address.packed[-4:]) if address in NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if address not in GLOBAL6 or address.packed[8:12] in (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"):  # ISATAP
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not special and not any(address in network for network in NOT_REALLY)


def resolve(host: str, port: int) -> list[Place]:
    """As connections.resolve(). Raises NotPublic if any address is not public, too."""
    found = connections.resolve(host, port)
    if not all(is_public(place[0]) for _, place in found):
        raise NotPublic("not a public address")
    return found
