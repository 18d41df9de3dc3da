"""What the post room works with."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from urllib.parse import urlsplit

from gateway import hub, plugins, vault
from gateway.errors import Misconfigured
from gateway.notary import Notary
from gateway.plugins import Agency
from gateway.policy.retry import Schedule, next_time
from gateway.settings import AgencySettings, Settings
from gateway.store import keys
from gateway.store.session import Store
from gateway.store.webhooks import Webhook
from gateway.wire import Target

QUICK = 0.25  # seconds
ENOUGH = 64_000  # bytes of a hub's reply, which is not looked at


@dataclass(frozen=True)
class PostRoom:
    """The store, the agencies, and the schedules of the settings."""

    store: Store
    agencies: Mapping[str, Agency]
    settings: Settings
    _targets: dict[str, Target] = field(default_factory=dict, repr=False)
    _paces: dict[str, float] = field(default_factory=dict, repr=False)

    def target(self, agency: Agency) -> Target:
        """Where *agency* is, for the wire."""
        if agency.outside:  # a hub may move its webhook
            return self._target(agency)
        if agency.name not in self._targets:
            self._targets[agency.name] = self._target(agency)
        return self._targets[agency.name]

    def _target(self, agency: Agency) -> Target:
        chosen = agency.settings
        return Target(
            name=agency.name,
            base_url=chosen.base_url,
            auth=agency.adapter.auth,
            credentials=agency.credentials,
            wsdl=agency.adapter.wsdl,
            deadline=chosen.deadline.total_seconds(),
            max_reply=chosen.max_reply,
            ca_file=chosen.ca_file,
            client_certificate=chosen.client_certificate,
            client_key=chosen.client_key,
            public_only=agency.outside and not self.settings.webhooks.allow_private,
            status_only=agency.outside,
        )

    def webhook(self, found: Webhook) -> Agency:
        """A hub's webhook, as the stairs know an agency."""
        parts = urlsplit(found.url)
        chosen = AgencySettings.model_construct(
            adapter="webhook", base_url=f"{parts.scheme}://{parts.netloc}", areas=[], max_reply=ENOUGH,
            deadline=self.settings.webhooks.deadline,
        )  # fmt: skip
        return Agency(found.id, hub.Webhook(), chosen, outside=True)

    def took(self, agency: str, seconds: float) -> None:
        """Remember how long the last call to *agency* took."""
        self._paces[agency] = seconds

    def is_quick(self, agency: str) -> bool:
        """Whether the last call of this process to *agency* was a short one."""
        return self._paces.get(agency, 0.0) < QUICK

    @cached_property
    def notary(self) -> Notary | None:
        """Who signs the audit, if there is a key."""
        key = self.settings.audit_key
        return Notary(key.get_secret_value()) if key else None

    @cached_property
    def _retry(self) -> Schedule:
        s = self.settings
        return Schedule(s.retry, s.jitter, least=s.retry_least, most=s.retry_most)

    def retry_at(self, failures: int, now: datetime, *, busy: bool, retry_after: float | None) -> datetime | None:
        """When to send again after *failures* failures, or None: give up."""
        return next_time(self._retry, failures, now, random.random(), busy=busy, retry_after=retry_after)

    def ask_at(self, asks: int, now: datetime) -> datetime | None:
        """When to ask about an uncertain send that was asked about *asks* times, or None: leave it to a person."""
        return next_time(Schedule(self.settings.ask), asks + 1, now, 0.5)

    def poll_at(
        self, agency: Agency, polls: int, since: datetime, now: datetime, *, down: bool = False
    ) -> datetime | None:
        """When to ask again for news after *polls* that brought none, or None: not at all, or no longer.

        While the agency is *down* the longest pause is taken: what is to be sent goes first when it is back.
        """
        own = agency.settings.poll
        pauses = self.settings.poll if own is None else own
        if not agency.adapter.polls or not pauses or now - since > self.settings.poll_for:
            return None
        schedule = Schedule(pauses, self.settings.jitter, repeat_last=True)
        return next_time(schedule, len(pauses) if down else polls + 1, now, random.random())


def open_room(settings: Settings) -> PostRoom:
    """The database and the agencies of complete *settings*; close its store at the end. Raises Misconfigured."""
    agencies = plugins.load(settings)
    room = PostRoom(Store(settings.database, vault.of(settings), settings.pool), agencies, settings)
    assert room.notary or not settings.audit_key  # a wrong key is found now
    if settings.audit_file:
        try:
            settings.audit_file.open("a").close()
        except OSError as error:
            raise Misconfigured(f"setting audit_file: {settings.audit_file}: {error.strerror}") from None
    room.store.open()
    try:
        keys.match(room.store)
    except Misconfigured:
        room.store.close()
        raise
    return room
