"""A part of the outages that ``make faults`` plays, quick enough for every run; a full disk also where none can be mounted."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.faults import outages
from tests.faults.disk import Disk
from tests.faults.exposed import Exposed, embedded, separate
from tests.faults.house import NoServer
from tests.faults.scenarios import Scenario, play

QUICK = {
    "embedded": [
        "one agency is a black hole",
        "the database restarts: fast",
        "the database restarts: immediate",
        "the database's disk is full",
    ],
    outages.RABBIT: ["messages come again, and old ones", "nonsense on the queue"],
}
CHOSEN = [(house, one) for house, names in QUICK.items() for one in outages.OUTAGES if one.name in names]


@pytest.fixture(scope="module")
def embedded_house() -> Iterator[Exposed]:
    with embedded() as opened:
        yield opened


@pytest.fixture(scope="module")
def separate_house() -> Iterator[Exposed]:
    try:
        with separate() as opened:
            yield opened
    except NoServer as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.mark.parametrize(("kind", "scenario"), CHOSEN, ids=[f"{kind}: {one.name}" for kind, one in CHOSEN])
def test_nothing_is_lost_or_doubled(kind: str, scenario: Scenario, request: pytest.FixtureRequest) -> None:
    house = request.getfixturevalue("embedded_house" if kind == "embedded" else "separate_house")
    played = play(scenario, kind, house)
    assert played.faults
    assert not played.account.wrong
    assert played.account.good


def test_a_full_disk_is_told_by_its_sqlstate(embedded_house: Exposed) -> None:
    """As on a machine where no small disk can be mounted."""
    pretended = Disk(embedded_house.disk.server, real=False)
    body = outages.draft(embedded_house.consent(outages.agreed()), (outages.COUNCIL,), f"mark-{uuid4().hex[:12]}")
    headers = {"Idempotency-Key": "k"}
    pretended.fill()
    try:
        answer = embedded_house.call("POST", "/v1/referrals", json=body, headers=headers)
    finally:
        pretended.free()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert embedded_house.call("POST", "/v1/referrals", json=body, headers=headers).status_code == 202
