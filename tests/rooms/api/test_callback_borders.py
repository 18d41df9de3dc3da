"""Callbacks as an attack: an agency speaks for itself, about its own, and once; in whatever order it arrives."""

import base64
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from gateway_housing.contract import STATUSES
from gateway_sdk import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway import plugins
from gateway.delivery import feedback
from gateway.delivery.room import PostRoom
from gateway.errors import Malformed, NotFound, Unauthenticated
from gateway.policy.lifecycle import State
from gateway.settings import Settings
from gateway.store import callers
from gateway.store.session import Store
from gateway.vault import Vault, generate
from tests.rooms.api.test_bodies import HOSTILE
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.rooms.wire.hostile import reply, serving
from tests.rooms.wire.test_hostile_agencies import TOKEN
from tests.support import PURPOSES

COUNCILS = ["glasgow-housing", "east-housing", "west-housing"]
ORDER = ["accepted", "interview-offered", "in-progress", "closed"]  # as the council's contract says it
FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def secret(agency: str) -> str:
    return "whsec_" + base64.b64encode(agency.ljust(32, "x").encode()).decode()


@dataclass
class Councils:
    """Three councils with the same adapter, each with its own secret."""

    room: PostRoom = field(init=False)
    case: str = "HL-0"

    def deliver(self) -> dict[str, str]:
        """A referral at each of them, with the same case number. Returns the deliveries' ids, by council."""
        self.case = f"HL-{uuid4().hex[:8]}"
        found = {}
        for council in COUNCILS:
            _, referral = submit(self.room, council)
            work(self.room)
            delivery = of(self.room, referral)[council]
            assert delivery.state is State.DELIVERED
            found[council] = delivery.id
        return found

    def status(self, identifier: str) -> str:
        with self.room.store.begin() as tx:
            row = tx.one("SELECT status FROM deliveries WHERE id = %(id)s", {"id": identifier})
        assert row is not None
        return str(row["status"])

    def signed(self, signer: str, message: Any) -> tuple[bytes, dict[str, str]]:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        name, at = str(uuid4()), datetime.now(UTC)
        text = body.decode(errors="replace")
        mark = Webhook(secret(signer)).sign(name, at, text)
        return body, {"webhook-id": name, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": mark}

    def post(self, address: str, signer: str, message: Any) -> bool:
        """Whether a callback at the address of one council, perhaps signed by another, was taken."""
        body, headers = self.signed(signer, message)
        try:
            feedback.callback(self.room, address, headers, body)
        except (Unauthenticated, NotFound):
            return False
        return True


@pytest.fixture(scope="module")
def councils(new_database: Callable[[], str]) -> Iterator[Councils]:
    made = Councils()

    def act(stream: socket.socket, request: bytes) -> None:
        asks_for_token = request.startswith(b"POST /oauth/token")
        stream.sendall(TOKEN if asks_for_token else reply(json.dumps({"id": made.case}).encode(), "201 Created"))

    store = Store(new_database(), Vault(generate()), 4).open()
    with store.begin() as tx:
        callers.add_hub(tx, "glasgow-hub", by="test")
    with serving(act) as server, pytest.MonkeyPatch.context() as patch:
        for name in COUNCILS:
            patch.setitem(PURPOSES, name, "housing")
        agencies = {
            name: {
                "adapter": "housing", "base_url": server.url, "areas": ["glasgow"], "deadline": "3s",
                "credentials": {"client_id": "i", "client_secret": "s", "callback_secret": secret(name)},
            }
            for name in COUNCILS
        }  # fmt: skip
        chosen = Settings(agencies=agencies)
        made.room = PostRoom(store, plugins.load(chosen), chosen)
        yield made
    store.close()


def message(**more: str) -> dict[str, str]:
    return {"id": str(uuid4()), "type": "referral.status", "at": datetime.now(UTC).isoformat(), **more}


@pytest.mark.parametrize(("address", "signer", "owner"), list(itertools.product(COUNCILS, repeat=3)))
def test_no_agency_moves_what_another_has(councils: Councils, address: str, signer: str, owner: str) -> None:
    """By the key of any, at the address of any, signed by any: it counts where all three are one."""
    mine = councils.deliver()
    taken = councils.post(address, signer, message(status="accepted", reference=mine[owner]))
    assert taken is (address == signer == owner)
    moved = {name for name in COUNCILS if councils.status(mine[name]) == Status.ACCEPTED}
    assert moved == ({owner} if taken else set())


@pytest.mark.parametrize(("address", "signer"), list(itertools.product(COUNCILS, repeat=2)))
def test_a_case_number_is_the_agencys_own(councils: Councils, address: str, signer: str) -> None:
    """Every council counts its cases from one."""
    mine = councils.deliver()
    taken = councils.post(address, signer, message(status="accepted", caseId=councils.case))
    assert taken is (address == signer)
    moved = {name for name in COUNCILS if councils.status(mine[name]) == Status.ACCEPTED}
    assert moved == ({address} if taken else set())


@FEW
@given(st.data())
def test_whatever_the_order_and_however_often_the_newest_stands(councils: Councils, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(range(len(ORDER))), min_size=1, unique=True).map(sorted))
    begin = datetime.now(UTC)
    told = [
        message(id=str(uuid4()), status=ORDER[word], at=(begin + timedelta(seconds=word)).isoformat()) for word in words
    ]
    owner = COUNCILS[0]
    mine = councils.deliver()[owner]
    arriving = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=4))))
    for one in arriving:
        assert councils.post(owner, owner, {**one, "reference": mine})
    assert councils.status(mine) == STATUSES[ORDER[words[-1]]]
    with councils.room.store.begin() as tx:
        rows = tx.all("SELECT status FROM events WHERE delivery = %(id)s AND type = 'delivery.status'", {"id": mine})
    moved = [row["status"] for row in rows]
    assert len(moved) == len(set(moved))  # what came again was told once


@FEW
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_byte_that_was_changed_breaks_the_seal(councils: Councils, place: int, change: int) -> None:
    body, headers = councils.signed(COUNCILS[0], message(status="accepted", reference="del_0"))
    spoilt = bytearray(body)
    spoilt[place % len(body)] ^= change
    with pytest.raises(Unauthenticated):
        feedback.callback(councils.room, COUNCILS[0], headers, bytes(spoilt))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_refused_though_the_agency_signed_it(councils: Councils, name: str) -> None:
    with pytest.raises((Malformed, Unauthenticated)):  # what is not UTF-8 cannot be signed
        feedback.callback(councils.room, COUNCILS[0], councils.signed(COUNCILS[0], HOSTILE[name])[1], HOSTILE[name])
