"""A bad setting stops the start with one line that names it."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from gateway import plugins, settings
from gateway.errors import Misconfigured

AGENCY: dict[str, Any] = {
    "adapter": "housing",
    "base_url": "https://housing.example/api/",
    "areas": ["glasgow"],
    "credentials": {"client_id": "a", "client_secret": "env:HOUSING_SECRET", "callback_secret": "whsec_AAAA"},
}

MAIL = {"host": "mail.example", "sender": "a@x.example", "to": ["b@x.example"]}
OIDC = {
    "issuer": "https://login.example", "client_id": "c", "redirect_uri": "https://g.example/c", "groups": {},
}  # fmt: skip
HAND = {"adapter": "by-hand", "base_url": None}  # None: leave it out


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads settings and adapters from a file with these contents."""
    monkeypatch.setenv("HOUSING_SECRET", "secret-from-the-environment")

    def load(document: Any, agency: dict[str, Any] | None = None) -> settings.Settings:
        if agency is not None:
            whole = {name: value for name, value in {**AGENCY, **agency}.items() if value is not None}
            document = {**document, "agencies": {"glasgow-housing": whole}}
        path = tmp_path / "gateway.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        monkeypatch.setenv("GATEWAY_CONFIG", str(path))
        loaded = settings.load()
        plugins.load(loaded)
        return loaded

    return load


def test_a_good_file(configured: Any) -> None:
    loaded = configured({"retry": ["5s", "5m"], "port": 9000}, {"deadline": "10s"})
    agency = plugins.load(loaded)["glasgow-housing"]
    assert agency.settings.base_url == "https://housing.example/api"
    assert agency.credentials["client_secret"] == "secret-from-the-environment"
    assert [pause.total_seconds() for pause in loaded.retry] == [5, 300]
    assert agency.hours is None
    assert "secret-from-the-environment" not in repr(loaded) + str(loaded.model_dump()) + repr(agency)


def test_opening_hours_are_read_from_yaml(configured: Any) -> None:
    text = """
        agencies:
          office:
            adapter: nhs
            base_url: https://health.example
            areas: [glasgow]
            credentials: {api_key: a, callback_token: b}
            hours: {mon-fri: 09:00-17:00, sat: "10:00-12:00"}
            hours_except: [stat]
            closed_on: [2026-12-25]
            calls_a_minute: 30
    """
    agency = plugins.load(configured(text))["office"]
    assert agency.hours is not None
    assert agency.hours.week[5:] == (((600, 720),), ())
    assert agency.hours.closed_on == {date(2026, 12, 25)}
    assert agency.exempt == {"stat"}


@pytest.mark.parametrize("purpose", ["housing", "social-security", "health-care"])
def test_an_agency_that_is_reached_by_hand(configured: Any, purpose: str) -> None:
    loaded = configured({}, {**HAND, "credentials": {}, "settings": {"purpose": purpose}})
    agency = plugins.load(loaded)["glasgow-housing"]
    assert agency.purpose == purpose
    assert "/person/name" in agency.adapter.needs.required
    assert {"identity", "request"} <= agency.required_categories


def test_the_environment_wins(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9100")
    assert configured({"port": 9000}).port == 9100


@pytest.mark.parametrize(
    ("document", "agency", "says"),
    [
        ({"ports": 1}, None, "setting ports:"),
        ({"port": 70_000}, None, "setting port:"),
        ({"retry": ["soon"]}, None, "setting retry.0:"),
        ({"log_level": "CHATTY"}, None, "setting log_level:"),
        ({"agencies": {"Bad Name": AGENCY}}, None, "setting agencies.Bad Name"),
        ({}, {"base_url": "ftp://x"}, "setting agencies.glasgow-housing.base_url:"),
        ({}, {"base_url": "https://user:secret@x.example"}, "setting agencies.glasgow-housing.base_url:"),
        ({}, {"base_url": ""}, "setting agencies.glasgow-housing.base_url:"),
        ({}, {"adapter": "by-hand", "settings": {"purpose": "housing"}}, "glasgow-housing.base_url: leave it out"),
        ({}, {**HAND, "settings": {}}, "setting agencies.glasgow-housing.settings.purpose:"),
        ({}, {**HAND, "settings": {"purpose": "statistics"}}, "setting agencies.glasgow-housing.settings.purpose:"),
        (
            {},
            {**HAND, "settings": {"purpose": "housing", "needs": ["name"]}},
            "glasgow-housing.settings.needs: 'name' is",
        ),
        ({}, {**HAND, "settings": {"purpose": "housing", "needs": ["/person/shoe"]}}, "/person/shoe is not in the"),
        ({}, {"areas": ["atlantis"]}, "setting agencies.glasgow-housing.areas.0:"),
        ({}, {"areas": []}, "setting agencies.glasgow-housing.areas:"),
        ({}, {"deadline": "2m"}, "setting agencies.glasgow-housing.deadline:"),
        ({}, {"credentials": {"client_id": "env:NO_SUCH_THING"}}, "the environment has no NO_SUCH_THING"),
        ({}, {"credentials": {"client_id": "file:/no/such/file"}}, "cannot read /no/such/file"),
        ({}, {"credentials": {"client_id": "a"}}, "setting agencies.glasgow-housing.credentials.client_secret:"),
        ({}, {"adapter": "pigeon"}, "adapter pigeon: no installed distribution offers it"),
        ({}, {"settings": {"colour": "red"}}, "setting agencies.glasgow-housing.settings.colour:"),
        ({}, {"hours": {"monday": "09:00-17:00"}}, "setting agencies.glasgow-housing.hours: 'monday' is no day"),
        ({}, {"hours_except": ["soon"]}, "setting agencies.glasgow-housing.hours_except.0:"),
        ({}, {"closed_on": ["Christmas"]}, "setting agencies.glasgow-housing.closed_on.0:"),
        ({}, {"calls_a_minute": 0}, "setting agencies.glasgow-housing.calls_a_minute:"),
        ({"lease": "50s"}, {"calls_a_minute": 9}, "setting lease: must be 60s or more"),
        ({"alerts": {"webhook": "https://x.example/?token=1"}}, None, "setting alerts.webhook:"),
        ({"alerts": {"webhook": "https://x.example", "secret": "secret@1"}}, None, "setting alerts.secret: "),
        (
            {"alerts": {"mail": {"host": "mail.example", "sender": "a@x.example", "to": []}}},
            None,
            "setting alerts.mail.to:",
        ),
        ({"tokens": {"keys": ["secret@1"]}}, None, "setting tokens.keys.0: "),
        ({"tokens": {"lasting": "2h"}}, None, "setting tokens.lasting:"),
        ({"trusted_proxies": ["proxy.example"]}, None, "setting trusted_proxies.0"),
        ({"rates": {"calls_a_minute": 0}}, None, "setting rates.calls_a_minute:"),
        ("agencies: [", None, "the settings cannot be read"),
        ({"mode": "debug"}, None, "setting mode:"),
        (
            {"agencies": {"a": AGENCY, "b": AGENCY}},
            None,
            "setting agencies.b.credentials.callback_secret: a has the same",
        ),
    ],
)
def test_a_bad_setting_is_named(configured: Any, document: Any, agency: dict[str, Any] | None, says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        configured(document, agency)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", "/no/such/gateway.yaml")
    with pytest.raises(Misconfigured, match=r"there is no file /no/such/gateway\.yaml"):
        settings.load()


SECRET_NAMES = re.compile(r"key|secret|token|password|credential|url$|webhook$")
NO_SECRETS = {  # what is called like one
    "tokens", "public_url", "tokens_a_minute", "key_service", "agencies.*.base_url", "agencies.*.client_key",
}  # fmt: skip


def fields(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, Any]]:
    """``(place, annotation)`` of every field of *model* and of the models in it."""
    for name, field in model.model_fields.items():
        yield place + name, field.annotation
        for inner, path in inside(field.annotation):
            yield from fields(inner, f"{place}{name}.{path}")


def inside(annotation: Any, path: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
    for part in get_args(annotation):
        yield from inside(part, "*." if get_origin(annotation) in (dict, list) else path)


def holds_secrets(annotation: Any) -> bool:
    return annotation is SecretStr or any(holds_secrets(part) for part in get_args(annotation))


def test_whatever_is_called_like_a_secret_is_one() -> None:
    found = dict(fields(settings.Settings))
    assert len(found) > 100
    plain = {
        place
        for place, annotation in found.items()
        if SECRET_NAMES.search(place.rpartition(".")[2]) and not holds_secrets(annotation)
    }
    assert {place.removeprefix("rates.") for place in plain} == NO_SECRETS
    assert {place for place, annotation in found.items() if holds_secrets(annotation)} == set(SECRETS)


SECRETS: dict[str, Any] = {  # every setting that is secret, and where a value of its own goes
    "database_url": {"database_url": "postgresql://g:CANARY@db.example/g"},
    "broker_url": {"broker_url": "amqps://g:CANARY@broker.example//"},
    "master_key": {"master_key": "CANARY"},
    "master_keys": {"master_keys": {2: "CANARY"}},
    "audit_key": {"audit_key": "CANARY"},
    "metrics_token": {"metrics_token": "CANARY-of-16-characters"},
    "tokens.keys": {"tokens": {"keys": [base64.b64encode(b"CANARY".ljust(32)).decode()]}},
    "agencies.*.credentials": {"agencies": {"a": {**AGENCY, "credentials": {"client_secret": "CANARY"}}}},
    "alerts.webhook": {"alerts": {"webhook": "https://pager.example/CANARY"}},
    "alerts.secret": {"alerts": {"secret": "whsec_" + base64.b64encode(b"CANARY".ljust(24)).decode()}},
    "alerts.mail.password": {"alerts": {"mail": {**MAIL, "password": "CANARY"}}},
    "people.oidc.client_secret": {"people": {"oidc": {**OIDC, "client_secret": "CANARY"}}},
}


@pytest.mark.parametrize("place", SECRETS)
def test_no_dump_of_the_settings_shows_a_secret(place: str, configured: Any, tmp_path: Path) -> None:
    whole = json.dumps(SECRETS[place])
    [secret] = re.findall(r'"([^"]*(?:CANARY|Q0FOQVJZ)[^"]*)"', whole)
    loaded = settings.Settings(**SECRETS[place])
    shown = repr(loaded) + str(loaded) + str(loaded.model_dump()) + loaded.model_dump_json() + str(vars(loaded))
    assert "CANARY" not in shown
    assert "Q0FOQVJZ" not in shown
    (tmp_path / "secret").write_text(secret + "\n")
    by_file = json.loads(whole.replace(secret, f"file:{tmp_path / 'secret'}"))
    assert settings.Settings(**by_file) == loaded  # from a file, as from the environment


def test_an_error_of_the_settings_quotes_nothing() -> None:
    with pytest.raises(ValidationError) as told:
        settings.Settings(metrics_token="CANARY")
    assert "metrics_token" in str(told.value)
    assert "CANARY" not in str(told.value)
