"""The architecture itself: floors, wheels, migrations, settings, names."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from gateway.delivery import codes
from gateway.embedded import Postgres
from gateway.policy.lifecycle import DELIVERY
from gateway.settings import AREAS
from gateway.store import schema

HOME = Path(__file__).parents[2]
DISTRIBUTIONS = ["schemas", "plugins/sdk", "plugins/housing", "plugins/social_security", "plugins/nhs", "client", "."]


def test_the_floors_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "0 broken" in done.stdout


def test_the_benchmarks_find_what_they_are_made_of() -> None:
    assert callable(import_module("benchmarks.__main__").main)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every distribution, built as it would be published."""
    folder = tmp_path_factory.mktemp("wheels")
    for distribution in DISTRIBUTIONS:
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder),
            str(HOME / distribution),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-800:] + done.stderr[-800:]
    return folder


def test_wheels_hold_what_they_need_and_run(wheels: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    installed = [Path(path) for path in sys.path if path.endswith("site-packages")]
    # The dependencies come from this environment, but its editable installs stay out.
    (site / "dependencies.pth").write_text(
        "\n".join(f"import sys; sys.path.append({str(path)!r})" for path in installed)
    )
    program = (
        "import gateway, gateway_client\n"
        "import gateway_schemas, gateway_sdk, gateway_nhs, gateway_housing.contract, gateway_social_security as s\n"
        f"assert gateway.__file__.startswith({str(site)!r}), gateway.__file__\n"
        "gateway_schemas.load('referral'); gateway_housing.contract.openapi(); assert s.SocialSecurity.wsdl.is_file()\n"
        "from gateway import cli, console, plugins, settings; from gateway.store import schema; schema.head()\n"
        "from gateway.console.pages import render; render('login.html', failed=False, wait=0, provider=False)\n"
        "agency = {'adapter': 'nhs', 'base_url': 'https://h.example', 'areas': ['glasgow'], "
        "'credentials': {'api_key': 'a', 'callback_token': 'b'}}\n"
        "print(*plugins.load(settings.Settings(agencies={'health': agency})))\n"
    )
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-I", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "health", done.stderr[-1500:]
    assert all(
        (site / "gateway" / part).exists()
        for part in ("py.typed", "console/static/console.css", "store/migrations/env.py")
    )


def test_migrations_go_forwards_and_back(new_database: Callable[[], str]) -> None:
    url = new_database()

    def tables() -> set[str]:
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {row[0] for row in rows}

    full = tables()
    schema.downgrade(url, "base")
    assert tables() == {"alembic_version"}
    schema.upgrade(url)
    assert tables() == full
    assert schema.current(url) == schema.head()


def test_two_migrations_at_once_do_no_harm(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE twice TEMPLATE template0")
    url = postgres.url.replace("///postgres?", "///twice?")
    program = f"from gateway.store import schema; schema.upgrade({url!r})"
    running = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()[-500:]
    assert schema.current(url) == schema.head()


def test_the_diagram_is_drawn_from_the_table() -> None:
    text = (HOME / "docs" / "architecture.md").read_text("utf-8")
    drawn = re.findall(r"^    (\w+) --> (\w+): (\w+)$", text, re.MULTILINE)
    assert sorted(drawn) == sorted((str(state), str(to), str(move)) for (state, move), to in DELIVERY.items())


def test_the_lock_pins_with_hashes_and_names_no_registry() -> None:
    text = (HOME / "requirements.txt").read_text("utf-8")
    pins = re.findall(r"^([\w.-]+)(?:\[[^\]]+\])?==\S+", text, re.MULTILINE)
    assert len(pins) > 60
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    wanted = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.split(r"[^\w.-]", dependency)[0].lower().replace("_", "-") for dependency in wanted}
    assert {name for name in names if not name.startswith("referral-gateway")} <= {
        pin.lower().replace("_", "-") for pin in pins
    }


def test_every_code_of_the_gateway_has_a_sentence() -> None:
    for path in (HOME / "gateway" / "delivery").glob("*.py"):
        for code in re.findall(r'code="(\w+)"|Unmade\("(\w+)"\)|Uncertain\("(\w+)"\)', path.read_text("utf-8")):
            assert "".join(code) in codes.OWN, f"{path.name}: {code}"


def test_what_an_older_version_kept_is_brought_along(new_database: Callable[[], str]) -> None:
    url = new_database()
    schema.downgrade(url, "0001")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO hubs (name) VALUES ('h')")
        connection.execute(
            "INSERT INTO consents (id, hub, subject_index, data_key, document) VALUES ('c', 'h', '', '', '')"
        )
        connection.execute(
            "INSERT INTO referrals (id, hub, consent, subject_index, area, urgency, data_key, payload) "
            "VALUES ('r', 'h', 'c', '', 'glasgow', 'stat', '', '')"
        )
        connection.execute(
            "INSERT INTO deliveries (id, referral, hub, agency, purpose, kind, state, status) "
            "VALUES ('d', 'r', 'h', 'a', 'housing', 'referral', 'dead', 'received')"
        )
        connection.execute(
            "INSERT INTO attempts (delivery, kind, outcome, seconds) VALUES ('d', 'send', 'unavailable', 1)"
        )
    schema.upgrade(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT agency FROM attempts").fetchall() == [("a",)]
        assert connection.execute("SELECT DISTINCT phase FROM areas").fetchall() == [("live",)]  # it was at work before


def test_a_new_gateway_has_every_area_planned(new_database: Callable[[], str]) -> None:
    url = new_database()
    schema.downgrade(url, "base")
    schema.upgrade(url)
    with psycopg.connect(url) as connection:
        found = dict(connection.execute("SELECT name, phase FROM areas").fetchall())
    assert found == dict.fromkeys(AREAS, "planned")
