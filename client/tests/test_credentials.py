"""How a client proves who it is: tokens are fetched, kept, and renewed."""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gateway_client import Client, ClientCredentials, NoAnswer, Unauthenticated, Unavailable, credentials, new_key
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from .conftest import DRAFT, OK, Answer, Gateway, told

EMPTY: Answer = (200, {"agencies": []}, {})


def granted(number: int = 1, lasting: int = 600) -> Answer:
    return 200, {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": lasting, "scope": "x"}, {}


@pytest.fixture
def keyed(gateway: Gateway) -> Client:
    return Client(gateway.url, ClientCredentials("cli_1", new_key()[0], scope="webhooks"), timeout=1, patience=2)


def form(body: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(body.decode()))


@pytest.mark.parametrize("kind", [OKPKey, ECKey])
def test_the_key_signs_an_assertion_for_this_gateway_and_this_once(gateway: Gateway, kind: Any) -> None:
    key = kind.generate_key()
    gateway.answers = [granted(lasting=0), EMPTY, granted(lasting=0), EMPTY]
    with Client(gateway.url, ClientCredentials("cli_1", key.as_dict(private=True), scope="webhooks")) as client:
        client.agencies()
        client.agencies()
    sent = [form(body) for _, path, _, body in gateway.seen if path == "/v1/token"]
    assert [one["grant_type"] for one in sent] == ["client_credentials"] * 2
    assert {one["scope"] for one in sent} == {"webhooks"}
    read = [jwt.decode(one["client_assertion"], key, algorithms=["Ed25519", "ES256"]).claims for one in sent]
    assert {(one["iss"], one["sub"], one["aud"]) for one in read} == {("cli_1", "cli_1", gateway.url)}
    assert all(0 < one["exp"] - time.time() <= 61 for one in read)
    assert len({one["jti"] for one in read}) == 2
    assert {headers["authorization"] for _, path, headers, _ in gateway.seen if path != "/v1/token"} == {
        "Bearer token-1"
    }


def test_a_secret_is_sent_as_basic_credentials(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    gateway.answers = [granted(), EMPTY]
    with Client(gateway.url, ClientCredentials("cli_1", secret="s:%1")) as client:
        client.agencies()
    assert gateway.seen[0][2]["authorization"] == f"Basic {base64.b64encode(b'cli_1:s%3A%251').decode()}"
    assert "secret" not in gateway.seen[0][3].decode()
    gateway.answers, gateway.seen = [granted(), EMPTY], []
    with Client(gateway.url, ClientCredentials("cli_1", new_key()[0])) as client:
        client.agencies()
    assert "authorization" not in gateway.seen[0][2]  # a .netrc does not take its place


def test_a_token_is_kept_while_it_holds_and_renewed_before_it_ends(
    gateway: Gateway,
    keyed: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now[0])
    gateway.answers = [granted(1), EMPTY, EMPTY, granted(2), EMPTY]
    keyed.agencies()
    now[0] += 479
    keyed.agencies()
    now[0] += 2
    keyed.agencies()
    assert [path for _, path, _, _ in gateway.seen] == [
        "/v1/token",
        "/v1/agencies",
        "/v1/agencies",
        "/v1/token",
        "/v1/agencies",
    ]
    assert gateway.seen[-1][2]["authorization"] == "Bearer token-2"


def test_a_token_that_is_refused_is_renewed_once(gateway: Gateway, keyed: Client) -> None:
    gateway.answers = [granted(1), told(401, "unauthenticated"), granted(2), OK]
    assert keyed.record_consent({}) is not None  # though it is never repeated: a 401 took nothing
    gateway.answers = [told(401, "unauthenticated"), granted(3), told(401, "unauthenticated")]
    with pytest.raises(Unauthenticated):
        keyed.agencies()


def test_what_goes_wrong_with_a_token_is_told_as_anything_else(gateway: Gateway, keyed: Client) -> None:
    gateway.answers = [(401, {"error": "invalid_client", "error_description": "No."}, {})]
    with pytest.raises(Unauthenticated, match="401 invalid_client: No"):
        keyed.agencies()
    gateway.answers = [None]
    with pytest.raises(NoAnswer):
        keyed.agencies()
    gateway.answers = [(200, b"<html>", {})]
    with pytest.raises(Exception, match="200 about:blank"):
        keyed.agencies()
    gateway.answers = [(429, {}, {"Retry-After": "3600"})]
    with pytest.raises(Unavailable) as caught:
        keyed.agencies()
    assert caught.value.retry_after == 3600


def test_nothing_was_sent_without_a_token_so_it_is_tried_again(gateway: Gateway, keyed: Client) -> None:
    gateway.answers = [None, (503, {}, {}), granted(), OK]
    keyed.record_consent(DRAFT)
    assert [path for _, path, _, _ in gateway.seen] == ["/v1/token"] * 3 + ["/v1/consents"]


def test_a_new_key_is_kept_for_oneself(tmp_path: Path) -> None:
    path = tmp_path / "hub.jwk"
    command = [sys.executable, "-m", "gateway_client", "new-key", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    public, private = json.loads(done.stdout), json.loads(path.read_text())
    assert "d" not in public
    assert path.stat().st_mode & 0o777 == 0o600
    assert OKPKey.import_key(private).as_dict(private=False) == public
    ClientCredentials("cli_1", path)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, "File exists" in again.stderr) == (1, True)
    assert json.loads(path.read_text()) == private
    wrong = subprocess.run(command[:3], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("usage:")) == (2, True)


def test_credentials_that_are_none_are_said() -> None:
    with pytest.raises(ValueError, match="give a private_key or a secret"):
        ClientCredentials("cli_1")
    with pytest.raises(ValueError, match="only its public part"):
        ClientCredentials("cli_1", new_key()[1])
    assert "gws_1" not in repr(ClientCredentials("cli_1", secret="gws_1"))
