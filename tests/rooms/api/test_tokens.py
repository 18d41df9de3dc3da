"""Access tokens: how a client proves who it is, what it is given, and what is refused."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, example, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey
from starlette.testclient import TestClient

from gateway import authentication, tokens
from gateway.api import door
from gateway.api.token import JWT_BEARER
from gateway.delivery.room import PostRoom
from gateway.errors import Invalid, Untrusted
from gateway.policy.scopes import Scope
from gateway.settings import Settings
from gateway.store import clients
from gateway.tokens import Issuer
from gateway.vault import generate
from tests.rooms.api.conftest import Hub, Open
from tests.rooms.api.test_referrals import problem

KEYS = [generate(), generate()]
ISSUER = Settings().issuer
Answer = Any


@dataclass
class Machine:
    """A client of the hub, at a web process."""

    web: TestClient
    id: str
    key: OKPKey | ECKey
    secret: str = ""

    def assertion(self, *, key: Any = None, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A good one but for *changes*; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.id, "sub": self.id, "aud": ISSUER, "exp": now + 60, "iat": now,
            "jti": secrets.token_urlsafe(12), **changes,
        }  # fmt: skip
        key = key or self.key
        head = {"alg": "ES256" if isinstance(key, ECKey) else "Ed25519", **(header or {})}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(head, kept, key, algorithms=[head["alg"]])

    def ask(self, assertion: str | None = None, headers: Mapping[str, str] | None = None, **form: str) -> Answer:
        fields = {
            "grant_type": "client_credentials", "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion or self.assertion(), **form,
        }  # fmt: skip
        return self.web.post("/v1/token", data=fields, headers=headers)

    def with_secret(self, secret: str | None = None, name: str | None = None, **form: str) -> Answer:
        pair = f"{name or self.id}:{self.secret if secret is None else secret}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return self.web.post("/v1/token", data={"grant_type": "client_credentials", **form}, headers=headers)

    def token(self, **more: Any) -> str:
        answer = self.ask(**more)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["access_token"]
        return found

    def call(self, token: str, path: str = "/v1/events", web: TestClient | None = None, **headers: str) -> Answer:
        return Hub(web or self.web, token).call("GET", path, headers=headers)


def register(room: PostRoom, web: TestClient, key: OKPKey | ECKey | None, **more: Any) -> Machine:
    document = key.as_dict(private=False) if key else None
    with room.store.begin() as tx:
        scopes = more.pop("scopes", tuple(Scope))
        name, secret = clients.add(tx, "glasgow-hub", scopes, document, bound=more.pop("bound", False), by="test")
    return Machine(web, name, key or OKPKey.generate_key(), secret or "")


@pytest.fixture
def web(process: Open) -> TestClient:
    return process(tokens={"keys": KEYS})


@pytest.fixture
def machine(room: PostRoom, web: TestClient) -> Machine:
    return register(room, web, OKPKey.generate_key("Ed25519"))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is believed for a second."""
    monkeypatch.setattr(door, "BELIEVED", 0.0)


@pytest.mark.parametrize("make", [lambda: OKPKey.generate_key("Ed25519"), lambda: ECKey.generate_key("P-256")])
def test_a_client_proves_itself_with_its_key(room: PostRoom, web: TestClient, make: Callable[[], Any]) -> None:
    machine = register(room, web, make())
    answer = machine.ask()
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert (given["token_type"], given["expires_in"], set(given["scope"].split())) == ("Bearer", 600, set(Scope))
    assert answer.headers["cache-control"] == "no-store"
    head, body, _ = given["access_token"].split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, body))
    assert (header["alg"], header["typ"]) == ("Ed25519", "at+jwt")
    assert set(claims) == {"iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti"}  # nothing of the hub
    assert (claims["iss"], claims["sub"], claims["client_id"]) == (ISSUER, machine.id, machine.id)
    answer = Hub(web, given["access_token"]).call("GET", "/v1/events")
    assert answer.status_code == 200, answer.text
    with room.store.begin() as tx:
        actions = tx.all(
            "SELECT actor FROM audit WHERE action = 'client.token' AND object = %(id)s", {"id": machine.id}
        )
        [row] = clients.everyone(tx)
    assert actions == [{"actor": "hub:glasgow-hub"}]
    assert row["last_used_at"] is not None


def test_a_client_proves_itself_with_its_secret(room: PostRoom, web: TestClient) -> None:
    machine = register(room, web, None)
    answer = machine.with_secret()
    assert answer.status_code == 200, answer.text
    assert machine.call(answer.json()["access_token"]).status_code == 200
    with room.store.begin() as tx:
        assert machine.secret not in str(tx.all("SELECT * FROM client_credentials"))


def refused(answer: Answer, status: int, code: str) -> str:
    document = answer.json()
    assert (answer.status_code, document["error"]) == (status, code), document
    assert answer.headers["content-type"] == "application/json"
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
    described: str = document["error_description"]
    return described


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None}, {"exp": 1}, {"exp": "soon"}, {"exp": True}, {"exp": 10**11}, {"exp": float("nan")},
        {"iss": "cli_x"}, {"iss": None}, {"aud": "https://elsewhere.example"}, {"aud": None}, {"aud": []},
        {"jti": None}, {"jti": "short"}, {"jti": 12345678}, {"jti": "x" * 300}, {"nbf": 10**11}, {"iat": 10**11},
        {"key": OKPKey.generate_key("Ed25519")}, {"key": ECKey.generate_key("P-256")}, {"sub": "cli_x"}, {"sub": None},
        {"sub": "cli_\0"}, {"sub": {"a": 1}},
    ],
)  # fmt: skip
def test_an_assertion_that_proves_nothing_is_refused(machine: Machine, changes: dict[str, Any]) -> None:
    refused(machine.ask(machine.assertion(**changes)), 401, "invalid_client")
    assert machine.ask().status_code == 200  # the same machine, as it should be


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/v1/token", [ISSUER], ["x", f"{ISSUER}/v1/token"]])
def test_it_may_be_for_the_issuer_or_the_endpoint(machine: Machine, audience: str | list[str]) -> None:
    assert machine.ask(machine.assertion(aud=audience)).status_code == 200


def test_unsigned_and_symmetric_assertions_are_refused(machine: Machine) -> None:
    public = json.dumps(machine.key.as_dict(private=False)).encode()
    body = machine.assertion().split(".")[1]
    for alg, signature in (("none", ""), ("HS256", "AAAA"), ("EdDSA", "AAAA"), ("RS256", "AAAA")):
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg}).encode()).rstrip(b"=").decode()
        refused(machine.ask(f"{head}.{body}.{signature}"), 401, "invalid_client")
    symmetric = machine.assertion(key=OctKey.import_key(public), header={"alg": "HS256"})
    refused(machine.ask(symmetric), 401, "invalid_client")


def test_an_assertion_counts_once_in_all_processes(process: Open, machine: Machine) -> None:
    assertion = machine.assertion()
    again = Machine(process(tokens={"keys": KEYS}), machine.id, machine.key)
    assert machine.ask(assertion).status_code == 200
    assert "used before" in refused(again.ask(assertion), 401, "invalid_client")
    assert again.ask().status_code == 200


def test_an_assertion_counts_once_however_many_come_at_once(machine: Machine) -> None:
    assertion = machine.assertion()
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(answer.status_code for answer in pool.map(lambda _: machine.ask(assertion), range(8)))
    assert codes == [200] + [401] * 7


def test_what_was_used_is_remembered_no_longer_than_it_could_be_used(room: PostRoom, machine: Machine) -> None:
    for _ in range(2):
        machine.token()
    with room.store.begin() as tx:
        assert len(tx.all("SELECT * FROM client_assertions WHERE expires_at > now() + interval '60 s'")) == 2
        tx.run("UPDATE client_assertions SET expires_at = now() - interval '1 s'")
    machine.token()
    with room.store.begin() as tx:
        assert len(tx.all("SELECT * FROM client_assertions")) == 1


@pytest.mark.parametrize("secret", [True, False])
def test_an_unknown_client_meets_the_words_and_the_work_of_a_wrong_one(
    room: PostRoom, web: TestClient, monkeypatch: pytest.MonkeyPatch, secret: bool
) -> None:
    known = register(room, web, None if secret else OKPKey.generate_key("Ed25519"))
    unknown = Machine(web, "cli_7Q2M4N8P1R5T9V3X0", known.key)
    work: list[str] = []
    for module, name in ((jwt, "decode"), (authentication.hmac, "compare_digest"), (clients, "find")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _r=real, _n=name, **k: work.append(_n) or _r(*a, **k))
    said = []
    for machine in (known, unknown):
        wrong = (
            machine.with_secret("gws_guess") if secret else machine.ask(machine.assertion(key=OKPKey.generate_key()))
        )
        said.append((refused(wrong, 401, "invalid_client"), sorted(wrong.headers), tuple(work)))
        work.clear()
    assert said[0] == said[1]
    assert ("compare_digest" if secret else "decode") in said[0][2]


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, 400, "invalid_request"),
        ({"client_assertion": "x.y.z"}, 401, "invalid_client"),
        ({"client_assertion": "é"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 400, "invalid_request"),
        ({"scope": "everything"}, 400, "invalid_scope"),
    ],
)
def test_what_is_wrong_is_said_as_the_standard_says(
    machine: Machine, form: dict[str, str], status: int, code: str
) -> None:
    refused(machine.ask(**form), status, code)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "application/x-www-form-urlencoded", "invalid_request"),
        (b"grant_type=client_credentials&grant_type=password", "application/x-www-form-urlencoded", "invalid_request"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded", "invalid_request"),
        (b"&".join(b"a%d=1" % n for n in range(50)), "application/x-www-form-urlencoded", "invalid_request"),
        (b'{"grant_type": "client_credentials"}', "application/json", "invalid_request"),
        (b"grant_type=client_credentials", "application/x-www-form-urlencoded", "invalid_client"),
    ],
)
def test_a_body_that_is_no_such_form(machine: Machine, body: bytes, kind: str, code: str) -> None:
    answer = machine.web.post("/v1/token", content=body, headers={"Content-Type": kind})
    refused(answer, 401 if code == "invalid_client" else 400, code)


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic " + "é" * 3, "Bearer x"])
def test_basic_credentials_that_are_none(machine: Machine, header: str) -> None:
    headers = {"Authorization": header.encode()}
    answer = machine.web.post("/v1/token", data={"grant_type": "client_credentials"}, headers=headers)  # type: ignore[arg-type]
    refused(answer, 400, "invalid_request")
    both = machine.ask(headers={"Authorization": "Basic eDp5"})
    assert "not both" in refused(both, 400, "invalid_request")


def test_a_token_is_for_the_scopes_that_were_asked_for(room: PostRoom, web: TestClient) -> None:
    machine = register(room, web, OKPKey.generate_key(), scopes=["events:read", "webhooks"])
    narrow = machine.token(scope="webhooks")
    assert machine.call(narrow, "/v1/webhooks").status_code == 200
    assert problem(machine.call(narrow), 403, "scope-missing")["scope"] == "events:read"
    said = refused(machine.ask(scope="webhooks consents:read"), 400, "invalid_scope")
    assert said.endswith("events:read webhooks.")


def test_what_a_client_may_no_longer_do_its_tokens_cannot(room: PostRoom, machine: Machine, unhurried: None) -> None:
    token = machine.token()
    with room.store.begin() as tx:
        tx.run("UPDATE clients SET scopes = '{webhooks}'")
    problem(machine.call(token), 403, "scope-missing")


def test_a_revoked_client_is_stopped_with_its_tokens(room: PostRoom, machine: Machine, unhurried: None) -> None:
    token = machine.token()
    assert machine.call(token).status_code == 200
    with room.store.begin() as tx:
        clients.revoke(tx, machine.id, by="test")
    problem(machine.call(token), 401, "unauthenticated")
    refused(machine.ask(), 401, "invalid_client")


def test_a_revoked_client_is_stopped_within_a_second(room: PostRoom, machine: Machine) -> None:
    token = machine.token()
    assert machine.call(token).status_code == 200
    with room.store.begin() as tx:
        clients.revoke(tx, machine.id, by="test")
    time.sleep(door.BELIEVED)
    problem(machine.call(token), 401, "unauthenticated")


def test_credentials_overlap_when_they_are_rotated(room: PostRoom, machine: Machine) -> None:
    newer = Machine(machine.web, machine.id, ECKey.generate_key("P-256"))
    refused(newer.ask(), 401, "invalid_client")
    with room.store.begin() as tx:
        clients.rotate(tx, machine.id, newer.key.as_dict(private=False), timedelta(hours=1), by="test")
    assert [one.ask().status_code for one in (machine, newer)] == [200, 200]
    with room.store.begin() as tx:
        clients.rotate(tx, machine.id, newer.key.as_dict(private=False), timedelta(0), by="test")
    refused(machine.ask(), 401, "invalid_client")
    assert newer.ask().status_code == 200


def crafted(machine: Machine, *, lasting: int = 60, url: str = ISSUER, keys: Sequence[str] = KEYS) -> str:
    """A token as we would make it, but for what is said."""
    issuer = Issuer(url, keys, timedelta(seconds=lasting))
    return issuer.issue(machine.id, Scope, datetime.now(UTC))


def test_tokens_that_are_not_ours_or_not_for_now_are_refused(machine: Machine) -> None:
    good = crafted(machine)
    assert machine.call(good).status_code == 200
    head, body, _ = good.split(".")
    other = crafted(machine, keys=[generate()])
    ours = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(base64.b64decode(KEYS[0])))
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other_kind = jwt.encode({"alg": "Ed25519", "kid": ours.thumbprint()}, claims, ours, algorithms=["Ed25519"])
    wrong = [
        other_kind,
        crafted(machine, lasting=-1), crafted(machine, url="https://other.example"), other,
        f"{head}.{body}.", f"{head}.{body}.{other.split('.')[2]}", machine.assertion(),
        machine.assertion(header={"typ": "at+jwt"}), machine.assertion(header={"typ": "JWT", "kid": kid(KEYS[0])}),
        good[:-1] + ("A" if good[-1] != "A" else "B"), "x", "..", "é.é.é",
    ]  # fmt: skip
    for token in wrong:
        answer = Hub(machine.web, "").call("GET", "/v1/events", headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, token
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def kid(secret: str) -> str:
    return Issuer(ISSUER, [secret], timedelta(minutes=1))._kid


def test_signing_keys_are_rotated(process: Open, machine: Machine) -> None:
    before = machine.token()
    rotated = process(tokens={"keys": [generate(), KEYS[0]]})
    dropped = process(tokens={"keys": [generate()]})
    assert machine.call(before, web=rotated).status_code == 200
    assert machine.call(before, web=dropped).status_code == 401
    after = Machine(rotated, machine.id, machine.key).token()
    assert machine.call(after, web=rotated).status_code == 200
    assert machine.call(after).status_code == 401


CERTIFICATES = [b"\x30\x82 one certificate", b"\x30\x82 another certificate"]


def passed(number: int, pem: bool = False) -> str:
    text = base64.b64encode(CERTIFICATES[number]).decode()
    return quote(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n") if pem else f":{text}:"


def test_a_bound_token_holds_with_its_certificate_only(process: Open, room: PostRoom, unhurried: None) -> None:
    settings = {"tokens": {"keys": KEYS}, "trusted_proxies": ["192.0.2.7"], "certificate_header": "client-cert"}
    proxied, direct = process("192.0.2.7", **settings), process("198.51.100.1", **settings)
    machine = register(room, proxied, OKPKey.generate_key(), bound=True)
    assert "connect with it" in refused(machine.ask(), 400, "invalid_request")
    shown = {"Client-Cert": passed(0)}
    refused(Machine(direct, machine.id, machine.key).ask(headers=shown), 400, "invalid_request")
    token = machine.token(headers=shown)
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    digest = hashlib.sha256(CERTIFICATES[0]).digest()
    assert claims["cnf"] == {"x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
    assert machine.call(token, **shown).status_code == 200
    assert machine.call(token, **{"Client-Cert": passed(0, pem=True)}).status_code == 200
    for headers in (
        {},
        {"Client-Cert": passed(1)},
        {"Client-Cert": "x"},
        {"Client-Cert": ":::"},
        {"X-Client-Cert": passed(0)},
    ):
        problem(machine.call(token, **headers), 401, "unauthenticated")
    problem(machine.call(token, web=direct, **shown), 401, "unauthenticated")  # nobody's word but the proxy's
    both = [("Authorization", f"Bearer {token}"), ("Client-Cert", passed(0)), ("Client-Cert", passed(1))]
    problem(proxied.get("/v1/events", headers=both), 401, "unauthenticated")
    assert proxied.get("/.well-known/oauth-authorization-server").json()["tls_client_certificate_bound_access_tokens"]


def test_the_certificate_is_looked_at_each_time(process: Open, room: PostRoom) -> None:
    proxied: dict[str, Any] = {"trusted_proxies": ["192.0.2.7"], "certificate_header": "client-cert"}
    web = process(tokens={"keys": KEYS}, rates={"failures_a_minute": 1}, **proxied)
    machine = register(room, web, OKPKey.generate_key(), bound=True)
    token = machine.token(headers={"Client-Cert": passed(0)})
    assert machine.call(token, **{"Client-Cert": passed(0)}).status_code == 200
    problem(machine.call(token, **{"Client-Cert": passed(1)}), 401, "unauthenticated")  # within the same second
    problem(machine.call(token, **{"Client-Cert": passed(1)}), 429, "too-many-requests")  # whoever tries is counted
    assert machine.call(token, **{"Client-Cert": passed(0)}).status_code == 200


def test_the_endpoint_is_described(process: Open, client: TestClient) -> None:
    web = process(tokens={"keys": KEYS}, public_url="https://gateway.example/")
    found = web.get("/.well-known/oauth-authorization-server").json()
    assert found["issuer"] == "https://gateway.example"
    assert found["token_endpoint"] == "https://gateway.example/v1/token"
    assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt", "client_secret_basic"]
    assert found["grant_types_supported"] == ["client_credentials"]
    assert set(found["scopes_supported"]) == set(Scope)
    assert found["tls_client_certificate_bound_access_tokens"] is False
    for off in (
        client.get("/.well-known/oauth-authorization-server"),
        Machine(client, "cli_x", OKPKey.generate_key()).ask(),
    ):
        problem(off, 404, "not-found")


def test_tokens_are_given_at_a_rate(process: Open, room: PostRoom) -> None:
    web = process(tokens={"keys": KEYS}, rates={"tokens_a_minute": 2, "failures_a_minute": 2})
    machine = register(room, web, OKPKey.generate_key())
    assert [machine.ask().status_code for _ in range(2)] == [200, 200]
    problem(machine.ask(), 429, "too-many-requests")
    other = register(room, web, OKPKey.generate_key())
    assert other.ask().status_code == 200
    guesses = [machine.ask("x.y.z") for _ in range(3)]
    assert [guess.status_code for guess in guesses] == [401, 401, 429]
    assert int(guesses[-1].headers["retry-after"]) >= 1


def test_a_secret_or_token_shows_in_no_repr() -> None:
    credentials = authentication.Credentials("cli_x", "gws_secret", "assertion")
    granted = authentication.Granted("token", 1, [])
    assert not any(word in repr(one) for one in (credentials, granted) for word in ("gws_", "assertion", "token'"))


def test_public_keys_are_taken_as_jwk_and_pem_and_private_ones_are_not() -> None:
    for key in (OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")):
        as_jwk = tokens.public_key(json.dumps({**key.as_dict(private=False), "kid": "x", "use": "sig"}).encode())
        assert as_jwk == tokens.public_key(key.as_pem(private=False))
        for private in (json.dumps(key.as_dict(private=True)).encode(), key.as_pem(private=True)):
            with pytest.raises(Invalid):
                tokens.public_key(private)
    wrong = [
        b"",
        b"{}",
        b"[]",
        b"1",
        b"\xff",
        b'{"kty": "EC"}',
        b'{"kty": "oct", "k": "AAAA"}',
        b"-----BEGIN PUBLIC KEY-----",
    ]
    wrong += [
        json.dumps(key.as_dict(private=False)).encode()
        for key in (OKPKey.generate_key("X25519"), ECKey.generate_key("P-384"))
    ]
    for text in wrong:
        with pytest.raises(Invalid):
            tokens.public_key(text)


ONE = Issuer(ISSUER, KEYS, timedelta(minutes=5))
GOOD = ONE.issue("cli_x", ["webhooks"], datetime.now(UTC))
PARTS = st.text("ABCabc019-_=", max_size=40)


@given(st.text(max_size=80) | st.builds(".".join, st.lists(PARTS, min_size=3, max_size=3)))
def test_any_text_is_refused(text: str) -> None:
    for read in (ONE.read, tokens.claimed):
        with pytest.raises(Untrusted):
            read(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(JSON, JSON)
def test_any_unsigned_document_is_refused(header: Any, claims: Any) -> None:
    head = {"alg": "Ed25519", "typ": "at+jwt", "kid": kid(KEYS[0]), **(header if isinstance(header, dict) else {})}
    for first in (head, header):
        parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (first, claims)]
        with pytest.raises(Untrusted):
            ONE.read(".".join([*parts, "AAAA"]))


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(LETTERS))
# the last bits of the last character carry nothing, and must be as we wrote them all the same
@example(len(GOOD) - 1, LETTERS[LETTERS.index(GOOD[-1]) + 1])
def test_a_token_with_any_character_changed_is_refused(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    assume(changed != GOOD)
    with pytest.raises(Untrusted):
        ONE.read(changed)
