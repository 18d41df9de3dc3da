"""Everything that is held on a woman comes out, to the last value; of another, nothing."""

import json
import stat
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
import pytest

from gateway.delivery import changes
from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, NotFound
from gateway.store import audit, contradictions, deliveries, messages
from tests.rooms.cli.conftest import Operator
from tests.rooms.delivery.test_attempt import HUB, of, submit, work
from tests.rooms.delivery.test_erasure import erase, submit_for
from tests.support import HEALTH, HOUSING, REFERRAL, Agencies
from tests.walks.test_canary import secrets_of

ARGUMENTS = ("--reason", "her letter of 3 November")


def ask(gateway: Operator, folder: Path, subject: str = "GLA-7Q2M", hub: str = HUB.hub) -> Any:
    return gateway("subject-access", hub, str(folder), *ARGUMENTS, answer=f"{subject}\n")


@pytest.fixture
def told(gateway: Operator, room: PostRoom, agencies: Agencies, tmp_path: Path) -> tuple[dict[str, Any], str, PostRoom]:
    """What she gets, as JSON and as a page: of two referrals, one with former contact details."""
    agencies[HOUSING].fail_next("garbage")
    _, first = submit(room, HOUSING, HEALTH)
    work(room)
    submit(room, HOUSING)
    work(room)
    with room.store.begin() as tx:
        messages.keep(tx, of(room, first)[HEALTH], sdk.Message("1", "Has she a passport?"))
        for said in ({"reference": "HL-OTHER"}, {"status": sdk.Status.DECLINED, "reason": sdk.Reason.NO_CAPACITY}):
            contradictions.keep(tx, of(room, first)[HEALTH], contradictions.Source.POLL, by="test", **said)  # type: ignore[arg-type]
        contradictions.settle_status(tx, of(room, first)[HEALTH])
    contact = {"phone": {**REFERRAL["contact"]["phone"], "number": "07700 900999"}}
    changes.change_contact(room, first, HUB, contact, "new phone", b"{}")
    submit_for(room, "GLA-OTHER", HUB)
    done = ask(gateway, tmp_path)
    assert done.exit_code == 0, done.output
    assert "GLA-7Q2M" not in done.stdout.splitlines()[-1]  # the prompt is echoed by the runner alone
    files = [tmp_path / name for name in ("subject-access.json", "subject-access.html")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    return json.loads(files[0].read_text()), files[1].read_text(), room


def test_every_value_comes_out_in_both(told: tuple[dict[str, Any], str, PostRoom]) -> None:
    held, page, _ = told
    assert (len(held["consents"]), len(held["referrals"])) == (2, 2)
    for place, value in {
        **secrets_of(REFERRAL),
        "new": "07700 900999",
        "recorder": "Support worker 12",
        "message": "Has she a passport?",
    }.items():
        assert value in json.dumps(held, ensure_ascii=False), place
        assert value in page.replace("&#39;", "'"), place
    assert "GLA-OTHER" not in json.dumps(held) + page


def test_who_got_which_fields_and_when(told: tuple[dict[str, Any], str, PostRoom]) -> None:
    held, page, room = told
    sent = {one["agency"]: one for one in held["referrals"][0]["deliveries"] if one["kind"] == "referral"}
    uncertain = sent[HOUSING]["exchanges"][0]  # a slow machine has asked about it since
    assert (uncertain["outcome"], uncertain["kind"]) == ("uncertain", "send")
    assert "/person/name/given" in uncertain["fields"]
    assert not {"/health/mental_health", "/person/chi_number"} & set(uncertain["fields"])
    [arrived] = sent[HEALTH]["exchanges"]
    assert {"/person/chi_number", "/contact/phone/number"} <= set(arrived["fields"])
    assert not [place for place in arrived["fields"] if place.startswith("/income")]
    assert arrived["at"]
    with room.store.begin() as tx:
        assert sent[HEALTH]["reference"] == deliveries.reference(tx, of(room, held["referrals"][0]["id"])[HEALTH])
    assert "/person/chi_number" in page
    assert "it may have arrived" in page


def test_what_an_agency_said_against_it_comes_out_decided_or_not(told: tuple[dict[str, Any], str, PostRoom]) -> None:
    held, page, _ = told
    [sent] = [
        one for one in held["referrals"][0]["deliveries"] if one["agency"] == HEALTH and one["kind"] == "referral"
    ]
    assert [(one["reference"], one["status"], one["settled_at"] is None) for one in sent["contradictions"]] == [
        ("HL-OTHER", None, True),
        (None, "declined", False),
    ]
    assert "their number HL-OTHER" in page
    assert "declined (no capacity)" in " ".join(page.split())


def test_who_looked_and_this_answer_itself(told: tuple[dict[str, Any], str, PostRoom]) -> None:
    held, page, room = told
    seen = {(one["actor"].split(":")[0], one["action"]) for one in held["accesses"]}
    assert {
        ("hub", "referral.submit"),
        ("gateway", "referral.open"),
        ("hub", "consent.record"),
        ("cli", "subject.access"),
    } <= seen
    with room.store.begin() as tx:
        found = audit.latest(tx, "subject.access", held["referrals"][1]["id"])
        assert audit.verify(tx).holds
    assert found is not None
    assert found["detail"] == {"reason": "her letter of 3 November", "found": 4}
    assert "<script" not in page


def test_of_what_was_erased_and_of_strangers_there_is_nothing(
    gateway: Operator, room: PostRoom, tmp_path: Path
) -> None:
    _, identifier = submit(room, HOUSING)
    for subject, hub in (("GLA-7Q2", HUB.hub), ("GLA-7Q2M", "highland-hub"), ("%", HUB.hub)):
        assert isinstance(ask(gateway, tmp_path, subject, hub).exception, NotFound)
    erase(room, identifier)
    assert isinstance(ask(gateway, tmp_path).exception, NotFound)
    assert not list(tmp_path.iterdir())


def test_an_earlier_answer_is_not_written_over(gateway: Operator, room: PostRoom, tmp_path: Path) -> None:
    submit(room, HOUSING)
    assert ask(gateway, tmp_path).exit_code == 0
    assert isinstance(ask(gateway, tmp_path).exception, Conflict)
