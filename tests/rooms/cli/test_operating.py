"""What an operator types, and what it answers."""

import json
from datetime import timedelta
from typing import Any

import pytest

from gateway import cli
from gateway.delivery import changes, decisions
from gateway.delivery.room import PostRoom
from gateway.errors import ConsentMissing
from gateway.policy.lifecycle import State
from tests.rooms.cli.conftest import Operator
from tests.rooms.delivery.test_attempt import HUB, of, submit, work
from tests.rooms.delivery.test_breaker import rung
from tests.rooms.delivery.test_replay import dead
from tests.rooms.delivery.test_standing import changed, closed, today
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, Agencies, carry_out


def test_a_range_is_shown_asked_about_and_sent(gateway: Operator, room: PostRoom, agencies: Agencies) -> None:
    made = dead(room, agencies, HOUSING, 2)
    with room.store.begin() as tx:
        tx.run("UPDATE consents SET withdrawn_at = now() WHERE id = %(id)s", {"id": made[0][0]})
    arguments = ("deliveries", "replay", "--agency", HOUSING, "--reason", "they are back")
    shown = gateway(*arguments, "--dry-run", "--json")
    assert shown.exit_code == 0
    assert [(row["deliveries"], row["what"]) for row in json.loads(shown.stdout)] == [
        (1, "sent again"),
        (1, "left as they are: she withdrew her consent before it was sent"),
    ]
    declined = gateway(*arguments, answer="n\n")
    assert declined.exit_code == 1
    assert [of(room, referral)[HOUSING].state for _, referral in made] == [State.DEAD, State.DEAD]
    done = gateway(*arguments, answer="y\n")
    assert done.exit_code == 0, done.output
    assert [of(room, referral)[HOUSING].state for _, referral in made] == [State.DEAD, State.WAITING]
    nothing = gateway(*arguments, "--yes", "--state", "refused")
    assert (nothing.exit_code, nothing.stderr) == (0, "sent again: none\n")
    alone = gateway("deliveries", "replay", of(room, made[0][1])[HOUSING].id, "--reason", "x")
    assert isinstance(alone.exception, ConsentMissing)
    assert cli.exit_code(alone.exception) == 4


def test_uncertain_ones_come_with_a_warning(gateway: Operator, room: PostRoom, agencies: Agencies) -> None:
    agencies[SOCIAL_SECURITY].fail_next("garbage", times=4)
    _, referral = submit(room, SOCIAL_SECURITY)
    for _ in range(6):
        work(room)
        with room.store.begin() as tx:
            tx.run("UPDATE deliveries SET due_at = now() WHERE due_at IS NOT NULL AND token IS NULL")
    listed = json.loads(gateway("deliveries", "list", "--json").stdout)
    assert [row["waits"] for row in listed] == ["for a person"]
    arguments = ("deliveries", "replay", "--agency", SOCIAL_SECURITY, "--reason", "x", "--yes")
    assert gateway(*arguments).stdout == ""
    assert of(room, referral)[SOCIAL_SECURITY].state is State.ASKING
    done = gateway(*arguments, "--state", "asking")
    assert "may have 1 of these already and keeps no keys: it may get them twice" in done.stderr
    assert of(room, referral)[SOCIAL_SECURITY].state is State.WAITING


@pytest.mark.parametrize(
    ("verb", "says"), [("confirm", "marked as delivered: delivered"), ("refuse", "marked as refused: refused")]
)
def test_what_has_to_be_told_by_hand_is_a_task_that_is_closed(
    gateway: Operator, room: PostRoom, monkeypatch: pytest.MonkeyPatch, verb: str, says: str
) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "withdraw", lambda *args: None)
    agreed, referral = submit(room, HOUSING)
    work(room)
    changes.withdraw_consent(room, agreed, HUB)
    work(room)
    [task] = json.loads(gateway("tasks", "--json").stdout)
    assert (task["kind"], task["state"], task["code"]) == ("withdrawal", "task", "withdraw_by_hand")
    shown = gateway("deliveries", verb, task["id"], "--reason", "by phone", "--dry-run").stdout
    assert "would be" in shown
    assert gateway("deliveries", verb, task["id"], "--reason", "by phone").stdout == f"{task['id']} {says}\n"
    assert gateway("deliveries", verb, of(room, referral)[HOUSING].id, "--reason", "x").exit_code != 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give either a delivery's id, or some of"),
        (("del_0", "--agency", HOUSING), "give either a delivery's id, or some of"),
        (("--from", "yesterday"), "give a time such as 2026-11-24T09:00"),
        (("--state", "delivered"), "what is delivered is not sent again"),
        (("--agency", HOUSING, "--json"), "say --dry-run or --yes with it"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(gateway: Operator, arguments: tuple[str, ...], says: str) -> None:
    done = gateway("deliveries", "replay", "--reason", "x", *arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())


def test_agencies_and_doctor_say_what_stops_whom_and_until_when(
    gateway: Operator, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions.pause(room, HEALTH, by="admin:a", reason="x")
    gateway.room = changed(closed(room, HOUSING, hours_except=["stat"]), SOCIAL_SECURITY, calls_a_minute=1)
    submit(room, SOCIAL_SECURITY)
    for bell in rung(gateway.room):
        carry_out(gateway.room, bell)
    rows = {row["agency"]: row for row in json.loads(gateway("agencies", "--json").stdout)}
    opens = f"{today() + timedelta(days=2):%a %-d %b %Y} 00:00"
    assert rows[HOUSING]["stands"] == f"closed until {opens}"
    assert "stat at any time" in rows[HOUSING]["hours"]
    assert rows[HEALTH]["stands"].startswith("paused since ")
    assert rows[SOCIAL_SECURITY]["stands"].startswith("at its limit until ")
    assert rows[SOCIAL_SECURITY]["calls_a_minute"] == "1 of 1"
    examined = gateway("doctor", "--json")
    found: dict[str, list[Any]] = {}
    for finding in json.loads(examined.stdout):
        found.setdefault(finding["what"], []).append((finding["ok"], finding["says"]))
    assert ("ok", rows[HOUSING]["stands"]) in found[f"agency {HOUSING}"]
    assert ("LOOK", rows[HEALTH]["stands"]) in found[f"agency {HEALTH}"]
    assert examined.exit_code == 1
