"""An unsafe channel never leaves: not by any adapter, not by any message, not in any encoding."""

import base64
import html
import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import gateway_schemas
import gateway_sdk as sdk
import pytest
from gateway_housing import Housing
from gateway_nhs import Nhs
from gateway_sdk.testing import filled
from gateway_social_security import SocialSecurity
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.room import PostRoom
from gateway.policy import minimise
from gateway.wire import Target, rest, soap
from tests.rooms.delivery.test_attempt import make_due, of, submit, work
from tests.rooms.delivery.test_consent_changes import SAFE, less, new_contact
from tests.support import PURPOSES, Agencies

AT = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
KEY = "del_0000000000000000A"
SENT = sdk.Sent(KEY, AT, "del_0000000000000000B", "THEIRS-1")
ADAPTERS = {"housing": Housing(), "nhs": Nhs(), "social-security": SocialSecurity()}
EVERYTHING = frozenset(gateway_schemas.categories())

numbers = st.from_regex(r"\+?44 7[0-9]{3} [0-9]{6}", fullmatch=True) | st.from_regex(
    r"07[0-9]{3} [0-9]{6}", fullmatch=True
)
mails = st.from_regex(r"[a-z]{6,12}[+.][a-z0-9]{4,8}@[a-z]{5,9}\.example", fullmatch=True)
lines = st.from_regex(r"Flat [0-9]/[0-9], [0-9]{2,3} [A-ZÀ-Ý][a-zà-ÿ'&<]{7,12} Wynd", fullmatch=True)


def target(adapter: sdk.Adapter) -> Target:
    return Target(
        name="a", base_url="https://a.example", auth=adapter.auth, wsdl=adapter.wsdl, deadline=1.0, max_reply=1000,
        credentials={"username": "u", "password": "p", "client_id": "c", "client_secret": "s", "api_key": "k"},
        ca_file=None, client_certificate=None, client_key=None,
    )  # fmt: skip


def wire_bytes(adapter: sdk.Adapter, request: sdk.Request | None) -> bytes:
    """Everything that would leave: address, headers, body."""
    assert request is not None
    if isinstance(request, sdk.RestRequest):
        address, headers, body = rest.build(request, target(adapter))
        return json.dumps([address, headers]).encode() + body
    body, headers = soap._envelope(soap._service(target(adapter)), request, target(adapter))
    return json.dumps(headers).encode() + body


def spellings(text: str) -> Iterator[bytes]:
    """*text* in every encoding that a message could have it in."""
    plain = {
        text,
        text.replace(" ", ""),
        text.replace(" ", "-"),
        text.removeprefix("+"),
        text.replace(" ", "").lstrip("+0"),
    }
    for one in {*plain, *(t.lower() for t in plain), *(t.upper() for t in plain), *(t[::-1] for t in plain)}:
        yield from {
            one.encode(), one.encode("utf-16-le"), one.encode("latin-1", "ignore"), quote(one).encode(), quote_plus(one).encode(),
            html.escape(one).encode(), html.escape(one, quote=False).encode(), json.dumps(one)[1:-1].encode(),
            one.encode("ascii", "xmlcharrefreplace"), one.encode().hex().encode(),
        }  # fmt: skip
        for shift in range(3):  # base64 of a longer text has it at one of three places
            yield base64.b64encode(b"x" * shift + one.encode())[4:-4]
            yield base64.urlsafe_b64encode(b"x" * shift + one.encode())[4:-4]


def decoded(sent: bytes) -> bytes:
    """*sent* as it is, and whatever of it is base64 in the clear."""
    found = [sent]
    for word in sent.replace(b'"', b" ").replace(b"<", b" ").replace(b">", b" ").split():
        try:
            found.append(base64.b64decode(word, validate=True))
        except ValueError:
            continue
    return b"\n".join(found)


def referral_with(channel: str, value: Any) -> dict[str, Any]:
    """A referral with every leaf filled, whose *channel* is not safe, and which asks each adapter for help."""
    whole: dict[str, Any] = filled(gateway_schemas.load("referral"))
    ask = whole["requests"][0]
    whole["requests"] = [{**ask, "agency": name, "purpose": a.purpose} for name, a in ADAPTERS.items()]
    whole["person"]["birth_date"], whole["person"]["chi_number"] = "1994-05-17", "1705941265"
    whole["contact"][channel].update(value)
    flags = gateway_schemas.view_schema()["properties"]["contact"]["properties"][channel]["safeWhen"]
    whole["contact"][channel].update(dict.fromkeys(flags, False))
    return whole


def messages(name: str, whole: Mapping[str, Any], categories: frozenset[str] = EVERYTHING) -> Iterator[bytes]:
    """The bytes of each message that carries data, made as the post room makes them."""
    adapter = ADAPTERS[name]
    data = minimise.keep(whole, name, adapter.needs, categories)
    given = sdk.Referral(KEY, AT, data, adapter.needs)
    for request in (adapter.translate(given), adapter.update(given, SENT)):
        yield wire_bytes(adapter, request)
    yield wire_bytes(adapter, adapter.withdraw(SENT))


@pytest.mark.parametrize("name", ADAPTERS)
@settings(max_examples=15, deadline=None)
@given(number=numbers, mail=mails, line=lines)
def test_no_message_holds_an_unsafe_channel(name: str, number: str, mail: str, line: str) -> None:
    channels: dict[str, tuple[dict[str, Any], str]] = {
        "phone": ({"number": number, "ask_for": line}, number),
        "email": ({"address": mail}, mail),
        "post": ({"lines": [line], "postcode": "ZZ99 9ZZ"}, line),
    }
    for channel, (value, secret) in channels.items():
        for sent in messages(name, referral_with(channel, value)):
            whole = decoded(sent)
            found = [spelling for spelling in spellings(secret) if len(spelling) > 6 and spelling in whole]
            assert not found, f"{channel} leaves as {found[0]!r}"


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("encode", range(4))
def test_the_search_would_find_it(name: str, encode: int) -> None:
    """What is safe is found, in the messages that may have it, and so is what an adapter would have encoded."""
    whole = referral_with("phone", {"number": "07700 900123"})
    whole["contact"]["phone"]["safe_to_call"] = True
    first, update, back = messages(name, whole)
    hidden = [
        lambda text: text, lambda text: base64.b64encode(b"from " + text.encode()).decode(),
        lambda text: quote(text), lambda text: text.replace(" ", "")[::-1],
    ][encode]("07700 900123")  # fmt: skip
    for sent in (first, update, f"<x>{hidden}</x>".encode()):
        assert any(len(one) > 6 and one in decoded(sent) for one in spellings("07700 900123"))
    assert not any(len(one) > 6 and one in decoded(back) for one in spellings("07700 900123"))


@pytest.mark.parametrize("name", ADAPTERS)
def test_where_she_stays_leaves_only_for_a_purpose_that_needs_it_and_with_consent(name: str) -> None:
    whole = referral_with("email", {})
    whole["housing"]["address"] = {"lines": ["Canary Close 7"], "postcode": "ZZ1 1ZZ", "known_to_abuser": True}
    whole["housing"]["risk_at_address"] = "CanaryRisk at the door"
    asks = {pointer for pointer in ADAPTERS[name].needs.pointers if pointer.startswith("/housing/address")}
    for agreed, secret, category in itertools.product(
        (True, False), ("Canary Close 7", "CanaryRisk at the door"), ("address", "safety")
    ):
        of_it = (secret, category) in {("Canary Close 7", "address"), ("CanaryRisk at the door", "safety")}
        if not of_it:
            continue
        first, update, back = messages(name, whole, EVERYTHING if agreed else EVERYTHING - {category})
        for sent in (first, update):
            assert (secret.encode() in sent) == (agreed and bool(asks) and name == "housing")
        assert secret.encode() not in back


def test_nothing_an_agency_ever_received_holds_an_unsafe_channel(room: PostRoom, agencies: Agencies) -> None:
    """From the counter to the agencies' sockets, with failures, repeats, an update, a narrowing and a withdrawal."""
    unsafe = {
        "phone": {
            "number": "07700 900666",
            "safe_to_call": False,
            "safe_to_text": False,
            "safe_to_leave_voicemail": True,
        },
        "email": {"address": "watched@example.org", "safe_to_use": False},
        "post": {"lines": ["Flat 6/6, Nowhere Wynd"], "safe_to_use": False},
        "who_must_not_know": ["Her cousin"],
    }
    for agency in PURPOSES:
        agencies[agency].fail_next("drop")
    agreed, identifier = submit(room, contact=unsafe)
    for step in (lambda: None, lambda: new_contact(room, identifier, {**unsafe, "phone": SAFE["phone"]}),
                 lambda: new_contact(room, identifier, unsafe, key="c-2"),
                 lambda: less(room, agreed, categories=("children",)), lambda: less(room, agreed)):  # fmt: skip
        step()
        for _ in range(3):
            make_due(room)
            work(room)
    assert {delivery.status for delivery in of(room, identifier).values()} == {sdk.Status.WITHDRAWN}
    for agency in PURPOSES:
        received = agencies[agency].received
        assert len([message for message in received if message["path"] != "/oauth/token"]) >= 5
        everything = decoded("\n".join(str(value) for message in received for value in message.values()).encode())
        for secret in ("07700 900666", "watched@example.org", "Flat 6/6, Nowhere Wynd"):
            assert not [one for one in spellings(secret) if len(one) > 6 and one in everything]
