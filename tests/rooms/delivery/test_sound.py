"""Nonsense from an adapter becomes a doubt or a refusal, never a crash and never a delivery."""

from datetime import UTC, datetime
from typing import Any

import gateway_sdk as sdk
import pytest

from gateway.delivery import sound
from gateway.delivery.room import PostRoom
from gateway.policy.lifecycle import State
from tests.rooms.delivery.test_attempt import of, submit, work
from tests.support import HOUSING

NONSENSE: list[Any] = [
    None,
    "delivered",
    sdk.Delivered(7),  # type: ignore[arg-type]
    sdk.Delivered("x" * 500),
    sdk.Delivered("a\nb"),
    sdk.Delivered(""),
    sdk.Refused(None),  # type: ignore[arg-type]
    sdk.Unavailable("HTTP 503", retry_after=-1),
    sdk.Unavailable("HTTP 503", retry_after=float("nan")),
    sdk.Unavailable("HTTP 503", retry_after="soon"),  # type: ignore[arg-type]
    sdk.NotFound(),
]


@pytest.mark.parametrize("found", NONSENSE, ids=repr)
def test_nonsense_is_a_doubt(room: PostRoom, monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    monkeypatch.setattr(room.agencies[HOUSING].adapter, "classify", lambda reply: found)
    _, identifier = submit(room, HOUSING)
    work(room)
    delivery = of(room, identifier)[HOUSING]
    assert (delivery.state, delivery.code) == (State.ASKING, "unreadable")


@pytest.mark.parametrize(
    "found",
    [
        None,
        sdk.Delivered("x"),
        sdk.Update("accepted"),  # type: ignore[arg-type]
        sdk.Update(sdk.Status.ACCEPTED, delivery_key=["x"]),  # type: ignore[arg-type]
        sdk.Update(sdk.Status.ACCEPTED, reason="full"),  # type: ignore[arg-type]
        sdk.Update(sdk.Status.ACCEPTED, at=datetime(2026, 1, 1)),  # noqa: DTZ001  # that is the nonsense
        sdk.Update(sdk.Status.ACCEPTED, id="x" * 200),
    ],
    ids=repr,
)
def test_a_senseless_update_is_refused(found: Any) -> None:
    with pytest.raises(sound.Unsound):
        sound.answer(found)


@pytest.mark.parametrize(
    "found",
    [
        sdk.NotFound(),
        sdk.Unavailable("HTTP 503", 3),
        sdk.Update(sdk.Status.ACCEPTED, at=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_sense_is_passed_on(found: Any) -> None:
    assert sound.answer(found) is found
