"""What a hub's developer reads and does, on a running gateway."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_client import Changed, Client, ClientCredentials, Forbidden, Unauthenticated
from gateway_client.__main__ import main as new_key_command
from gateway_client.answers import Event

from gateway.vault import generate
from tests.rooms.wire.hostile import always, reply, serving
from tests.running import Gateway
from tests.support import HOUSING, consent, referral
from tests.walks.test_journey import cli

README = Path(__file__).parents[2] / "client" / "README.md"


@pytest.fixture
def more() -> dict[str, Any]:
    return {"tokens": {"keys": [generate()]}}


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_of_the_clients_readme(
    walk: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_URL", walk.base)
    monkeypatch.setenv("GATEWAY_KEY", walk.key)
    record = consent()
    scope: dict[str, Any] = {"consent": record, "referral": referral("con_", HOUSING)}
    exec(examples()[0], scope)
    assert f"{HOUSING} delivered" in capsys.readouterr().out
    changed = {**record, "ends_at": (datetime.now(UTC) + timedelta(days=60)).isoformat()}
    agreed = scope["agreed"]
    assert walk.hub.change_consent(agreed["id"], changed, agreed["version"])["kind"] == "renewed"
    with pytest.raises(Changed):
        walk.hub.change_consent(agreed["id"], changed, agreed["version"])
    assert walk.hub.change_contact(scope["accepted"]["id"], {})["id"] == scope["accepted"]["id"]
    assert walk.hub.withdraw(agreed["id"], recipients=["glasgow-health"])["withdrawn"] is False
    assert walk.hub.withdraw(agreed["id"])["withdrawn"] is True


def test_a_client_with_a_key_of_its_own(
    walk: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_URL", walk.base)
    assert new_key_command(["new-key", "hub.jwk"]) == 0
    Path("public.jwk").write_text(capsys.readouterr().out)
    arguments = ("--public-key", "public.jwk", "--scope", "directory:read")
    name = cli(walk, "clients", "add", "glasgow-hub", *arguments).stdout.strip()
    exec("import os\nimport gateway_client as gw\n" + examples()[1].replace("cli_...", name), {})
    assert HOUSING in capsys.readouterr().out
    who = ClientCredentials(name, "hub.jwk")
    with Client(walk.base, who) as hub:
        with pytest.raises(Forbidden, match="events:read"):
            hub.events()
        assert cli(walk, "clients", "revoke", name).returncode == 0
        with pytest.raises(Unauthenticated):
            walk.wait("it is shut out", lambda: not hub.agencies(), patience=3)


def test_a_hub_is_told_what_it_could_have_asked(walk: Gateway) -> None:
    told: list[Event] = []
    ids: set[str] = set()
    scope: dict[str, Any] = {
        "remember": told.append,
        "first_time": lambda identifier: not (identifier in ids or ids.add(identifier)),  # type: ignore[func-returns-value]
    }
    exec("import gateway_client as gw\n" + examples()[2], scope)

    with serving(always(reply(b"", "204 No Content"))) as receiver:

        def read() -> int:
            """Hand over what came to the example. Returns how many events it knows."""
            for request in receiver.requests:
                head, _, body = request.partition(b"\r\n\r\n")
                scope["take"](dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body)
            return len(told)

        made = walk.hub.webhooks.create(receiver.url + "/events")
        scope["SECRET"] = scope["SECRET_BEFORE"] = made["secret"]
        identifier = walk.submit(referral(walk.consent(consent())))
        walk.settled(identifier)
        walk.wait("it is told", lambda: read() == len(walk.hub.events()["events"]))
        scope["SECRET"] = walk.hub.webhooks.rotate(made["id"])["secret"]
        delivery = walk.hub.webhooks.test(made["id"])
        walk.wait("the test arrives", lambda: walk.hub.delivery(delivery)["state"] == "delivered")
        read()
        [listed] = json.loads(cli(walk, "webhooks", "list", "--json").stdout)
        assert (listed["id"], listed["hub"], listed["state"]) == (made["id"], "glasgow-hub", "on")

    stop = threading.Event()
    followed = []
    for event in walk.hub.follow(stop=stop):
        followed.append(event)
        if event["type"] == "webhook.test":
            stop.set()
    assert sorted(told, key=lambda event: int(event["id"])) == followed
    assert {event.get("referral") for event in followed} == {identifier, None}
