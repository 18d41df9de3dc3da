"""A broker by TLS proves who it is, or hears nothing of ours."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import kombu
import pytest
from pydantic import SecretStr

from gateway import worker
from gateway.delivery.room import PostRoom
from tests import servers
from tests.rooms.wire.hostile import Certificates

GREETING = b"AMQP\x00\x00\x09\x01"  # with which a client of AMQP 0-9-1 begins


@contextmanager
def listening(tls: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """A broker that hangs up once it is greeted: its port, and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopping = threading.Event()
        listener.settimeout(0.05)

        def accept() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    with tls.wrap_socket(connection, server_side=True) as stream:
                        heard.append(stream.recv(8))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            stopping.set()
            thread.join()


@contextmanager
def before_rabbitmq(tls: ssl.SSLContext) -> Iterator[int]:
    """TLS in front of the RabbitMQ of the tests: its port."""
    parts = urlsplit(servers.RABBITMQ)

    def carry(source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                to.sendall(part)
            to.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError), ExitStack() as stack:
            while True:
                outside = stack.enter_context(tls.wrap_socket(listener.accept()[0], server_side=True))
                inside = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 5672)))
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def connect(room: PostRoom, port: int, authority: Path | None, host: str = "127.0.0.1") -> None:
    """As a worker connects."""
    address = SecretStr(f"amqps://gateway:secret@{host}:{port}//")
    app = worker.build(room.settings.model_copy(update={"broker_url": address, "broker_ca_file": authority}), room)
    with app.connection() as connection:
        connection.connect()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_one_that_its_authority_knows_is_greeted(room: PostRoom, tmp_path: Path, host: str) -> None:
    certificates = Certificates(tmp_path)
    with listening(certificates.server("broker", host=host)) as (port, heard):
        with pytest.raises(OSError, match="closed") as ended:
            connect(room, port, certificates.authority, host)
        assert not isinstance(ended.value, ssl.SSLError)
    assert set(heard) == {GREETING}


def test_one_of_an_unknown_authority_hears_nothing(room: PostRoom, tmp_path: Path) -> None:
    unknown = Certificates(tmp_path).server("broker")
    with listening(unknown) as (port, heard), pytest.raises(ssl.SSLCertVerificationError):
        connect(room, port, None)
    assert heard == []


@pytest.mark.parametrize("given", ["in the settings", "by the machine"])
def test_one_of_another_name_hears_nothing(
    room: PostRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))  # what the machine trusts
    another = certificates.server("broker", host="127.0.0.2")
    with listening(another) as (port, heard), pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        connect(room, port, certificates.authority if given == "in the settings" else None)
    assert heard == []


def test_what_is_rung_by_tls_arrives(room: PostRoom, tmp_path: Path) -> None:
    servers.require(servers.RABBITMQ)
    certificates = Certificates(tmp_path)
    parts = urlsplit(servers.RABBITMQ)
    with servers.queue() as name, before_rabbitmq(certificates.server("broker")) as port:
        address = f"amqps://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"
        changes = {
            "broker_url": SecretStr(address), "broker_ca_file": certificates.authority, "broker_queue": name,
        }  # fmt: skip
        app = worker.build(room.settings.model_copy(update=changes), room)
        worker.bell(app)([("del_1", uuid4())])
        with kombu.Connection(servers.RABBITMQ) as connection:
            assert connection.default_channel.queue_declare(name, passive=True).message_count == 1
        app.close()
