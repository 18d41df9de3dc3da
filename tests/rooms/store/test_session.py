"""Transactions: all of one or nothing, however it ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from gateway.errors import Malformed
from gateway.store import events
from gateway.store.session import Store, Tx


class Killed(BaseException):
    pass


def is_killed(tx: Tx) -> None:
    raise Killed


def is_flushed_and_killed(tx: Tx) -> None:
    assert tx.one("SELECT 1 AS one")  # the server has done everything up to here
    raise Killed


def puts_what_does_not_go_in(tx: Tx) -> None:
    events.write(tx, "second\0", hub="glasgow-hub")


def puts_what_the_server_refuses(tx: Tx) -> None:
    tx.put("SELECT 1 / 0")


def told(store: Store) -> list[str]:
    with store.begin() as tx:
        return [row["type"] for row in tx.all("SELECT type FROM events ORDER BY id")]


@pytest.mark.parametrize("kind", [Store.single, Store.begin], ids=["single", "begin"])
@pytest.mark.parametrize(
    ("breaks", "error"),
    [
        (is_killed, Killed),
        (is_flushed_and_killed, Killed),
        (puts_what_does_not_go_in, Malformed),
        (puts_what_the_server_refuses, Exception),
    ],
)
def test_what_breaks_in_the_middle_leaves_nothing(
    store: Store,
    kind: Callable[[Store], AbstractContextManager[Tx]],
    breaks: Callable[[Tx], None],
    error: type[BaseException],
) -> None:
    def write(then: Callable[[Tx], object]) -> None:
        with kind(store) as tx:
            events.write(tx, "first", hub="glasgow-hub")
            then(tx)

    with pytest.raises(error):
        write(breaks)
    assert told(store) == []
    write(lambda tx: events.write(tx, "second", hub="glasgow-hub"))
    assert told(store) == ["first", "second"]
