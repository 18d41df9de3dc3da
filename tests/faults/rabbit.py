"""A private RabbitMQ, to be killed, started again, and told to drop its connections.

The machine's own node is not touched: another name, other ports, another epmd, another cookie, data in a folder of ours.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

import kombu

from tests.running import free_port

PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # the distribution's wrappers on the path would become another user
PATIENCE = 60.0  # seconds to start


def missing() -> str | None:
    """Why there can be no private node here, in a sentence."""
    if (PROGRAMS / "rabbitmq-server").exists() and shutil.which("epmd"):
        return None
    return f"there is no rabbitmq-server in {PROGRAMS}: see CONTRIBUTING.md"


class RabbitMQ:
    """A node whose data is kept in *folder*. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._name = f"faults-{os.getpid()}-{self.port}@localhost"
        self._epmd_port, self._dist_port = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    def url(self, port: int | None = None) -> str:
        """Its address, or that of a proxy of this *port*."""
        return f"amqp://guest:guest@127.0.0.1:{port or self.port}//"

    def __enter__(self) -> Self:
        for name, text in {"env.conf": "", "plugins": "[].", "rabbitmq.conf": self._settings()}.items():
            (self.folder / name).write_text(text)
        epmd = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = subprocess.Popen(epmd, start_new_session=True)
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        if self._epmd:
            self._epmd.kill()
            self._epmd.wait()

    def _settings(self) -> str:
        return f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = false\ndisk_free_limit.absolute = 1MB\n"

    def start(self) -> None:
        """Start the node, unless it runs, and wait until it takes connections."""
        if self._node and self._node.poll() is None:
            return
        with (self.folder / "output").open("ab") as output:
            self._node = subprocess.Popen(
                [str(PROGRAMS / "rabbitmq-server")], env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with kombu.Connection(self.url(), connect_timeout=2) as connection:
                    connection.connect()
                    return
            except OSError:
                said = (self.folder / "output").read_text()[-1000:]
                assert time.monotonic() < until and self._node.poll() is None, f"RabbitMQ does not start: {said}"
                time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut does it."""
        if self._node and self._node.poll() is None:
            os.killpg(self._node.pid, signal.SIGKILL)  # the start script, the node, and its helpers
            self._node.wait()

    def control(self, *arguments: str) -> None:
        """What ``rabbitmqctl`` is told."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--node", self._name, *arguments]
        subprocess.run(command, env=self._environment(), check=True, capture_output=True, timeout=60)

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
            "HOME": folder,  # of the cookie
            "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name, "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf", "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins", "RABBITMQ_PLUGINS_EXPAND_DIR": f"{folder}/expanded",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data", "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ALLOW_INPUT": "true",  # no shell stays between us and the node
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
