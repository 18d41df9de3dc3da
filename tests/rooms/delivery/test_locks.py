"""Erasing, retention, a withdrawal and what agencies say, at once, in transactions of their own: all of them end."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import gateway_sdk as sdk
import pytest

from gateway.delivery import behind, changes, erasure, retention
from gateway.delivery.room import PostRoom
from gateway.settings import RetentionSettings
from gateway.store import consents, deliveries, messages, referrals
from tests.rooms.delivery.test_attempt import HUB, of, submit, work
from tests.support import HOUSING, REFERRAL

CONTACT = {"phone": {**REFERRAL["contact"]["phone"], "number": "07700 900999"}}


def wait_until_somebody_waits(room: PostRoom) -> None:
    """For a lock that somebody else has."""
    until = time.monotonic() + 20
    while True:
        with room.store.begin() as tx:
            row = tx.one(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() "
                "AND cardinality(pg_blocking_pids(pid)) > 0"
            )
        if row and row["n"]:
            return
        assert time.monotonic() < until, "nobody waits"
        time.sleep(0.01)


def erase(room: PostRoom, identifier: str) -> Any:
    return erasure.erase(room, identifier, by="cli:test", reason="she asked for it")


def retain(room: PostRoom, identifier: str) -> Any:
    """As if everything were old enough."""
    nothing = RetentionSettings.model_construct(**dict.fromkeys(RetentionSettings.model_fields, timedelta(0)))
    old = PostRoom(room.store, room.agencies, room.settings.model_copy(update={"retention": nothing}))
    return retention._erase(old, identifier)


def reach(room: PostRoom, identifier: str) -> Any:
    return changes.change_contact(room, identifier, HUB, CONTACT, "new phone", b"{}")


@pytest.mark.parametrize("other", [erase, retain, reach])
def test_a_withdrawal_and_what_else_happens_to_her_at_once_both_end(
    room: PostRoom, other: Callable[[PostRoom, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """She withdraws; before the withdrawal is queued, *other* begins, and waits for what the withdrawal holds."""
    agreed, identifier = submit(room, HOUSING)
    work(room)
    holds, go_on = threading.Event(), threading.Event()
    take_back = behind.take_back

    def slowly(*args: Any, **more: Any) -> None:
        holds.set()
        assert go_on.wait(30)
        take_back(*args, **more)

    monkeypatch.setattr(behind, "take_back", slowly)
    with ThreadPoolExecutor() as threads:
        withdrawn = threads.submit(changes.withdraw_consent, room, agreed, HUB)
        assert holds.wait(30)
        done = threads.submit(other, room, identifier)
        wait_until_somebody_waits(room)
        go_on.set()
        withdrawn.result(30)
        done.result(30)
    with room.store.begin() as tx:
        [follower] = tx.all("SELECT state, code FROM deliveries WHERE kind = 'withdrawal'")
        erased = other is erase
        assert (follower["state"], follower["code"]) == (("withdrawn", "erased") if erased else ("waiting", None))
        if not erased:  # retention looked at what stood there once the withdrawal was queued
            assert referrals.get(tx, identifier, hub=HUB.hub)
            assert consents.get(tx, agreed, hub=HUB.hub).withdrawn_at


@pytest.mark.parametrize("other", [erase, retain])
def test_what_an_agency_says_while_it_is_erased_is_erased_too(
    room: PostRoom, other: Callable[[PostRoom, str], Any]
) -> None:
    _, identifier = submit(room, HOUSING)
    work(room)
    sent = of(room, identifier)[HOUSING]
    with ThreadPoolExecutor() as threads:
        with room.store.begin() as tx:
            deliveries.line(tx, sent.id)
            done = threads.submit(other, room, identifier)
            wait_until_somebody_waits(room)
            messages.keep(tx, sent, sdk.Message("1", "Has she a passport?"))
        done.result(30)
    with room.store.begin() as tx:
        assert tx.all("SELECT id FROM messages") == []
