"""Messages that nobody should send to the gateway's queue, and the way there."""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import kombu

JSON = "application/json"
MARK = "x-not-ours"  # a header that tells them from the gateway's own


@dataclass(frozen=True)
class Message:
    """*headers*: beside those of a proper message of Celery's; None leaves one out."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    content_type: str = JSON
    encoding: str = "utf-8"


def called(*arguments: Any, **headers: Any) -> Message:
    """A call of the task with *arguments*."""
    return Message(json.dumps([arguments, {}, {}]).encode(), headers)


def rings(*bundle: tuple[str, str]) -> Message:
    """What the gateway's own look like."""
    return called(list(bundle))


GOOD = ("del_00000000000000000", str(uuid4()))  # of nobody
POISON = [
    Message(b"\x00\xff\xfe garbage"),
    Message(b""),
    Message(b"{}"),
    Message(b"[]"),
    Message(b"null"),
    Message(b"[[1, 2, 3]]"),
    Message(b"[" * 100_000),
    Message(json.dumps([[[list(GOOD)]], {}, {}]).encode(), {}, "text/plain"),
    Message(json.dumps([[[list(GOOD)]], {}, {}]).encode(), {}, "application/x-yaml"),
    Message(json.dumps([[[list(GOOD)]], {}, {}]).encode(), {}, "application/nonsense", "binary"),
    Message(json.dumps([[[list(GOOD)]], {}, {}]).encode(), {}, JSON, "no-such-encoding"),
    Message(json.dumps([[[list(GOOD)]], {}, {}]).encode(), {"compression": "application/x-gzip"}),
    Message(pickle.dumps([[[GOOD]], {}, {}]), {}, "application/x-python-serialize", "binary"),
    Message(b"hello", {"task": None, "id": None}),
    called([GOOD], task="no.such.task"),
    called([GOOD], task=""),
    called([GOOD], task=7),
    called([GOOD], id=""),
    called([GOOD], id={"a": 1}),
    called([GOOD], retries="many"),
    called([GOOD], timelimit="soon"),
    called([GOOD], timelimit=[1]),
    called([GOOD], eta="tomorrow"),
    called([GOOD], expires="never"),
    called([GOOD], shadow=["x"], argsrepr={"a": 1}, root_id=3, parent_id=[], group=5),
    called(),
    called([GOOD], "too many"),
    called(None),
    called(7),
    called("text"),
    called([[]]),
    called([["del_00000000000000000"]]),
    called([[*GOOD, "three"]]),
    called([["del_00000000000000000", "not a token"]]),
    called([[7, GOOD[1]]]),
    called([[{"a": 1}, GOOD[1]]]),
    called([["\x00", GOOD[1]]]),
    called([["x" * 1_000_000, GOOD[1]]]),
    called([GOOD[0], GOOD[1]]),
    Message(json.dumps([[], {"bundle": [GOOD], "more": 1}, {}]).encode()),
    Message(json.dumps([[[GOOD]], {}, {"callbacks": "x", "errbacks": 3, "chain": 5, "chord": "y"}]).encode()),
]


def publish(url: str, queue: str, messages: Sequence[Message]) -> None:
    """Put *messages* on the queue, past the gateway."""
    with kombu.Connection(url) as connection:
        producer = kombu.Producer(connection.default_channel)
        for one in messages:
            proper = {"lang": "py", "task": "attempt", "id": str(uuid4()), "retries": 0, MARK: True}
            headers = {name: value for name, value in {**proper, **one.headers}.items() if value is not None}
            producer.publish(
                one.body,
                routing_key=queue,
                headers=headers,
                content_type=one.content_type,
                content_encoding=one.encoding,
            )


def left(url: str, queue: str) -> int:
    """Take everything from the queue. Returns how much of it was not the gateway's own."""
    count = 0
    with kombu.Connection(url) as connection:
        while (message := connection.default_channel.basic_get(queue, no_ack=True)) is not None:
            count += bool(message.headers.get(MARK))
    return count
