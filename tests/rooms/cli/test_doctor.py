"""What ``gateway doctor`` says of the mode, and what it does not quote."""

import json
from dataclasses import replace

from gateway.settings import Settings
from gateway.vault import generate
from tests.rooms.cli.conftest import Operator
from tests.support import HOUSING

KEY = generate()


def test_doctor_says_what_production_would_refuse(gateway: Operator) -> None:
    def told() -> tuple[int, dict[str, tuple[str, str]]]:
        done = gateway("doctor", "--json")
        return done.exit_code, {row["what"]: (row["ok"], row["says"]) for row in json.loads(done.stdout)}

    code, found = told()
    assert (code, found["mode"][0], found["secure_cookies"][0]) == (0, "ok", "ok")
    assert found[f"agencies.{HOUSING}.base_url"][1].startswith("not for production: http can be read")
    assert found["database log"] == ("ok", "holds no values")
    gateway.room = replace(gateway.room, settings=gateway.room.settings.model_copy(update={"mode": "production"}))
    code, found = told()
    assert (code, found["mode"], found["secure_cookies"][0]) == (
        1,
        ("LOOK", "production; a restart is refused"),
        "LOOK",
    )


def test_doctor_quotes_no_secret(gateway: Operator) -> None:
    secrets = {
        "broker_url": "amqps://gateway:canary-broker@127.0.0.1:1//", "master_key": KEY,
        "database_url": "postgresql://gateway:canary-database@db.example/gateway",
        "alerts": {"webhook": "http://127.0.0.1:1/canary-pager"},
    }  # fmt: skip
    changed = Settings(**{**secrets, "mode": "production"})  # type: ignore[arg-type]
    gateway.room = replace(gateway.room, settings=changed)
    done = gateway("doctor")
    assert done.exit_code == 1
    assert "127.0.0.1:1 does not answer" in done.output
    assert not any(secret in done.output for secret in ("canary", KEY))
