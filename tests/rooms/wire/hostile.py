"""A server that does what a function says, byte by byte, with or without TLS."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Act = Callable[[socket.socket, bytes], None]


@dataclass
class Hostile:
    """*requests*: every request as received, head and body. *connections*: how many were made."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(act: Act, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Runs *act* for every request on every connection, until it closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Hostile(listener.getsockname()[1])
        stopping = threading.Event()
        listener.settimeout(0.05)

        def accept() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    server.connections += 1
                    threading.Thread(target=converse, args=(connection,), daemon=True).start()

        def converse(connection: socket.socket) -> None:
            connection.settimeout(10)
            with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
                while request := read_request(stream):
                    server.requests.append(request)
                    act(stream, request)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            thread.join()


def read_request(stream: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = stream.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += stream.recv(65536)
    return head + b"\r\n\r\n" + body


def reply(body: bytes = b"{}", status: str = "200 OK", kind: str = "application/json", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def always(answer: bytes) -> Act:
    def act(stream: socket.socket, request: bytes) -> None:
        stream.sendall(answer)

    return act


@dataclass(frozen=True)
class Certificates:
    """A private authority in *folder*, and what it signs."""

    folder: Path

    def __post_init__(self) -> None:
        self._key("ca")
        self._sign("ca", "Test authority", issuer="ca", authority=True)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def make(self, name: str, host: str = "127.0.0.1", days: int = 1) -> tuple[Path, Path]:
        """A certificate for *host* that ends in *days*, and its key."""
        self._key(name)
        self._sign(name, host, issuer="ca", days=days)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def server(self, name: str, *, host: str = "127.0.0.1", days: int = 1, client_too: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.make(name, host, days))
        if client_too:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context

    @staticmethod
    def _usage(authority: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip

    def _key(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        (self.folder / f"{name}.key").write_bytes(pem)

    def _load(self, name: str) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _sign(self, name: str, host: str, *, issuer: str, days: int = 1, authority: bool = False) -> None:
        now = dt.datetime.now(dt.UTC)
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(by if authority else named)
            .issuer_name(by)
            .public_key(self._load(name).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=9))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._load(name).public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._load(issuer).public_key()), critical=False
            )
            .add_extension(self._usage(authority), critical=True)  # newer Pythons verify by the letter of RFC 5280
        )
        if not authority:
            try:
                alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
            except ValueError:
                alternative = x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        certificate = builder.sign(self._load(issuer), hashes.SHA256())
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
