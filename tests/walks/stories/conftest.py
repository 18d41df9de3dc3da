"""One house for all stories: the embedded parts, agencies that call back, and a hub that is told by webhook."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from gateway_housing.simulator import HousingSimulator, demo_callback_secret

from gateway.settings import HubSettings
from tests.running import Gateway, free_port, running
from tests.support import CREDENTIALS, HOUSING, Agencies, agencies_running
from tests.walks.stories.telling import AUDIT_KEY, CLYDE, REFUGE, Story, Told

BASES = HubSettings(other_bases=["safeguarding"]).model_dump()
SHEET = {"purpose": "housing", "needs": ["/person/name", "/request/ask"], "optional": ["/contact/phone", "/health"]}


@pytest.fixture(scope="package")
def house(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With a second council's housing, a refuge that is reached by hand, and retries that outlast a short outage."""
    port = free_port()
    callback_base = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        three = stack.enter_context(agencies_running(callback_base=callback_base))
        clyde = stack.enter_context(HousingSimulator((CLYDE,), callback_base))
        settings = three.settings(
            port=port, retry=["0.1s", "0.2s", *["0.4s"] * 200], poll=["1h"], hubs={"glasgow-hub": BASES},
            audit_key=AUDIT_KEY, audit_every="1s",
        )  # fmt: skip
        own = {**CREDENTIALS["housing"], "callback_secret": demo_callback_secret(CLYDE)}
        settings["agencies"][CLYDE] = {
            **settings["agencies"][HOUSING], "base_url": clyde.base_url(CLYDE), "credentials": own,
        }  # fmt: skip
        for agency in settings["agencies"].values():
            agency |= {"breaker_least": 2, "breaker_failing": 0.5, "breaker_window": "1s", "breaker_pause": "5s"}
        settings["agencies"][REFUGE] = {"adapter": "by-hand", "areas": ["glasgow"], "settings": SHEET}
        agencies = Agencies({**three.simulators, CLYDE: clyde})
        folder = tmp_path_factory.mktemp("stories")
        yield stack.enter_context(running(new_database(), agencies, settings, folder))


@pytest.fixture(scope="package")
def told(house: Gateway) -> Iterator[Told]:
    with Told().listening(house.hub) as receiver:
        yield receiver


@pytest.fixture
def story(house: Gateway, told: Told) -> Story:
    return Story(house, told)
