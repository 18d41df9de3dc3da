"""Alerts on the wire: signed so that a receiver can be sure, and mailed to a server that proves who it is."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway import wire
from gateway.errors import MaybeSent, NotSent
from gateway.settings import AlertSettings
from tests.rooms.wire.hostile import Certificates, Hostile, always, reply, serving
from tests.rooms.wire.mailbox import receiving

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def posted(server: Hostile, place: int = 0) -> tuple[dict[str, str], Any]:
    """The headers and the document of a request that *server* got."""
    head, _, body = server.requests[place].partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    return {name.lower(): value for name, value in lines}, json.loads(body)


def test_a_post_is_signed_and_the_receiver_can_tell_a_forged_one() -> None:
    with serving(always(reply(b"", "204 No Content"))) as server:
        settings = AlertSettings(webhook=f"{server.url}/alerts/", secret=SECRET)  # type: ignore[arg-type]
        assert wire.post(settings, "alr_1", '{"type": "x"}') == 204
    headers, document = posted(server)
    assert server.requests[0].startswith(b"POST /alerts/ HTTP/1.1")
    assert headers["webhook-id"] == "alr_1"
    assert Webhook(SECRET).verify(json.dumps(document), headers) == {"type": "x"}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify('{"type": "y"}', headers)


def test_without_a_secret_nothing_is_signed_and_redirects_lead_nowhere() -> None:
    moved = always(reply(b"", "302 Found", "text/plain", "Location: http://127.0.0.1:1/"))
    with serving(moved) as server, pytest.raises(MaybeSent, match="redirected"):
        wire.post(AlertSettings(webhook=server.url), "alr_1", "{}")
    assert "webhook-signature" not in posted(server)[0]


def box(port: int, **changes: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "sender": "gateway@hub.example",
        "to": ["a@hub.example", "b@hub.example"],
        **changes,
    }


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_goes_by_tls_with_a_login(tmp_path: Path, security: str) -> None:
    certificates = Certificates(tmp_path)
    with receiving(certificates.server("mail"), at_once=security == "tls") as server:
        mail = box(server.port, username="gateway", password="secret", security=security)
        settings = AlertSettings(mail=mail, ca_file=certificates.authority)  # type: ignore[arg-type]
        wire.mail(settings, "alr_1", AT, "It is down", "Nobody answers.")
    [(recipients, message)] = server.mails
    assert (server.encrypted, server.logins) == ([True], ["gateway secret"])
    assert recipients == ["a@hub.example", "b@hub.example"]
    assert (message["subject"], message["message-id"]) == ("It is down", "<alr_1@hub.example>")
    assert message.get_content() == "Nobody answers."


@pytest.mark.parametrize(
    "how", ["unknown authority", "unknown, at once", "another name", "no starttls", "refusing", "nobody there"]
)
def test_a_mail_server_that_cannot_be_trusted_or_does_not_want_it_gets_nothing(tmp_path: Path, how: str) -> None:
    certificates, at_once, another = Certificates(tmp_path), how == "unknown, at once", how == "another name"
    named = certificates.server("mail", host="127.0.0.2" if another else "127.0.0.1")
    with receiving(named if how.startswith("unknown") or another else None, at_once) as server:
        server.refusing = how == "refusing"
        security = "none" if how == "refusing" else "tls" if at_once else "starttls"
        mail = box(1 if how == "nobody there" else server.port, security=security)
        settings = AlertSettings(mail=mail, ca_file=certificates.authority if another else None)  # type: ignore[arg-type]
        with pytest.raises(NotSent, match="mail_not_taken"):
            wire.mail(settings, "alr_1", AT, "s", "t")
    assert not server.mails
