"""An address that somebody outside chose never leads inside: not by its form, not by its name, not by a change of mind."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wire
from gateway.errors import NotSent
from gateway.wire import Target, outside
from tests.rooms.wire.hostile import Certificates, always, reply, serving

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4009::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"]
INSIDE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "3fff::1",
    "2001::1", "2002:7f00:1::1", "2002:808:808::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2606:4700::5efe:7f00:1", "4000::1", "100::1",
]  # fmt: skip
POST = sdk.RestRequest("POST", "/events", json={})

Resolver = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """``names(first, second, …)``: what any name resolves to the first time it is asked for, the second, and so on."""

    def answer(*answers: list[str]) -> None:
        left = list(answers)

        def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
            found = left.pop(0) if len(left) > 1 else left[0]
            family = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return answer


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert outside.is_public(address)


@pytest.mark.parametrize("address", INSIDE)
def test_not_public(address: str) -> None:
    assert not outside.is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_dressing_makes_an_inner_address_public(address: Any) -> None:
    low = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    for dressed in (str(address), f"::ffff:{address}", f"64:ff9b::{low}", f"2002:{low}::1", f"::{low}"):
        assert not outside.is_public(dressed)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
        "https://0/", "https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://169.254.169.254/latest/meta-data",
        "https://[64:ff9b::7f00:1]/", "https://10.0.0.1:8443/",
    ],
)  # fmt: skip
def test_forms_of_inner_addresses_are_refused(url: str) -> None:
    """As the machine's own resolver reads them."""
    expected = wire.objection(url, allow_private=False)
    assert expected in ("a host with public addresses only", "a host name that is known")
    target = Target("hub", url.split("/", 3)[0] + "//" + url.split("/")[2], deadline=2, public_only=True)
    with pytest.raises(NotSent) as caught:
        wire.send(POST, target)
    assert caught.value.code in ("address_refused", "name_unknown")


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example/", "ftp://hub.example/", "//hub.example/", "hub.example", "https://", "https:///x",
        "https://user:secret@hub.example/", "https://good.example@127.0.0.1/", "https://hub.example\\@127.0.0.1/",
        "https://hub.example/?to=x", "https://hub.example/#x", "https://hub.example/a/../b", "https://hub.example/%2e%2e/",
        "https://hub.example:22/", "https://hub.example:5432/", "https://hub.example:0443x/", "https://hub.example:99999/",
        "https://hub.example//x", "https://hub.example/a b", "https://hüb.example/", "https://[fe80::1%25lo]/",
        "https://hub.example\r\nHost: x/", "https://-hub.example/", "https://hub_1.example/", " https://hub.example/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_plain_are_refused(url: str, names: Resolver) -> None:
    names(["93.184.216.34"])
    assert wire.objection(url, allow_private=False)


@pytest.mark.parametrize(
    "url",
    ["https://hub.example", "https://hub.example/", "https://hub.example:8443/a/b-c", "https://8.8.8.8/x", "https://[2606:4700::1111]:443/"],
)  # fmt: skip
def test_plain_public_addresses_are_taken(url: str, names: Resolver) -> None:
    names(["93.184.216.34"])
    assert wire.objection(url, allow_private=False) is None


def test_one_inner_address_among_public_ones_is_enough(names: Resolver) -> None:
    names(["93.184.216.34", "10.1.2.3"])
    assert wire.objection("https://hub.example/", allow_private=False) == "a host with public addresses only"


@pytest.fixture
def authority(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_a_name_that_changes_its_mind_does_not_lead_inside(names: Resolver, authority: Certificates) -> None:
    """Public when it is looked at, then loopback: the connection goes where was looked, whatever the name says next."""
    with serving(always(reply()), authority.server("hub.example", host="hub.example")) as inner:
        target = Target(
            "hub", f"https://hub.example:{inner.port}", deadline=1, ca_file=authority.authority, public_only=True
        )
        names(["192.0.2.1"], ["127.0.0.1"])
        monkey = pytest.MonkeyPatch()
        monkey.setattr(outside, "is_public", lambda text: text == "192.0.2.1")  # nobody is there
        with monkey.context(), pytest.raises(NotSent, match="connect_failed"):
            wire.send(POST, target)
        monkey.undo()
        with pytest.raises(NotSent, match="address_refused"):  # and looked at again for each connection
            wire.send(POST, target)
        assert inner.connections == 0


def test_the_name_is_kept_to_where_it_matters(
    names: Resolver, authority: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS verifies the name and Host says it, though the connection is made to an address."""
    names(["127.0.0.1"])
    monkeypatch.setattr(outside, "is_public", lambda text: True)
    with serving(always(reply()), authority.server("hub", host="hub.example")) as server:
        target = Target(
            "hub", f"https://hub.example:{server.port}", deadline=3, ca_file=authority.authority, public_only=True
        )
        assert wire.send(POST, target).status == 200
        assert f"Host: hub.example:{server.port}\r\n".encode() in server.requests[0]
        with pytest.raises(NotSent, match="tls_failed"):
            wire.send(POST, replace(target, base_url=f"https://other.example:{server.port}"))


def test_a_connection_that_leads_inside_is_not_shared(names: Resolver, authority: Certificates) -> None:
    """An agency's own connection to the same host and port is no way in."""
    names(["127.0.0.1"])
    with serving(always(reply()), authority.server("hub", host="inner.example")) as server:
        agency = Target("agency", f"https://inner.example:{server.port}", deadline=3, ca_file=authority.authority)
        assert wire.send(POST, agency).status == 200
        with pytest.raises(NotSent, match="address_refused"):
            wire.send(POST, replace(agency, public_only=True))
        with pytest.raises(NotSent, match="address_refused"):
            wire.send(POST, replace(agency, base_url=f"http://inner.example:{server.port}", public_only=True))
        assert len(server.requests) == 1
