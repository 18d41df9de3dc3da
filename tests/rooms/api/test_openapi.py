"""What /openapi.json promises is asked for, as promised and otherwise, by a tool that has no pity."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.api import examples
from gateway.delivery.room import PostRoom
from tests.rooms.api.conftest import Hub
from tests.rooms.api.listening import listening, opened
from tests.support import HOUSING, Agencies, referral

HOME = Path(__file__).parents[3]
LONGER = os.environ.get("FUZZ_EXAMPLES")  # of each operation: make fuzz
AT_LEAST = 1500  # requests of a run of make test
PATIENCE = 3600 if LONGER else 110  # seconds
# Not asked: whether everything that follows a schema is taken. It is not: consent, agencies and states have their say.
UNASKED = "positive_data_acceptance"


@pytest.fixture
def room(new_database: Callable[[], str], agencies: Agencies) -> Iterator[PostRoom]:
    other_bases = ["vital-interests", "safeguarding"]
    with opened(new_database(), agencies, hubs={"glasgow-hub": {"other_bases": other_bases}}) as made:
        yield made


@pytest.fixture
def known(hub: Hub) -> dict[str, str]:
    """What there is, for tests/schemathesis.toml."""
    agreed = hub.consent()
    sent = hub.submit(referral(agreed, HOUSING)).json()
    hook = hub.call("POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).json()
    basis = hub.call("POST", "/v1/lawful-bases", json=examples.BASIS).json()
    return {
        "FUZZ_CONSENT": agreed, "FUZZ_REFERRAL": sent["id"], "FUZZ_DELIVERY": sent["deliveries"][HOUSING],
        "FUZZ_WEBHOOK": hook["id"], "FUZZ_IDENTIFIER": basis["id"],
    }  # fmt: skip


def test_every_operation_answers_as_it_says(room: PostRoom, hub: Hub, known: dict[str, str], tmp_path: Path) -> None:
    """No 500; every answer has a status, a media type and a body of the document; what does not follow it is refused."""
    with listening(room) as found:
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HOME / "tests" / "schemathesis.toml"),
            "run", f"{found.url}/openapi.json", "--header", f"Authorization: Bearer {hub.key}", "--no-color",
            "--checks", "all", "--exclude-checks", UNASKED, "--continue-on-failure", "--max-examples", LONGER or "2",
            *(() if LONGER else ("--generation-deterministic", "--phases", "examples,coverage,fuzzing")),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            env={**os.environ, **known},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    asked = re.search(r"(\d+) generated", done.stdout)
    assert asked
    assert int(asked[1]) >= AT_LEAST
