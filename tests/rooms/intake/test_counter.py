"""Referrals that arrive together are taken in one commit, and none answers for another."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from gateway import intake
from gateway.delivery.room import PostRoom
from gateway.errors import ConsentMissing, KeyReused, NotFound
from gateway.intake import Counter, Submission
from gateway.store import consents, referrals
from gateway.store.callers import Caller
from gateway.store.session import Store, StoreUnavailable
from tests.support import HOUSING, consent, referral

HUB = Caller("glasgow-hub")


def submission(room: PostRoom, key: str, recipients: dict[str, list[str]] | None = None, **changes: Any) -> Submission:
    with room.store.begin() as tx:
        agreed = consents.save(tx, consent(recipients), hub=HUB.hub)
    draft = {**referral(agreed, HOUSING), **changes}
    return intake.read(room.agencies, draft, json.dumps(draft).encode(), key, HUB)


def together(store: Store, submissions: Sequence[Submission]) -> list[Any]:
    """What becomes of *submissions* that arrive at the same time."""

    async def arrive() -> list[Any]:
        counter = Counter(store)
        return await asyncio.gather(*map(counter.submit, submissions), return_exceptions=True)

    return asyncio.run(arrive())


def stored(store: Store) -> int:
    with store.begin() as tx:
        row = tx.one("SELECT count(*) AS n FROM referrals")
    assert row is not None
    number: int = row["n"]
    return number


def test_each_has_its_own_answer(room: PostRoom) -> None:
    good, again = submission(room, "a"), submission(room, "b")
    answers = together(
        room.store,
        [
            good,
            submission(room, "c", {HOUSING: ["request"]}),
            submission(room, "d", consent="con_00000000000000000"),
            again,
            again,
            submission(room, "b", urgency="routine"),
        ],
    )
    assert [type(answer) for answer in answers[1:3]] == [ConsentMissing, NotFound]
    assert answers[0].id == good.new.id
    assert answers[3].id == answers[4].id == again.new.id
    assert isinstance(answers[5], KeyReused)
    assert stored(room.store) == 2


def test_one_that_cannot_be_stored_spoils_it_for_nobody(room: PostRoom) -> None:
    many = [submission(room, str(number)) for number in range(5)]
    save = referrals.save

    def picky(tx: Any, new: Sequence[referrals.New]) -> Any:
        if any(one.key == "3" for one in new):
            raise psycopg.errors.DataException
        return save(tx, new)

    with patch.object(referrals, "save", picky):
        answers = together(room.store, many)
    assert [isinstance(answer, psycopg.Error) for answer in answers] == [False, False, False, True, False]
    assert stored(room.store) == 4


def test_a_database_that_is_away_answers_for_all(room: PostRoom) -> None:
    many = [submission(room, str(number)) for number in range(3)]
    room.store.close()
    assert [type(answer) for answer in together(room.store, many)] == [StoreUnavailable] * 3


@pytest.mark.parametrize("number", [1, 200])
def test_a_crowd_is_taken_whole(room: PostRoom, number: int) -> None:
    one = submission(room, "x")
    crowd = [intake.read(room.agencies, one.new.document, one.new.body, str(key), HUB) for key in range(number)]
    assert len({answer.id for answer in together(room.store, crowd)}) == stored(room.store) == number
