"""The command, run in a test's room."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result

from gateway import cli
from gateway.cli import terminal
from gateway.delivery.room import PostRoom


class Operator:
    """Runs commands in *room*."""

    def __init__(self, room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room

        @contextmanager
        def opened() -> Iterator[PostRoom]:
            yield self.room

        monkeypatch.setattr(terminal, "opened", opened)
        monkeypatch.setenv("COLUMNS", "120")

    def __call__(self, *arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(cli.app, arguments, input=answer)


@pytest.fixture
def gateway(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(room, monkeypatch)
