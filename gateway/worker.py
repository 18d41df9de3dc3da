"""The delivery process: Celery carries every attempt, the clock rings for it.

A message holds the ids and tokens of deliveries, nothing else. Whatever the broker loses, repeats or
delays is repaired from the rows, so that ``memory://`` is enough inside one process.
"""

import json
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import celery
from celery import bootsteps, platforms, signals
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.worker.consumer import Consumer
from kombu.entity import Queue
from kombu.transport import memory

from . import ids, logs, telemetry
from .delivery import alerts, attempt, outbox, retention
from .delivery.room import PostRoom, open_room
from .settings import Settings
from .store.session import StoreUnavailable

log = logs.get()


BREATH = 0.02  # seconds between two looks; what becomes free meanwhile is claimed together
PATIENCE = 1.0  # seconds after which a bundle is given to other threads
TIDY = 0.5  # seconds between two rounds of what is no delivery's business
TELL = 1.0  # seconds between two looks for alerts that are due
WATCH = 10.0  # seconds between two looks for trouble
RETAIN = 3600.0  # seconds between two looks for what was kept for long enough
SOON = 1.0  # seconds after the start when each of these begins
LOOK_UP = 0.1  # seconds after which one that waits for messages looks whether it is told to stop
JSON = ("application/json", "utf-8")
HEARTBEAT = 10  # seconds; a broker that misses two is taken to be gone
AMQP = {
    "confirm_publish": True,
    "read_timeout": 5,
    "write_timeout": 5,
}  # seconds; without, a silent broker stops the clock


def build(settings: Settings, room: PostRoom) -> celery.Celery:
    """The Celery application. Its one task is ``attempt([[id, token], …])``."""
    durable = not settings.in_one_process
    app = celery.Celery("gateway", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(settings.broker_queue, queue_arguments={"x-queue-type": "quorum"} if durable else None)],
        task_default_queue=settings.broker_queue,
        task_default_queue_type="quorum" if durable else "classic",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=2,
        worker_concurrency=settings.threads,
        worker_pool="threads",
        worker_consumer=Doorkeeper,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # nobody steers a worker through the broker
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_timer_precision=LOOK_UP,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=settings.lease.total_seconds(),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # an outage may last for hours
        broker_heartbeat=HEARTBEAT,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0},  # by a new connection; the rows do the rest
        broker_transport=None if durable else f"{__name__}:Doorbell",
        broker_use_ssl=_proof(settings),
        broker_transport_options=AMQP if durable else {"polling_interval": 0.02},
    )

    nudge = threading.Event()

    @app.task(name="attempt", shared=False)  # type: ignore[untyped-decorator]  # celery has no types
    def _attempt(bundle: list[tuple[str, str]]) -> None:
        until, left = time.monotonic() + PATIENCE, [(identifier, UUID(token)) for identifier, token in bundle]
        carried_out = attempt.Round(room, left)
        while left and time.monotonic() < until:
            _survive(carried_out.run, *left.pop(0), doing="attempt")
            nudge.set()  # a place in its agency's window is free: the clock may look at once
        _survive(carried_out.end, doing="attempt")
        nudge.set()
        for one in left:  # the agency became slow: let other threads take the rest
            ring([one])

    ring = bell(app)
    app.steps["worker"].add(_clock(room, ring, nudge))
    app.steps["worker"].add(_beside(room, "watch", WATCH, alerts.watch))
    app.steps["worker"].add(_beside(room, "alerts", TELL, alerts.send_due))
    app.steps["worker"].add(_beside(room, "retention", RETAIN, retention.clock))
    return app


def _proof(settings: Settings) -> dict[str, Any] | None:
    """How a broker by TLS proves who it is; none: it is reached in plain. By itself kombu takes any name's certificate."""
    parts = urlsplit(settings.broker)
    if parts.scheme != "amqps":
        return None
    authority = str(settings.broker_ca_file) if settings.broker_ca_file else None  # none: the machine's
    return {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": authority, "server_hostname": parts.hostname}


class Doorbell(memory.Transport):  # type: ignore[misc]  # kombu has no types
    """The memory broker. Celery waits two seconds for a message, twice when it is told to stop; this one looks up sooner."""

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        super().drain_events(connection, LOOK_UP)


def bell(app: celery.Celery) -> outbox.Bell:
    """Rings for a bundle: publishes ids and tokens, and nothing else."""

    def ring(bundle: Sequence[tuple[str, UUID]]) -> None:
        ids = [(identifier, str(token)) for identifier, token in bundle]
        app.tasks["attempt"].apply_async((ids,), argsrepr="", kwargsrepr="", shadow="attempt")

    return ring


OURS = {  # the headers of our messages, where Celery takes others
    "task": "attempt", "shadow": "attempt", "argsrepr": "", "kwargsrepr": "", "retries": 0, "timelimit": [None, None],
    "eta": None, "expires": None, "group": None, "group_index": None, "parent_id": None, "stamps": {}, "stamped_headers": None,
    "ignore_result": True, "replaced_task_nesting": 0, "compression": None,
}  # fmt: skip


def is_ours(message: Any) -> bool:
    """Whether *message* is what a bell sends: ids and tokens, and nothing else."""
    headers = message.headers
    if any(headers.get(name, usual) != usual for name, usual in OURS.items()):
        return False
    if (
        not (isinstance(headers.get("id"), str) and headers["id"])
        or (message.content_type, message.content_encoding) != JSON
    ):
        return False
    try:
        (bundle,), named, embedded = json.loads(message.body)
        return (
            not named
            and not any(embedded.values())
            and all(ids.valid(one, "del") and UUID(token) for one, token in bundle)
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


class Doorkeeper(Consumer):  # type: ignore[misc]  # celery has no types
    """Lets only our own messages in. Others could end the worker; the broker would hand them to the next, for ever."""

    def create_task_handler(self, *args: Any, **more: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **more)

        def on_message(message: Any) -> None:
            if is_ours(message):
                handle(message)
            else:
                self.on_decode_error(message, None)

        return on_message

    def on_decode_error(self, message: Any, exc: Exception | None) -> None:
        log.error("a message that no gateway sends was dropped", action="message")  # what it holds is not told
        message.reject()


def _clock(room: PostRoom, ring: outbox.Bell, nudge: threading.Event) -> type[bootsteps.StartStopStep]:
    """The clock, as a part of the worker: it starts with it and stops before it drains."""

    class Clock(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
        requires = {"celery.worker.components:Pool"}

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            self.stopping = threading.Event()
            self.thread = threading.Thread(target=self._run, name="clock", daemon=True)

        def start(self, parent: Any) -> None:
            self.thread.start()

        def stop(self, parent: Any) -> None:
            self.stopping.set()
            nudge.set()
            self.thread.join(timeout=10)

        def _run(self) -> None:
            tidied = 0.0
            while not self.stopping.is_set():
                nudge.clear()
                if time.monotonic() > tidied + TIDY:
                    _survive(outbox.tidy, room)
                    tidied = time.monotonic()
                if not _survive(outbox.claim, room, ring):
                    nudge.wait(room.settings.tick.total_seconds())
                self.stopping.wait(BREATH)

    return Clock


def _beside(
    room: PostRoom, label: str, every: float, work: Callable[[PostRoom], int | None]
) -> type[bootsteps.StartStopStep]:
    """A thread beside the clock that does *work* *every* so many seconds: what is slow there must not hold up referrals."""

    class Beside(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
        name = label

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            self.stopping = threading.Event()
            self.thread = threading.Thread(target=self._run, name=label, daemon=True)

        def start(self, parent: Any) -> None:
            self.thread.start()

        def stop(self, parent: Any) -> None:
            self.stopping.set()

        def _run(self) -> None:
            pause = SOON
            while not self.stopping.wait(pause):
                _survive(work, room, doing=label)
                pause = every

    return Beside


def _survive(work: Callable[..., int | None], *args: Any, doing: str = "tick") -> int:
    """Do *work*, whatever happens: the rows repair it, and a traceback would quote data."""
    try:
        return work(*args) or 0
    except StoreUnavailable:
        log.warning("the database does not answer; trying again", action=doing)
    except Exception as error:
        log.error("failed; it will be tried again", action=doing, exc_info=error)
    return 0


class Discreet(Worker):  # type: ignore[misc]  # celery has no types
    """Deaf to the signals at which Celery prints what its threads hold, or opens a debugger.

    Ctrl-C again, at which Celery cuts off what is in flight, is told to stop once more and nothing else.
    """

    def install_platform_tweaks(self, worker: Any) -> None:
        super().install_platform_tweaks(worker)
        platforms.signals.ignore("SIGUSR1", "SIGUSR2")
        platforms.signals["SIGINT"] = platforms.signals["SIGTERM"]


def run(settings: Settings) -> None:
    """Deliver until told to stop (SIGTERM, SIGINT): what is in flight is finished, nothing new is taken."""
    signals.setup_logging.connect(lambda **_: logs.configure(settings.log_level), weak=False)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # about root: our messages are JSON, never pickle
    telemetry.start(settings.otlp_endpoint, "delivery")
    room = open_room(settings)
    try:
        app = build(settings, room)
        Discreet(app=app, quiet=True, loglevel=settings.log_level, without_gossip=True, without_mingle=True).start()
    finally:
        room.store.close()
        telemetry.stop()
