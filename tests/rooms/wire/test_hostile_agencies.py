"""Whatever an agency answers, its delivery has an outcome within the deadline, and memory stays bounded.

Whole attempts, over the real wire, against a real server that answers as the table says.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import pytest
from gateway_housing.simulator import demo_callback_secret

from gateway import plugins
from gateway.delivery import codes
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from gateway.settings import Settings
from gateway.store import callers
from gateway.store.deliveries import Delivery
from gateway.store.session import Store
from gateway.vault import Vault, generate
from gateway.wire.auth import _tokens
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.rooms.wire.hostile import Act, always, reply, serving
from tests.rooms.wire.table import HTTP, JSON, MAX_REPLY, MIB, XML, Case
from tests.support import HOUSING, SOCIAL_SECURITY

DEADLINE = 1.0  # seconds
SLACK = 0.7  # for the rest of an attempt, on a busy machine
MEMORY = 24 * MIB  # more than this is not needed for any of them
TOKEN = reply(b'{"access_token": "t", "token_type": "Bearer", "expires_in": 300}')


@dataclass
class House:
    """A post room whose agencies are all one hostile server: how it gives tokens, and how it answers the rest."""

    token: Act = always(TOKEN)
    answer: Act = always(b"")
    sent: int = 0  # requests that held a referral
    room: PostRoom = field(init=False)

    def act(self, stream: socket.socket, request: bytes) -> None:
        if request.startswith(b"POST /oauth/token"):
            self.token(stream, request)
        else:
            self.sent += 1
            self.answer(stream, request)

    def attempt(self, agency: str) -> Delivery:
        _, referral = submit(self.room, agency)
        work(self.room)
        return of(self.room, referral)[agency]


@pytest.fixture(scope="module")
def house(new_database: Callable[[], str]) -> Iterator[House]:
    made = House()
    store = Store(new_database(), Vault(generate()), 4).open()
    with store.begin() as tx:
        callers.add_hub(tx, "glasgow-hub", by="test")
    with serving(made.act) as server:
        shared = {
            "base_url": server.url, "areas": ["glasgow"], "deadline": f"{DEADLINE}s", "max_reply": MAX_REPLY,
            "breaker_least": 100_000,
        }  # fmt: skip
        secrets = {"client_id": "i", "client_secret": "s", "callback_secret": demo_callback_secret("a-council")}
        agencies = {
            HOUSING: {"adapter": "housing", **shared, "credentials": secrets},
            SOCIAL_SECURITY: {
                "adapter": "social_security",
                **shared,
                "credentials": {"username": "u", "password": "p"},
            },
        }
        settings = Settings(agencies=agencies, retry=["1d"], ask=["1d"], poll=["1d"])
        made.room = PostRoom(store, plugins.load(settings), settings)
        yield made
    store.close()


@dataclass
class Peak:
    """The most memory that this process holds while it is watched, over what it held before."""

    grown: int = 0

    def __enter__(self) -> "Peak":
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.grown = max(self.grown, self._process.memory_info().rss - self._before)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def comes_to(house: House, agency: str, case: Case, requests: int = 1) -> None:
    before = house.sent
    with Peak() as peak:
        started = time.monotonic()
        found = house.attempt(agency)
        took = time.monotonic() - started
    assert (found.state, found.code) == (case.state, case.code)
    assert took < DEADLINE + SLACK
    assert peak.grown < MEMORY
    assert house.sent - before == requests  # nothing tries again by itself
    if case.code and not case.code.startswith("HTTP "):
        assert codes.meaning(house.room.agencies[agency], case.code)


@pytest.mark.parametrize("name", HTTP)
def test_whatever_is_done_with_http(house: House, name: str) -> None:
    house.answer = HTTP[name].act
    comes_to(house, HOUSING, HTTP[name])


@pytest.mark.parametrize("name", JSON)
def test_whatever_json_comes(house: House, name: str) -> None:
    house.answer = JSON[name].act
    comes_to(house, HOUSING, JSON[name])


@pytest.mark.parametrize("name", XML)
def test_whatever_xml_comes(house: House, name: str) -> None:
    house.answer = XML[name].act
    comes_to(house, SOCIAL_SECURITY, XML[name])


@pytest.mark.parametrize("name", HTTP)
def test_whatever_is_answered_where_a_token_is_asked_for(house: House, name: str) -> None:
    """Without a token nothing is sent."""
    _tokens.clear()
    house.token = HTTP[name].act
    try:
        comes_to(house, HOUSING, Case(house.token, State.WAITING, "token_unavailable"), requests=0)
    finally:
        house.token = always(TOKEN)
        _tokens.clear()
