"""What the documents say is true: their Python runs, their YAML loads, their tables match."""

import json
import re
from pathlib import Path
from typing import Any

import gateway_schemas
import pytest
import yaml
from prometheus_client import generate_latest

from gateway import cli, metrics, plugins
from gateway.api import examples
from gateway.authentication import Authentication
from gateway.policy import contract
from gateway.policy.scopes import MEANINGS
from gateway.settings import AgencySettings, Settings
from gateway.store.session import Store
from gateway.vault import Vault, generate

HOME = Path(__file__).parents[2]
PAGES = [
    HOME / "README.md",
    HOME / "CONTRIBUTING.md",
    *sorted((HOME / "docs").glob("*.md")),
    *HOME.glob("plugins/*/README.md"),
    HOME / "client" / "README.md",
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_authors_guide_runs_and_its_adapter_conforms() -> None:
    code = "\n".join(blocks(HOME / "docs" / "adapter-author.md", "python"))
    scope: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "adapter-author.md", "exec"), scope)
    suite = scope["TestAdvice"]()
    checks = [name for name in dir(suite) if name.startswith("test_")]
    assert len(checks) > 15
    for name in checks:
        getattr(suite, name)()
    with scope["AdviceSimulator"]() as simulator:
        import requests

        request = scope["Advice"]().translate(suite.referral())
        headers = {"Idempotency-Key": request.idempotency_key}
        answers = [
            requests.post(simulator.base_url() + request.path, data=request.body(), headers=headers, timeout=5)
            for _ in range(2)
        ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, {"id": "A-1"}), (200, {"id": "A-1"})]


def test_the_categories_are_listed() -> None:
    text = (HOME / "docs" / "adapter-author.md").read_text("utf-8")
    for code, category in gateway_schemas.categories().items():
        assert f"| `{code}` | {category['title']} | {'needed' if category['needsConsent'] else 'free'} |" in text


def of_operations(key: str) -> str:
    """The YAML of the operations guide that has *key* at its top."""
    [found] = [text for text in blocks(HOME / "docs" / "operations.md", "yaml") if key in yaml.safe_load(text)]
    return found


def test_the_settings_of_the_operations_guide_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    example = of_operations("agencies")
    secret = tmp_path / "secret"
    secret.write_text("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY")
    example = re.sub(r"file:/run/secrets/[\w-]+", f"file:{secret}", example)
    monkeypatch.setenv("HOUSING_CLIENT_ID", "id")
    loaded = Settings(**yaml.safe_load(example))
    assert loaded.retry == Settings().retry  # the guide shows the defaults
    assert (loaded.ask, loaded.poll) == (Settings().ask, Settings().poll)
    assert loaded.alerts.channels == ["webhook", "mail"]
    assert [agency.hours is not None for agency in plugins.load(loaded).values()] == [True]


def test_the_metrics_are_listed() -> None:
    given = generate_latest(
        metrics.Collector(metrics.Seen(["a"], [], {}, {}, set(), set(), {"audit": 0, "events": 0}))
    ).decode()
    helps = dict(re.findall(r"^# HELP (\w+) (.*)$", given, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", given, re.MULTILINE))
    labels = {watched.name: ", ".join(watched.labels) or "–" for watched in metrics.WATCHED}
    text = (HOME / "docs" / "operations.md").read_text("utf-8")
    listed = re.findall(r"^\| `(gateway_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert listed == [(name, kinds[name], labels[name], helps[name]) for name in helps]


def test_the_alerts_speak_of_metrics_there_are() -> None:
    known = {watched.name: watched for watched in metrics.WATCHED}
    [group] = yaml.safe_load(of_operations("groups"))["groups"]
    used = set()
    for rule in group["rules"]:
        names = re.findall(r"gateway_\w+", rule["expr"])
        used |= set(names)
        assert set(names) <= set(known), rule["alert"]
        shared = set.intersection(*(set(known[name].labels) for name in names)) if names else set()
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= shared, rule["alert"]
        assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))
    assert len(used) > 5
    [job] = yaml.safe_load(of_operations("scrape_configs"))["scrape_configs"]
    assert job["job_name"] in group["rules"][0]["expr"]


def test_the_agency_of_the_guide_to_delivery_by_hand_loads() -> None:
    [example] = blocks(HOME / "docs" / "by-hand.md", "yaml")
    agency = plugins.load(Settings(**yaml.safe_load(example)))["glasgow-refuge"]
    assert agency.settings.by_hand
    assert agency.adapter.needs.required == ("/person/name", "/request/ask")
    assert agency.settings.remind_after == AgencySettings(adapter="by-hand", areas=["glasgow"]).remind_after


def test_the_request_of_the_guide_to_the_directory_is_one() -> None:
    [example] = blocks(HOME / "docs" / "directory.md", "json")
    draft = {**examples.REFERRAL, "requests": [json.loads(example)]}
    assert contract.problems("referral", draft) == []


def test_the_settings_of_the_consent_guide_load() -> None:
    [example] = blocks(HOME / "docs" / "consent.md", "yaml")
    assert Settings(**yaml.safe_load(example)).hubs["glasgow-hub"].other_bases == ["vital-interests", "safeguarding"]
    assert not Settings().hubs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_links_and_commands_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    import typer.main

    known = typer.main.get_command(cli.app)
    groups = {"": set(known.commands)} | {
        n: set(c.commands) for n, c in known.commands.items() if hasattr(c, "commands")
    }  # type: ignore[attr-defined]
    for noun, verb in re.findall(r"`gateway ([a-z-]+)(?: ([a-z-]+))?", text):
        assert noun in groups[""], noun
        assert not (verb and noun in groups) or verb in groups[noun], f"{noun} {verb}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_the_tests_that_hold_a_claim_exist(page: Path) -> None:
    for file, test in re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?", page.read_text("utf-8")):
        if "tests/" in file:
            assert (HOME / file).is_file(), file
            assert not test or f"def {test}(" in (HOME / file).read_text("utf-8"), f"{file}::{test}"


def test_the_hubs_guide_lists_every_event() -> None:
    text = (HOME / "docs" / "hubs.md").read_text("utf-8")
    listed = [
        name
        for row in re.findall(r"^\| (`\w+\.[\w-]+`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`([\w.-]+)`", row)
    ]
    assert sorted(listed) == sorted(gateway_schemas.load("event")["properties"]["type"]["enum"])


def test_the_hubs_guide_lists_every_scope() -> None:
    text = (HOME / "docs" / "hubs.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+(?::[a-z]+)?)` \| ([a-z].*) \|$", text, re.MULTILINE)
    assert listed == [(str(scope), meaning) for scope, meaning in MEANINGS.items()]


def test_the_callers_settings_of_the_operations_guide_are_the_defaults(tmp_path: Path) -> None:
    secret = tmp_path / "token-key"
    secret.write_text(generate())
    loaded = Settings(**yaml.safe_load(of_operations("rates").replace("/run/secrets/token-key", str(secret))))
    assert (loaded.rates, loaded.tokens.lasting) == (Settings().rates, Settings().tokens.lasting)
    assert loaded.issuer == "https://gateway.example"
    Authentication(Store("postgresql://", Vault(generate())), loaded)
