"""A mail server of a few lines (RFC 5321), with or without STARTTLS and a login; it keeps what it is given."""

import base64
import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any


@dataclass
class Mailbox:
    """*mails*: (recipients, message). *logins*: what was given as user and password. *refusing*: it takes no mail."""

    port: int
    refusing: bool = False
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, at_once: bool = False) -> Iterator[Mailbox]:
    """A mail server on 127.0.0.1. With *tls* it offers STARTTLS, and takes mail only after it; or it speaks TLS *at_once*."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        box, stopping = Mailbox(listener.getsockname()[1]), threading.Event()
        listener.settimeout(0.05)

        def accept() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(box, connection, tls, at_once), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            stopping.set()
            thread.join()


def serve(box: Mailbox, connection: Any, tls: ssl.SSLContext | None, safe: bool) -> None:
    connection.settimeout(10)
    recipients: list[str] = []
    with suppress(OSError), ExitStack() as stack:
        stack.callback(lambda: connection.close())
        if tls and safe:
            connection = tls.wrap_socket(connection, server_side=True)
        connection.sendall(b"220 here\r\n")
        while line := read(connection, b"\r\n"):
            word, _, rest = line.decode().partition(" ")
            match word.upper():
                case "EHLO":
                    connection.sendall(
                        b"250-here\r\n250-AUTH PLAIN\r\n" + (b"250 STARTTLS\r\n" if tls else b"250 HELP\r\n")
                    )
                case "STARTTLS" if tls:
                    connection.sendall(b"220 go on\r\n")
                    connection, safe = tls.wrap_socket(connection, server_side=True), True
                case "AUTH":
                    box.logins.append(base64.b64decode(rest.removeprefix("PLAIN ")).decode().replace("\0", " ").strip())
                    connection.sendall(b"235 welcome\r\n")
                case "MAIL" if box.refusing or (tls and not safe):
                    connection.sendall(b"451 not now\r\n")
                case "RCPT":
                    recipients.append(rest.partition("<")[2].rstrip(">"))
                    connection.sendall(b"250 ok\r\n")
                case "DATA":
                    connection.sendall(b"354 go on\r\n")
                    message = email.message_from_bytes(read(connection, b"\r\n.\r\n"), policy=email.policy.default)
                    assert isinstance(message, EmailMessage)
                    box.encrypted.append(safe)
                    box.mails.append((list(recipients), message))
                    connection.sendall(b"250 taken\r\n")
                case "QUIT":
                    connection.sendall(b"221 bye\r\n")
                    return
                case _:
                    connection.sendall(b"250 ok\r\n")


def read(connection: Any, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        part = connection.recv(1 if len(end) == 2 else 4096)
        if not part:
            return b""
        data += part
    return data.removesuffix(end)
