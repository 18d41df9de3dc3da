"""The servers that a production set-up has beside the gateway, as the tests find them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import kombu
import psycopg
import pytest

from gateway.store import schema
from tests.support import switch_on

POSTGRES = os.environ.get("GATEWAY_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
RABBITMQ = os.environ.get("GATEWAY_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")


def missing(*urls: str) -> str | None:
    """Which of the servers does not answer, in a sentence; None if all do."""
    for url in urls:
        parts = urlsplit(url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), 2).close()
        except OSError:
            return f"no server at {parts.hostname}:{parts.port}: see CONTRIBUTING.md"
    return None


def require(*urls: str) -> None:
    """Skip the test where a server is missing; in CI that is a failure."""
    message = missing(*urls)
    if message and os.environ.get("CI"):
        pytest.fail(message)
    if message:
        pytest.skip(message)


@contextmanager
def database() -> Iterator[str]:
    """A database of our own, with current tables, on the separate PostgreSQL."""
    name = f"gateway_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    try:
        url = POSTGRES.rsplit("/", 1)[0] + f"/{name}"
        schema.upgrade(url)
        switch_on(url)
        yield url
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@contextmanager
def queue() -> Iterator[str]:
    """The name of a queue of our own on RabbitMQ."""
    name = f"test-{uuid4().hex[:8]}"
    try:
        yield name
    finally:
        with kombu.Connection(RABBITMQ) as connection:
            connection.default_channel.queue_delete(name)
