"""What the documents say is true: their Python runs, their YAML loads, their tables match."""

import re
from pathlib import Path
from typing import Any

import gateway_schemas
import pytest
import yaml

from gateway import cli
from gateway.settings import Settings

HOME = Path(__file__).parents[2]
PAGES = [
    HOME / "README.md",
    HOME / "CONTRIBUTING.md",
    *sorted((HOME / "docs").glob("*.md")),
    *HOME.glob("plugins/*/README.md"),
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


def test_the_settings_of_the_operations_guide_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [example] = blocks(HOME / "docs" / "operations.md", "yaml")
    secret = tmp_path / "secret"
    secret.write_text("s")
    example = re.sub(r"file:/run/secrets/[\w-]+", f"file:{secret}", example)
    monkeypatch.setenv("HOUSING_CLIENT_ID", "id")
    loaded = Settings(**yaml.safe_load(example))
    assert loaded.retry == Settings().retry  # the guide shows the defaults
    assert (loaded.ask, loaded.poll) == (Settings().ask, Settings().poll)


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
    for noun, verb in re.findall(r"`gateway ([a-z]+)(?: ([a-z]+))?", text):
        assert noun in groups[""], noun
        assert not (verb and noun in groups) or verb in groups[noun], f"{noun} {verb}"
