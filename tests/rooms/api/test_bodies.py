"""Bodies nobody should send, to every route that takes one: never a 500, never a word of what was sent in an answer."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from gateway import app
from gateway.api import incoming
from gateway.console import access
from gateway.delivery.room import PostRoom
from gateway.policy.roles import Person, Role
from gateway.store import callers, people, sessions
from tests.rooms.api.conftest import Hub
from tests.rooms.api.listening import opened
from tests.rooms.api.test_referrals import problem
from tests.support import HOUSING, Agencies, referral

MIB = 1024 * 1024
EXAMPLES = 20  # of each route
CANARY = "Zanzibar"
LARGE = 250_000  # bytes, within the limit of a body


def whole(part: bytes, times: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + part * times + after


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"a": ',
    "two documents": b"{}{}",
    "a comment": b"{} // x",
    "single quotes": b"{'a': 1}",
    "a trailing comma": b'{"a": 1,}',
    "not UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "half a character, escaped": b'{"a": "\\ud800"}',
    "half a character in a name": b'{"\\udfff": 1}',
    "a NUL": b'{"a": "\0"}',
    "a NUL, escaped": b'{"a": "\\u0000"}',
    "a NUL in a name": b'{"\\u0000": 1}',
    "a control character": b'{"a": "\x01"}',
    "the same name twice": b'{"a": 1, "a": 2}',
    "the same name twice, escaped": b'{"a": 1, "\\u0061": 2}',
    "the same name twice, within": b'{"b": [{"a": 1, "a": 2}]}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": -Infinity}',
    "1e999999": b'{"a": 1e999999}',
    "-1e999999": b'{"a": -1e999999}',
    "a hundred thousand digits": whole(b"9", 100_000, b'{"a": ', b"}"),
    "digits up to Python's limit": whole(b"9", 4300, b'{"a": ', b"}"),
    "seventeen digits": b'{"a": 99999999999999999}',
    "a hundred thousand digits after the point": whole(b"9", 100_000, b'{"a": 0.', b"}"),
    "an exponent of a hundred thousand digits": whole(b"0", 100_000, b'{"a": 1e', b"}"),
    "a hexadecimal number": b'{"a": 0x10}',
    "a number with a leading zero": b'{"a": 01}',
    "deep arrays": whole(b"[", LARGE),
    "deep objects": whole(b'{"a":', LARGE // 5),
    "deep and closed": whole(b"[", LARGE // 2) + whole(b"]", LARGE // 2),
    "under Python's depth": whole(b"[", 900) + whole(b"]", 900),
    "a little too deep": whole(b"[", 40) + whole(b"]", 40),
    "many arrays": whole(b"[],", LARGE // 3, b"[", b"[]]"),
    "many objects": whole(b"{},", LARGE // 3, b'{"permits": [{"purposes": [', b"{}]}]}"),
    "many numbers": whole(b"1,", LARGE // 2, b"[", b"1]"),
    "many names": b"{" + b",".join(b'"%d":1' % n for n in range(25_000)) + b"}",
    "many names that fall together": b"{" + b",".join(b'"%d":1' % (n << 61) for n in range(9_000)) + b"}",
    "an escape for every character": whole(b"\\u0041", LARGE // 6, b'{"a": "', b'"}'),
    "a string without an end": whole(b"a", LARGE, b'{"a": "'),
    "backslashes": whole(b"\\", LARGE, b'{"a": "'),
    "spaces": whole(b" ", LARGE),
}
WELL_FORMED = {"an escape for every character"}


def fastapi(client: TestClient) -> FastAPI:
    app: Any = client.app
    while not isinstance(app, FastAPI):
        app = app.app
    return app


def taking(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Every method and route of *app* that may have a body."""
    routers = [getattr(one, "original_router", app.router) for one in app.routes]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    found = [(method, route) for route in routes for method in sorted(route.methods)]
    return [(method, route) for method, route in found if method in ("POST", "PUT", "PATCH")]


@pytest.fixture(scope="module")
def room(new_database: Callable[[], str], agencies: Agencies) -> Iterator[PostRoom]:
    with opened(new_database(), agencies) as made:
        yield made


@pytest.fixture(scope="module")
def hub(room: PostRoom) -> Iterator[Hub]:
    with room.store.begin() as tx:
        key = callers.add_hub(tx, "glasgow-hub", by="test")
    with TestClient(app.build(room), base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield Hub(client, key)


@pytest.fixture(scope="module")
def known(hub: Hub) -> dict[str, str]:
    """Ids that there are, for the places in addresses."""
    agreed = hub.consent()
    sent = hub.submit(referral(agreed, HOUSING)).json()
    made = hub.call("POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).json()
    return {
        "consent": agreed, "referral": sent["id"], "delivery": sent["deliveries"][HOUSING], "webhook": made["id"],
        "agency": HOUSING, "identifier": agreed,
    }  # fmt: skip


def address(route: APIRoute, known: dict[str, str]) -> str:
    path = route.path
    for name in route.param_convertors:
        path = path.replace("{" + name + "}", known.get(name, "x"))
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_told_what_is_wrong(hub: Hub, name: str) -> None:
    """Within a second, and in little memory, whoever reads it: the quick checks, or the ones that explain."""
    process = psutil.Process()
    before, started = process.memory_info().rss, time.monotonic()
    for path in ("/v1/consents", "/v1/referrals"):
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        answer = hub.call("POST", path, content=HOSTILE[name], headers=headers)
        problem(answer, *((422, "invalid") if name in WELL_FORMED else (400, "malformed")))
        assert len(answer.content) < 20_000
    assert time.monotonic() - started < 2
    assert process.memory_info().rss - before < 64 * MIB


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc"), inner, max_size=5), max_leaves=30,
))  # fmt: skip
def test_what_is_json_is_read_as_it_was_written(document: Any) -> None:
    for ascii_only in (True, False):
        assert incoming.parse(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


def spoilt(example: Any) -> st.SearchStrategy[bytes]:
    """*example* with one place changed, among others to a canary."""
    places = list(_places(example))
    values = st.sampled_from(
        [
            CANARY,
            f"{CANARY} " * 500,
            None,
            [],
            {},
            [[CANARY]],
            {CANARY * 9: CANARY},
            0,
            -1,
            1e300,
            True,
            "",
            "\u202e" + CANARY,
        ]
    )
    return st.builds(
        lambda place, value: json.dumps(_changed(example, place, value)).encode(), st.sampled_from(places), values
    )


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _places(child, (*path, key))


def _changed(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = _changed(node[path[0]], path[1:], value)
    return copy


def bodies(route: APIRoute) -> st.SearchStrategy[bytes]:
    told = (route.openapi_extra or {}).get("requestBody", {}).get("content", {}).get("application/json", {})
    raw = st.binary(max_size=200) | st.sampled_from(sorted(HOSTILE)).map(lambda name: HOSTILE[name][:5000])
    canary = st.binary(max_size=30).map(lambda some: some + CANARY.encode() + some)
    return raw | canary | spoilt(told.get("example", {"reason": CANARY}))


TYPES = ["application/x-www-form-urlencoded", "application/fhir+json", "text/xml", "", "é", "multipart/form-data"]  # fmt: skip


def test_no_route_breaks_whatever_it_is_sent(hub: Hub, room: PostRoom, known: dict[str, str]) -> None:
    """As a hub that is known, and as an administrator who is logged in."""
    who = Person("admin", Role.DELIVERY_ADMIN)
    with room.store.begin() as tx:
        people.add(tx, who, "x", by="test", one_time=False)
        people.take_step(tx, who, 1)  # her second factor is set up
        session = sessions.begin(tx, who, room.settings.poll_for)
    cookie = f"{access.cookie(room.settings)['key']}={session}"
    routes = taking(fastapi(hub.client))
    assert len(routes) > 20
    for method, route in routes:
        holds(hub, method, address(route, known), cookie, bodies(route))


def holds(hub: Hub, method: str, path: str, cookie: str, sent: st.SearchStrategy[bytes]) -> None:
    headers = {"Idempotency-Key": "k", "If-Match": '"1"', "Cookie": cookie}

    @given(sent, st.sampled_from(TYPES) | st.just("application/json"))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def check(body: bytes, kind: str) -> None:
        answer = hub.call(method, path, content=body, headers={**headers, "Content-Type": kind.encode()})
        assert answer.status_code < 500, (path, answer.text)
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert CANARY not in answer.text, path

    check()


ADDRESSES: dict[str, str] = {
    "a NUL": "ref_%00",
    "an encoded NUL twice": "ref_%2500",
    "half a character": "ref_%ed%a0%80",
    "not UTF-8": "ref_%ff%fe",
    "overlong": "%c0%ae%c0%ae",
    "a way up": "..%2f..%2fetc%2fpasswd",
    "wide digits": "ref_%ef%bc%90%ef%bc%91",
    "arabic digits": "ref_%d9%a0%d9%a1",
    "a letter that looks the same": "ref_%d0%90BCDEFGH",
    "text that turns around": "ref_%e2%80%ae",
    "no width": "ref_%e2%80%8b",
    "a combining mark": "ref_e%cc%81",
    "a line break": "ref_%0d%0aX-A:%20b",
    "a quote": "ref_'%20OR%20''='",
    "a format": "ref_%25s%25n{0}",
    "a template": "ref_%7b%7b7*7%7d%7d",
    "a script": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "long": "ref_" + "A" * 20_000,
    "a dollar": "$1",
    "a backslash": "ref_%5c",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_strange_address_is_nobodys(hub: Hub, name: str) -> None:
    """In the path and in a parameter; nothing of it is repeated but what is an id."""
    text = ADDRESSES[name]
    for path in ("/v1/referrals/{}", "/v1/consents/{}", "/v1/consents/con_{}", "/v1/deliveries/{}", "/v1/webhooks/{}",
                 "/v1/lawful-bases/{}", "/v1/deliveries/{}/sheet", "/schemas/v1/{}.json"):  # fmt: skip
        answer = hub.call("GET", path.format(text))
        assert answer.status_code in (400, 404), path
        assert len(answer.content) < 1000
        assert "<script" not in answer.text
    for path in ("/v1/deliveries?agency={}", "/v1/deliveries?after={}", "/v1/events?after={}", "/v1/deliveries?state={}",
                 "/v1/deliveries?limit={}"):  # fmt: skip
        assert hub.call("GET", path.format(text)).status_code in (200, 400, 422), path


VALUES: list[bytes] = [
    b"", b"null", b"*", b"=;=;", b'"', b"http://[", b"http://a:b", b"a" * 9000, b"\xff\xfe", b"%00", b"9" * 5000, b"-1",
    b"Basic !", b"Basic /w==", b"Basic Og==", b"Bearer", b"Bearer eyJhbGciOiJub25lIn0..", b"text/html;q=x",
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-zz",
]  # fmt: skip
NAMES = [
    "Accept", "Authorization", "Cookie", "Host", "If-Match", "Idempotency-Key", "Last-Event-ID", "Origin", "Referer",
    "Sec-Fetch-Site", "Traceparent", "X-Forwarded-For", "Client-Cert", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_header_breaks_nothing(hub: Hub, known: dict[str, str], name: str) -> None:
    asked = [("GET", f"/v1/consents/{known['consent']}"), ("POST", "/v1/token"), ("POST", "/console/logout")]
    asked += [("POST", f"/v1/callbacks/{HOUSING}")] if name.startswith("Webhook") else []
    for method, path in asked:
        for value in VALUES:
            answer = hub.call(method, path, content=b"{}" if method == "POST" else b"", headers={name: value})
            assert answer.status_code < 500, (method, path, value)


@pytest.mark.parametrize(
    "value", ['"99999999999999999999"', "9" * 6000, '"-1"', '"1e3"', "*", 'W/"x"', '"١"'.encode(), '"1", "2"']
)
def test_a_strange_version_is_no_version(hub: Hub, value: Any, known: dict[str, str]) -> None:
    answer = hub.call("POST", f"/v1/consents/{known['consent']}/versions", json={}, headers={"If-Match": value})
    problem(answer, 428, "version-missing")


@pytest.mark.parametrize(
    "kind", ["text/json", "application/json; charset=utf-16", "application/jsonp", "application/x-www-form-urlencoded",
             "multipart/form-data; boundary=x", "application/json, text/html", "application/merge-patch+json", "*/*"],
)  # fmt: skip
def test_another_content_type_is_not_taken(hub: Hub, kind: str) -> None:
    for path in ("/v1/referrals", "/v1/consents", "/v1/webhooks"):
        answer = hub.call("POST", path, content=b"{}", headers={"Content-Type": kind, "Idempotency-Key": "k"})
        problem(answer, 415, "unsupported-media-type")


def test_nothing_is_unpacked(hub: Hub) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(hub.call("POST", "/v1/consents", content=b"\x1f\x8b", headers=headers), 415, "unsupported-media-type")
