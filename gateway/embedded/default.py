"""``gateway up``, and a database for the other commands."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from gateway import logs, stopping, vault
from gateway.errors import Misconfigured
from gateway.policy.places import Phase
from gateway.policy.roles import Person, Role
from gateway.settings import Settings
from gateway.store import directory, people, schema
from gateway.store.session import Store
from gateway.vault import generate

from .postgres import Postgres, default_folder
from .supervisor import Supervisor, gateway, wait_ready

log = logs.get()


@contextmanager
def database(settings: Settings, *, tables: bool = True) -> Iterator[Settings]:
    """*settings* with a database and a master key: the configured ones, or the embedded default's.

    The embedded server is started if it does not run, and its *tables* are brought up to date; or left as they are.
    """
    if settings.database_url is not None:
        if not settings.masters:
            raise Misconfigured("setting master_key: set GATEWAY_MASTER_KEY; gateway key makes one")
        if tables:
            schema.require_current(settings.database)
        yield settings
        return
    folder = settings.data_folder or default_folder()
    stopping.begun.set()  # a server that is left half started would be left running
    with Postgres(folder) as postgres:
        if tables:
            schema.upgrade(postgres.url)
        complete = {
            "database_url": SecretStr(postgres.url), "data_folder": folder,
            "audit_key": settings.audit_key or _kept_key(folder / "audit.key"),
            "tokens": settings.tokens.model_copy(
                update={"keys": settings.tokens.keys or [_kept_key(folder / "token.key")]}
            ),
        }  # fmt: skip
        if not settings.masters:
            complete["master_key"] = _kept_key(folder / "master.key")
        yield settings.model_copy(update=complete, deep=False)


def _kept_key(path: Path) -> SecretStr:
    """A key kept beside the data, made on the first start."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(generate())
        log.warning("a key was made and is kept beside the data: for trying out only", path=str(path))
    return SecretStr(path.read_text().strip())


def kept_beside(settings: Settings) -> bool:
    """Whether a master key of *settings* is the one that was made here for trying out."""
    try:
        made = ((settings.data_folder or default_folder()) / "master.key").read_text().strip()
    except OSError:
        return False
    return made in settings.masters.values()


def environment(settings: Settings) -> dict[str, str]:
    """What a child process needs to know, beside what it inherits."""
    audit_key = settings.audit_key  # a configured database may go without
    return {
        **os.environ,
        "GATEWAY_DATABASE_URL": settings.database,
        "GATEWAY_MASTER_KEYS": json.dumps(settings.masters),
        **({"GATEWAY_AUDIT_KEY": audit_key.get_secret_value()} if audit_key else {}),
        "GATEWAY_TOKENS__KEYS": json.dumps([key.get_secret_value() for key in settings.tokens.keys]),
        "GATEWAY_HOST": settings.host,
        "GATEWAY_PORT": str(settings.port),
    }


def first_start(settings: Settings) -> str | None:
    """On the first start only: a password for ``admin``, and every area that an agency serves switched on."""
    from argon2 import PasswordHasher

    store = Store(settings.database, vault.of(settings), 2).open()
    try:
        with store.begin() as tx:
            if people.anybody(tx):
                return None
            password = secrets.token_urlsafe(12)
            admin = Person("admin", Role.DELIVERY_ADMIN)
            people.add(tx, admin, PasswordHasher().hash(password), by="gateway", one_time=settings.people.second_factor)
            for area in sorted({area for agency in settings.agencies.values() for area in agency.areas}):
                directory.switch(tx, area, Phase.PILOT, by="gateway", reason="first start of the embedded default")
            return password
    finally:
        store.close()


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Settings, Supervisor, str | None]]:
    """Everything, up and ready. Yields the complete settings, the supervisor, and a new admin's password.

    Raises Misconfigured if it runs already, or does not become ready. Told to stop meanwhile, it waits no longer.
    """
    with database(settings) as ready:
        stopping.begun.set()  # what follows is to be shown, and to be stopped
        folder = ready.data_folder or default_folder()
        with _only_one(folder):
            _require_free(ready.host, ready.port)
            password = first_start(ready)
            supervisor = Supervisor()
            try:
                supervisor.start("web", gateway("serve"), environment(ready))
                supervisor.start("delivery", gateway("worker"), environment(ready))
                if not wait_ready(f"http://{ready.host}:{ready.port}/readyz", 30) and not stopping.is_told():
                    raise Misconfigured(f"the web process does not answer on port {ready.port}: is the port taken?")
                yield ready, supervisor, password
            finally:
                supervisor.stop()


def _require_free(host: str, port: int) -> None:
    """Raises Misconfigured if something else listens there: its answers could be taken for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise Misconfigured(f"setting port: {host}:{port} is taken; set GATEWAY_PORT to another") from None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "up.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"the gateway runs already on {folder}: stop it, or set GATEWAY_DATA_FOLDER") from None
        yield


def up(settings: Settings) -> None:
    """Run everything until told to stop."""
    with running(settings) as (ready, _, password):
        print(f"Referral Gateway on http://{ready.host}:{ready.port}, status page at /console")
        if password:
            print(f"Log in as admin with this password, shown only now: {password}")
        print("Give a hub its API key with: gateway hubs add NAME. Stop with Ctrl-C.", flush=True)
        stopping.wait()
        print("Stopping: what is in flight is finished first.", flush=True)
