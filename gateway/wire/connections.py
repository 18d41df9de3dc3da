"""Connections: to whichever address of a name takes one, within what is left of the deadline."""

import socket
from collections.abc import Callable, Sequence

Place = tuple[int, tuple[str, int]]
"""Family, and address with port."""


def resolve(host: str, port: int) -> list[Place]:
    """Every address of *host*. Raises socket.gaierror."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return [(family, (str(place[0]), port)) for family, _, _, _, place in found]


def connect(places: Sequence[Place], left: Callable[[], float]) -> socket.socket:
    """A connection to the first of *places* that takes one. *left*: the seconds that are left, for all of them and for
    what comes next on it. Raises OSError."""
    failure: OSError = OSError("no address")
    for family, place in places:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(place)
            sock.settimeout(left())
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
