"""The database knows the states and statuses of the lifecycle tables, all of them and no others."""

from enum import StrEnum

import psycopg
import pytest
from gateway_sdk import Status

from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from tests.rooms.delivery.test_attempt import submit


@pytest.mark.parametrize(("column", "known"), [("state", State), ("status", Status)])
def test_the_database_takes_what_the_table_knows_and_nothing_else(
    room: PostRoom, column: str, known: type[StrEnum]
) -> None:
    submit(room)
    for value in known:
        with room.store.begin() as tx:
            assert tx.run(f"UPDATE deliveries SET {column} = %(value)s", {"value": value}) > 0
    with pytest.raises(psycopg.errors.CheckViolation), room.store.begin() as tx:
        tx.run(f"UPDATE deliveries SET {column} = 'lost'")
