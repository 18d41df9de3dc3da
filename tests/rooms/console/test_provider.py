"""OpenID Connect, with a real provider on loopback: code, PKCE, state, nonce; and what a hostile one is worth."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gateway.delivery.room import PostRoom
from gateway.policy.roles import Role
from gateway.settings import OpenIdSettings
from gateway.store import people
from gateway.wire import oidc
from tests.rooms.console.visiting import Browser, add, asking, person

BACK = "http://127.0.0.1/console/provider/callback"
Change = Callable[[dict[str, Any]], Any]


class Provider(BaseHTTPRequestHandler):
    """A small OpenID provider, at which one person is logged in already."""

    wbufsize = -1  # each reply in one piece
    key = ECKey.generate_key("P-256", {"kid": "1"}, auto_kid=False)
    claims: dict[str, Any]
    header: dict[str, str]
    codes: dict[str, dict[str, str]]
    bent: dict[str, Change]  # what a hostile one does to what it says, by path
    signs_with: Any

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def say(self, document: dict[str, Any], status: int = 200) -> None:
        bend = self.bent.get(urlsplit(self.path).path)
        body = json.dumps(bend(document) or document if bend else document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = dict(parse_qsl(parts.query))
            self.codes["code-1"] = asked
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?code=code-1&state={asked['state']}")
            self.end_headers()
        elif parts.path == "/jwks":
            self.say(KeySet([self.key]).as_dict(private=False))
        else:
            places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
            self.say({"issuer": self.issuer, **{name: self.issuer + path for name, path in places.items()}})

    def do_POST(self) -> None:
        form = {
            name: values[0]
            for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        client = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode() == "gateway:secret"
        good = (
            asked and challenge == asked["code_challenge"] and form["redirect_uri"] == asked["redirect_uri"] and client
        )
        if not asked or not good:
            self.say({"error": "invalid_grant"}, 400)
            return
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": "gateway",
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            **self.claims,
        }
        bend = self.bent.get("claims")
        said = bend(said) or said if bend else said
        token = jwt.encode(self.header, said, self.signs_with, algorithms=["ES256", "HS256"])
        self.say({"access_token": "a", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def provider() -> Iterator[type[Provider]]:
    claims = {"sub": "u-1", "preferred_username": "Morag", "groups": ["staff", "glasgow-caseworkers"]}
    fresh = {
        "claims": claims,
        "header": {"alg": "ES256", "kid": "1"},
        "codes": {},
        "bent": {},
        "signs_with": Provider.key,
    }
    kind = type("Fresh", (Provider,), fresh)
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kind.port = server.server_address[1]  # type: ignore[attr-defined]
    oidc._kept.clear()
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def known(room: PostRoom, provider: Any) -> PostRoom:
    groups = {
        "glasgow-caseworkers": {"role": "caseworker", "hub": "glasgow-hub"},
        "glasgow-managers": {"role": "hub-manager", "hub": "glasgow-hub"}, "auditors": {"role": "auditor"},
        "nowhere": {"role": "caseworker", "hub": "atlantis-hub"},
    }  # fmt: skip
    chosen = {"issuer": f"http://127.0.0.1:{provider.port}", "client_id": "gateway", "client_secret": "secret"}
    return asking(room, oidc=OpenIdSettings.model_validate({**chosen, "redirect_uri": BACK, "groups": groups}))


def walk(browser: Browser) -> str:
    """From the log-in page to the provider; the way back, not gone yet."""
    away = browser.get("/console/provider")
    assert away.status_code == 303
    back = requests.get(away.headers["location"], allow_redirects=False, timeout=5).headers["Location"]
    return back.removeprefix("http://127.0.0.1")


def test_she_comes_back_with_the_role_that_the_provider_gives_her(known: PostRoom) -> None:
    browser = Browser(known)
    assert "/console/provider" in browser.get("/console/login").text
    answer = browser.get(walk(browser))
    assert answer.status_code == 200 and 'content="0; url=/console"' in answer.text
    assert "SameSite=strict" in answer.headers.get_list("set-cookie")[0]
    assert browser.get("/console/cases").status_code == 200
    with known.store.begin() as tx:
        assert people.get(tx, "morag").person == person(Role.CASEWORKER, "morag")
    page = browser.get("/console/account").text
    assert "organisation" in page and "password" in page and 'type="password"' not in page


def test_what_begins_there_is_a_code_with_pkce_state_and_nonce(known: PostRoom) -> None:
    answer = Browser(known).get("/console/provider")
    asked = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (
        asked["response_type"] == "code"
        and asked["code_challenge_method"] == "S256"
        and asked["scope"].startswith("openid")
    )
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert "SameSite=lax" in answer.headers["set-cookie"] and "HttpOnly" in answer.headers["set-cookie"]
    secret = answer.cookies["gateway_provider"]
    assert secret not in answer.headers["location"]


def test_a_code_is_worth_nothing_to_another_browser_or_twice(known: PostRoom) -> None:
    browser, thief = Browser(known), Browser(known)
    back = walk(browser)
    thief.get("/console/provider")
    assert thief.get(back).status_code == 403  # its state is not the thief's
    assert Browser(known).get(back).status_code == 403  # and nobody's without a cookie
    assert browser.get(back).status_code == 200
    again = Browser(known)
    again.cookies.update(browser.cookies)
    assert again.get(back).status_code == 403


def hostile(change: Change, path: str = "claims") -> Callable[[Any], None]:
    return lambda provider: provider.bent.update({path: change})


def foreign(provider: Any) -> None:
    provider.signs_with = ECKey.generate_key("P-256", {"kid": "1"}, auto_kid=False)


def shared(provider: Any) -> None:
    """Signs with what everybody knows, its public key, as if that were a shared secret."""
    from joserfc.jwk import OctKey

    provider.header = {"alg": "HS256", "kid": "1"}
    provider.signs_with = OctKey.import_key(json.dumps(Provider.key.as_dict(private=False)))


@pytest.mark.parametrize(
    "bend",
    [
        hostile(lambda said: said.update(nonce="another")), hostile(lambda said: said.pop("nonce") and None),
        hostile(lambda said: said.update(aud="another")),
        hostile(lambda said: said.update(aud="another", azp="gateway")), hostile(lambda said: said.update(aud=["gateway", "another"])),
        hostile(lambda said: said.update(iss="http://evil.example")), hostile(lambda said: said.update(exp=said["exp"] - 3600)),
        hostile(lambda said: said.pop("exp") and None), hostile(lambda said: said.pop("sub") and None),
        hostile(lambda said: said.update(iat=said["iat"] + 3600)),
        hostile(lambda said: said.update(id_token="a.b.c"), "/token"), hostile(lambda said: said.pop("id_token") and None, "/token"),
        hostile(lambda said: [1], "/token"), foreign, shared,
        hostile(lambda said: said.update(keys=[]), "/jwks"), hostile(lambda said: said.update(keys=7), "/jwks"),
    ],
)  # fmt: skip
def test_what_the_provider_says_must_prove_it(known: PostRoom, provider: Any, bend: Callable[[Any], None]) -> None:
    bend(provider)
    browser = Browser(known)
    answer = browser.get(walk(browser))
    assert answer.status_code == 403 and "did not prove" in answer.text
    assert "gateway_session" not in browser.cookies
    with known.store.begin() as tx:
        assert people.find(tx, "morag") is None


@pytest.mark.parametrize(
    "change", [{"issuer": "http://evil.example"}, {"token_endpoint": None}, {"jwks_uri": "file:///etc/passwd"}]
)
def test_metadata_must_be_the_issuers_own(known: PostRoom, provider: Any, change: dict[str, Any]) -> None:
    provider.bent["/.well-known/openid-configuration"] = lambda said: said.update(change)
    assert Browser(known).get("/console/provider").status_code == 403


def test_a_token_without_signature_is_nothing(known: PostRoom, provider: Any) -> None:
    def unsigned(said: dict[str, Any]) -> None:
        parts = said["id_token"].split(".")
        header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        said["id_token"] = f"{header}.{parts[1]}."

    provider.bent["/token"] = unsigned
    browser = Browser(known)
    assert browser.get(walk(browser)).status_code == 403


@pytest.mark.parametrize("groups", [[], ["staff"], None, 7, ["glasgow-caseworkers", "auditors"], "staff"])
def test_no_role_or_two_is_none(known: PostRoom, provider: Any, groups: Any) -> None:
    provider.claims = {**provider.claims, "groups": groups}
    browser = Browser(known)
    answer = browser.get(walk(browser))
    assert answer.status_code == 403 and "no role here" in answer.text


def test_another_role_ends_what_was_begun_with_the_first(known: PostRoom, provider: Any) -> None:
    first, second = Browser(known), Browser(known)
    first.get(walk(first))
    provider.claims = {**provider.claims, "groups": "auditors", "preferred_username": "somebody-else"}
    second.get(walk(second))
    assert first.get("/console").headers["location"] == "/console/login"
    assert second.get("/console/audit").status_code == 200
    with known.store.begin() as tx:
        assert people.get(tx, "morag").person.role is Role.AUDITOR  # the same person, by issuer and subject


def test_a_name_that_is_somebody_elses_is_not_taken_over(known: PostRoom) -> None:
    add(known, person(Role.AUDITOR, "morag"))
    browser = Browser(known)
    assert browser.get(walk(browser)).status_code == 409
    assert "gateway_session" not in browser.cookies


def test_a_hub_that_is_not_there_and_a_disabled_person_are_let_in_nowhere(known: PostRoom, provider: Any) -> None:
    browser = Browser(known)
    browser.get(walk(browser))
    with known.store.begin() as tx:
        people.disable(tx, person(Role.CASEWORKER, "morag"), by="test")
    assert browser.get("/console").headers["location"] == "/console/login"
    assert browser.get(walk(browser)).status_code == 403
    provider.claims = {**provider.claims, "sub": "u-2", "preferred_username": "nessie", "groups": "nowhere"}
    assert browser.get(walk(browser)).status_code == 404


def test_nobody_answers_there(known: PostRoom, provider: Any, room: PostRoom) -> None:
    assert known.settings.people.oidc
    gone = known.settings.people.oidc.model_copy(update={"issuer": "http://127.0.0.1:9"})
    assert Browser(asking(room, oidc=gone)).get("/console/provider").status_code == 403
    assert Browser(room).get("/console/provider").status_code == 404
