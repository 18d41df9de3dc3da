"""What is on the broker: ids and tokens, nothing else; and what becomes of it there."""

import json
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import kombu
import kombu.exceptions
import pytest
from pydantic import SecretStr

from gateway import worker
from gateway.delivery import outbox
from gateway.delivery.room import PostRoom
from gateway.settings import Settings
from gateway.store.deliveries import Delivery
from tests import servers
from tests.faults.poison import POISON
from tests.faults.proxy import Fault, Proxy
from tests.rooms.delivery.test_attempt import of, submit
from tests.support import Agencies
from tests.walks.test_canary import document, secrets_of


@pytest.fixture
def rung(room: PostRoom, agencies: Agencies) -> Any:
    """The raw messages of a tick, and the deliveries they ring for."""
    servers.require(servers.RABBITMQ)
    with servers.queue() as name:
        settings = Settings(**agencies.settings(broker_url=servers.RABBITMQ, broker_queue=name))
        app = worker.build(settings, room)
        whole = document()
        _, identifier = submit(
            room, **{key: whole[key] for key in ("person", "contact", "household", "housing", "health")}
        )
        outbox.tick(room, worker.bell(app))
        with kombu.Connection(servers.RABBITMQ) as connection:
            channel = connection.default_channel
            messages = []
            while (message := channel.basic_get(name, no_ack=True)) is not None:
                messages.append(channel.message_to_python(message))
            state = channel.queue_declare(name, passive=True)
            assert state.queue == name
        app.close()
        yield messages, of(room, identifier)


def test_a_message_is_ids_and_tokens(rung: tuple[list[Any], dict[str, Delivery]]) -> None:
    messages, found = rung
    held = {delivery.id: str(delivery.token) for delivery in found.values()}
    bodies = [json.loads(message.body) for message in messages]
    assert {tuple(one) for body in bodies for one in body[0][0]} == set(held.items())
    assert all(body[1] == {} for body in bodies)


def test_only_such_messages_are_let_in(rung: tuple[list[Any], dict[str, Delivery]]) -> None:
    messages, _ = rung
    assert messages
    assert all(worker.is_ours(message) for message in messages)
    with kombu.Connection("memory://") as connection:
        channel = connection.default_channel
        for one in POISON:
            strange = kombu.Message(
                one.body, channel=channel, headers={**messages[0].headers, **one.headers},
                content_type=one.content_type, content_encoding=one.encoding,
            )  # fmt: skip
            assert not worker.is_ours(strange), one


def test_no_personal_data_is_in_a_message(rung: tuple[list[Any], dict[str, Delivery]]) -> None:
    messages, _ = rung
    text = "\n".join(json.dumps([m.properties, m.headers, str(m.body)], default=str) for m in messages)
    assert "attempt" in text
    assert not [pointer for pointer, value in secrets_of(document()).items() if value in text]


def test_messages_survive_a_restart_of_the_broker(rung: tuple[list[Any], dict[str, Delivery]]) -> None:
    messages, _ = rung
    assert {message.properties["delivery_mode"] for message in messages} == {2}  # persistent, in a quorum queue


def test_settings_that_keep_a_message_until_it_is_done(room: PostRoom) -> None:
    conf = worker.build(room.settings, room).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 2
    assert not conf.worker_enable_remote_control
    assert conf.accept_content == ["json"]
    durable = worker.build(room.settings.model_copy(update={"broker_url": SecretStr(servers.RABBITMQ)}), room).conf
    assert durable.broker_transport_options["confirm_publish"]
    assert durable.task_queues[0].queue_arguments == {"x-queue-type": "quorum"}


def test_a_silent_broker_holds_up_the_clock_for_moments_only(room: PostRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the message and says nothing. Whoever rings is told, and rings the next time by a new connection."""
    servers.require(servers.RABBITMQ)
    monkeypatch.setitem(worker.AMQP, "read_timeout", worker.AMQP["read_timeout"] / 10)
    parts = urlsplit(servers.RABBITMQ)
    with servers.queue() as name, Proxy((parts.hostname or "", parts.port or 5672)) as between:
        address = servers.RABBITMQ.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{between.port}")
        app = worker.build(
            room.settings.model_copy(update={"broker_url": SecretStr(address), "broker_queue": name}), room
        )
        app.conf.broker_connection_timeout = 1
        ring = worker.bell(app)
        ring([("before", uuid4())])
        started = time.monotonic()
        with between.being(Fault.BLACK_HOLE), pytest.raises(kombu.exceptions.OperationalError):
            ring([("lost", uuid4())])
        assert time.monotonic() - started < 10
        ring([("after", uuid4())])
        with kombu.Connection(servers.RABBITMQ) as connection:
            assert connection.default_channel.queue_declare(name, passive=True).message_count == 2
        app.close()


def test_an_outage_of_the_broker_may_last(room: PostRoom) -> None:
    conf = worker.build(room.settings, room).conf
    assert conf.broker_connection_max_retries is None  # 100 would be over within the hour, and the worker with it
    assert conf.broker_heartbeat == 10
