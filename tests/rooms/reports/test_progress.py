"""How referrals progress: counted only where she agrees to it now, and never so that somebody can be known by it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_sdk import Status
from hypothesis import given
from hypothesis import strategies as st

from gateway import intake, reports
from gateway.delivery import changes
from gateway.delivery.changes import Part
from gateway.delivery.room import PostRoom
from gateway.errors import Invalid
from gateway.policy.consent import Basis
from gateway.store import consents
from gateway.store.consents import Record
from gateway.store.progress import Asked
from tests.rooms.cli.conftest import Operator
from tests.rooms.delivery.test_attempt import HUB
from tests.support import ALL_CATEGORIES, HOUSING, consent, referral

NOW = datetime.now(UTC)
COUNTED = {"recipients": [HOUSING], "purposes": ["statistics"], "categories": ["request"]}


def agreed(counted: bool, **more: Any) -> dict[str, Any]:
    document = consent({HOUSING: ALL_CATEGORIES}, **more)
    return {**document, "permits": document["permits"] + [COUNTED] * counted}


def record(document: dict[str, Any], **more: Any) -> Record:
    values: dict[str, Any] = {"withdrawn_at": None, "read_at": NOW, "basis": Basis.CONSENT, **more}
    return Record("con", "hub", document, 1, recorded_with="", created_at=NOW, approved_at=None, **values)


NO = [
    record(agreed(False)),
    record(agreed(True), withdrawn_at=NOW),
    record(agreed(True, ends_at=(NOW - timedelta(seconds=1)).isoformat())),
    record({**agreed(True), "permits": [{**COUNTED, "ends_at": (NOW - timedelta(1)).isoformat()}]}),
    record({**agreed(True), "basis": "safeguarding"}, basis=Basis.SAFEGUARDING),
    None,
]


def asked(agrees: st.SearchStrategy[Record | None]) -> st.SearchStrategy[list[Asked]]:
    one = st.builds(
        Asked,
        woman=st.tuples(st.just("hub"), st.integers(0, 20).map(lambda number: bytes([number]))),
        area=st.sampled_from(["glasgow", "dundee"]),
        purpose=st.sampled_from(["housing", "health-care"]),
        status=st.sampled_from(Status),
        waited=st.none() | st.floats(0, 10**7),
        consent=agrees,
    )
    return st.lists(one, max_size=60)


@given(asked(st.just(record(agreed(True)))), asked(st.sampled_from(NO)), st.randoms())
def test_who_does_not_agree_to_be_counted_changes_no_figure(yes: list[Asked], no: list[Asked], random: Any) -> None:
    together = [*yes, *no]
    random.shuffle(together)
    counted, left_out = reports.count(together)
    assert counted == reports.count(yes)[0]
    assert left_out == (len(no) if len({one.woman for one in no}) >= 5 else None)
    assert counted is None or counted.count == len(yes)


def test_every_status_is_an_outcome() -> None:
    assert set(reports.OUTCOMES) == set(Status)


def refer(room: PostRoom, number: int, *, counted: bool = True) -> str:
    """Woman *number* is referred to housing; her consent."""
    her = f"GLA-{number:04}"
    with room.store.begin() as tx:
        agreed_to = consents.save(tx, agreed(counted, subject=her), hub=HUB.hub)
    draft = referral(agreed_to, HOUSING, subject=her)
    intake.submit(room.store, room.agencies, draft, json.dumps(draft).encode(), agreed_to, HUB)
    return agreed_to


def this_quarter(room: PostRoom) -> reports.Progress:
    with room.store.begin() as tx:
        return reports.of_quarter(tx, reports._quarter_of(NOW))


def answered(room: PostRoom, status: str, most: int) -> None:
    with room.store.begin() as tx:
        tx.run(
            "WITH said AS (UPDATE deliveries SET status = %(status)s WHERE id IN "
            "  (SELECT id FROM deliveries WHERE status = 'received' ORDER BY created_at LIMIT %(most)s) RETURNING *) "
            "INSERT INTO events (hub, type, referral, delivery, agency, status, at) "
            "SELECT hub, 'delivery.status', referral, id, agency, status, now() + interval '30 h' FROM said",
            {"status": status, "most": most},
        )


def parts(found: reports.Progress, *path: str) -> dict[str, int]:
    figure = found.counted
    for name in path:
        assert figure is not None
        figure = figure.parts[name]
    assert figure is not None
    return {name: part.count for name, part in figure.parts.items()}


@pytest.fixture
def women(room: PostRoom) -> list[str]:
    """Six who agree to be counted, five who do not."""
    made = [refer(room, number) for number in range(6)]
    for number in range(6, 11):
        refer(room, number, counted=False)
    return made


def test_it_is_asked_when_it_is_read(room: PostRoom, women: Sequence[str]) -> None:
    found = this_quarter(room)
    assert (found.counted and found.counted.count, found.left_out, found.is_over) == (6, 5, False)
    assert parts(found, "housing", "glasgow") == {"no answer": 6}
    with room.store.begin() as tx:
        document = consents.get(tx, women[0], hub=HUB.hub).document
    fewer = {**document, "permits": [one for one in document["permits"] if one != COUNTED]}
    changes.change_consent(room, women[0], HUB, fewer, based_on=1)  # she thinks again
    found = this_quarter(room)
    assert (found.counted and found.counted.count, found.left_out) == (5, 6)
    changes.withdraw_consent(room, women[1], HUB)
    found = this_quarter(room)
    assert (found.counted, found.left_out) == (None, 7), "four are too few to tell of"
    changes.withdraw_consent(room, women[2], HUB, Part(recipients=(HOUSING,)))
    assert this_quarter(room).left_out == 8


def test_outcomes_and_waits(room: PostRoom, women: Sequence[str]) -> None:
    for number in range(11, 17):
        refer(room, number)
    answered(room, "accepted", 5)
    found = this_quarter(room)
    assert parts(found, "housing", "glasgow") == {"no answer": 7, "under way": 5}
    assert found.counted is not None
    assert found.counted.days == 2  # thirty hours
    answered(room, "declined", 1)
    assert parts(this_quarter(room), "housing", "glasgow") == {"no answer": 6, "others": 6}
    assert this_quarter(room).left_out == 5


def test_a_record_that_does_not_open_is_left_out(room: PostRoom, women: Sequence[str]) -> None:
    with room.store.begin() as tx:
        tx.run("UPDATE data_keys SET wrapped = '\\x01' WHERE record = %(id)s", {"id": women[0]})
    assert this_quarter(room).left_out == 6


def test_quarters(room: PostRoom, women: Sequence[str]) -> None:
    with room.store.begin() as tx:
        last = reports.of_quarter(tx)
        assert (last.is_over, last.counted, last.left_out) == (True, None, None)
        tx.run(
            "UPDATE referrals SET created_at = %(at)s", {"at": reports._bounds(last.quarter)[1] - timedelta(minutes=1)}
        )
        moved = reports.of_quarter(tx)
        assert moved.counted is not None
        assert moved.counted.count == 6
        for wrong in ("2026", "2026-Q5", "last"):
            with pytest.raises(Invalid, match="2026-Q3"):
                reports.of_quarter(tx, wrong)


def test_the_command(room: PostRoom, women: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Operator(room, monkeypatch)
    quarter = reports._quarter_of(NOW)
    shown = gateway("report", "progress", "--quarter", quarter)
    assert shown.stdout.splitlines()[1:] == [
        "\t\t\t6\t–", "housing\t\t\t6\t–", "housing\tglasgow\t\t6\t–", "housing\tglasgow\tno answer\t6\t–",
    ]  # fmt: skip
    assert "not counted, since she did not agree to it: 5" in shown.stderr
    assert "is not over" in shown.stderr
    document = json.loads(gateway("report", "progress", "--quarter", quarter, "--json").stdout)
    assert (document["counted"]["parts"]["housing"]["count"], document["left_out"]) == (6, 5)
    refused = gateway("report", "progress", "--quarter", "spring")
    assert (refused.exit_code, "such as 2026-Q3" in refused.stderr) == (2, True)
    assert gateway("report", "progress").stderr.startswith(f"progress in {document['quarter'][:2]}")
