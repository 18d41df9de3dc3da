"""What an administrator types to let a hub's machines in, and to renew what they prove themselves with."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.errors import NotFound
from gateway.policy.scopes import Scope
from tests.rooms.cli.conftest import Operator


def rows(gateway: Operator, noun: str, hub: str = "dundee-hub") -> list[dict[str, Any]]:
    done = gateway(noun, "list", "--json")
    assert done.exit_code == 0, done.output
    return [row for row in json.loads(done.stdout) if row["hub"] == hub]


def test_a_key_is_given_for_some_things_and_a_while(gateway: Operator) -> None:
    done = gateway("hubs", "add", "dundee-hub", "--scope", "events:read", "--scope", "webhooks", "--lasting", "90d")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("gw_")
    [row] = rows(gateway, "hubs")
    assert row["scopes"] == ["events:read", "webhooks"]
    assert row["expires_at"] > row["created_at"]
    assert done.stdout.strip() not in json.dumps(row)
    assert gateway("hubs", "add", "dundee-hub", "--scope", "all").exit_code == 0
    assert set(rows(gateway, "hubs")[1]["scopes"]) == set(Scope)
    assert "events:read webhooks" in gateway("hubs", "list").stdout


@pytest.mark.parametrize("noun", ["hubs", "clients"])
def test_who_is_given_nothing_more_may_refer_and_no_more(gateway: Operator, noun: str) -> None:
    assert gateway(noun, "add", "dundee-hub").exit_code == 0
    assert rows(gateway, noun)[0]["scopes"] == ["consents:write", "referrals:read", "referrals:write"]


def test_a_key_is_rotated_and_revoked(gateway: Operator) -> None:
    gateway("hubs", "add", "dundee-hub", "--scope", "webhooks")
    [old] = rows(gateway, "hubs")
    done = gateway("hubs", "rotate", old["key"], "--overlap", "1h")
    assert done.stdout.startswith("gw_"), done.output
    before, after = rows(gateway, "hubs")
    assert (before["key"], after["scopes"], after["expires_at"]) == (old["key"], ["webhooks"], None)
    assert before["expires_at"] is not None
    assert gateway("hubs", "revoke", old["key"]).exit_code == 0
    for arguments in (
        ("hubs", "rotate", old["key"]),
        ("hubs", "revoke", "key_0"),
        ("clients", "rotate", "cli_0"),
        ("clients", "revoke", "cli_0"),
    ):
        assert isinstance(gateway(*arguments).exception, NotFound)


def test_a_client_is_registered_rotated_and_revoked(gateway: Operator, tmp_path: Path) -> None:
    public = tmp_path / "hub.jwk"
    public.write_text(json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=False)))
    done = gateway("clients", "add", "dundee-hub", "--public-key", str(public), "--bound", "--scope", "webhooks")
    name = done.stdout.strip()
    assert name.startswith("cli_"), done.output
    assert done.stderr.splitlines() == [
        "access tokens are off: set tokens.keys; see docs/operations.md",
        "no certificate reaches the gateway: set certificate_header and trusted_proxies",
    ]
    [row] = rows(gateway, "clients")
    assert (row["client"], row["bound"], row["credentials"]) == (name, True, "Ed25519")
    assert gateway("clients", "rotate", name, "--public-key", str(public), "--overlap", "2h").stdout == ""
    assert rows(gateway, "clients")[0]["credentials"].startswith("Ed25519 until ")
    secret = gateway("clients", "rotate", name, "--overlap", "0s").stdout.strip()
    assert secret.startswith("gws_")
    [row] = rows(gateway, "clients")
    assert row["credentials"] == "secret"
    assert secret not in json.dumps(row)
    assert gateway("clients", "revoke", name).exit_code == 0
    assert rows(gateway, "clients")[0]["revoked_at"] is not None
    with_secret = gateway("clients", "add", "dundee-hub").stdout.split()
    assert [word.partition("_")[0] for word in with_secret] == ["cli", "gws"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("hubs", "add", "h", "--scope", "all", "--scope", "webhooks"), "there is no scope all; known are"),
        (("hubs", "add", "h", "--scope", "everything"), "there is no scope everything; known are"),
        (("hubs", "add", "h", "--lasting", "soon"), "give a time such as 90d, 24h or 30m"),
        (("hubs", "rotate", "key_0", "--overlap", "-1h"), "give a time such as 90d, 24h or 30m"),
        (("clients", "add", "h", "--public-key", "/no/such/file"), "does not exist"),
        (("clients", "add", "h", "--public-key", "PRIVATE"), "This is a private key"),
        (("clients", "add", "h", "--public-key", "NONSENSE"), "This is no public key"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(
    gateway: Operator,
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    files = {"PRIVATE": json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)), "NONSENSE": "nonsense"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = gateway(*(str(tmp_path / word) if word in files else word for word in arguments))
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
