"""A bad setting stops the start with one line that names it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import plugins, settings
from gateway.errors import Misconfigured

AGENCY: dict[str, Any] = {
    "adapter": "housing",
    "base_url": "https://housing.example/api/",
    "areas": ["glasgow"],
    "credentials": {"client_id": "a", "client_secret": "env:HOUSING_SECRET", "callback_secret": "whsec_AAAA"},
}


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads settings and adapters from a file with these contents."""
    monkeypatch.setenv("HOUSING_SECRET", "secret-from-the-environment")

    def load(document: Any, agency: dict[str, Any] | None = None) -> settings.Settings:
        if agency is not None:
            document = {**document, "agencies": {"glasgow-housing": {**AGENCY, **agency}}}
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
    assert "secret-from-the-environment" not in repr(loaded) + str(loaded.model_dump()) + repr(agency)


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
        ({}, {"areas": ["atlantis"]}, "setting agencies.glasgow-housing.areas.0:"),
        ({}, {"areas": []}, "setting agencies.glasgow-housing.areas:"),
        ({}, {"deadline": "2m"}, "setting agencies.glasgow-housing.deadline:"),
        ({}, {"credentials": {"client_id": "env:NO_SUCH_THING"}}, "the environment has no NO_SUCH_THING"),
        ({}, {"credentials": {"client_id": "file:/no/such/file"}}, "cannot read /no/such/file"),
        ({}, {"credentials": {"client_id": "a"}}, "setting agencies.glasgow-housing.credentials.client_secret:"),
        ({}, {"adapter": "pigeon"}, "adapter pigeon: no installed distribution offers it"),
        ({}, {"settings": {"colour": "red"}}, "setting agencies.glasgow-housing.settings.colour:"),
        ("agencies: [", None, "the settings cannot be read"),
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
