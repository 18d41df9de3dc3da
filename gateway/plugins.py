"""Find the adapters that the settings name, refuse the rest, and set up the agencies.

Installed is not the same as allowed: only adapters that an agency's settings name are imported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import gateway_schemas
import gateway_sdk as sdk
import pluggy
from pydantic import BaseModel, ConfigDict, ValidationError

from . import confinement, provenance
from .errors import Misconfigured
from .policy import hours, minimise
from .policy.breaker import Limits
from .policy.hours import Hours
from .settings import BY_HAND, AgencySettings, Settings
from .store.directory import Directory


class Sheet(BaseModel):
    """The settings of an agency that is reached by hand: why it is given data, and what a person reads out to it.

    *needs* and *optional* are JSON Pointers, as an adapter's; without them, what agencies of that purpose commonly need.
    """

    model_config = ConfigDict(extra="forbid")

    purpose: Literal["housing", "social-security", "health-care"]
    needs: list[str] = []
    optional: list[str] = []

    def all_needs(self) -> sdk.Needs:
        """Raises ValueError."""
        return sdk.needs(*self.needs, optional=self.optional) if self.needs else SHEETS[self.purpose]


HER = ("/person/name", "/request/ask")
WITH_CARE = (
    "/urgency", "/area", "/person/known_as", "/person/language", "/person/communication_needs", "/contact/phone",
    "/contact/through_hub", "/referrer", "/request/wanted_by",
)  # fmt: skip
SHEETS = {
    "housing": sdk.needs(
        *HER, "/person/birth_date", "/housing/situation",
        optional=[*WITH_CARE, "/housing/lost_on", "/housing/areas_to_avoid", "/household/children/*/birth_date"],
    ),
    "social-security": sdk.needs(*HER, "/person/birth_date", optional=[*WITH_CARE, "/request/benefits"]),
    "health-care": sdk.needs(*HER, "/person/birth_date", optional=[*WITH_CARE, "/person/chi_number", "/health/needs"]),
}  # fmt: skip


@dataclass(frozen=True)
class Agency:
    """Whom deliveries go to: a configured instance of an adapter, or a hub's webhook."""

    name: str
    adapter: sdk.Adapter
    settings: AgencySettings
    outside: bool = False  # its address was chosen by somebody outside: a hub's webhook

    @property
    def purpose(self) -> str:
        return self.adapter.purpose

    @cached_property
    def required_categories(self) -> frozenset[str]:
        return minimise.required_categories(self.adapter.needs)

    @property
    def deadline(self) -> timedelta:
        return self.settings.deadline

    @property
    def breaker(self) -> Limits:
        chosen = self.settings
        return Limits(chosen.breaker_window, chosen.breaker_least, chosen.breaker_failing, chosen.breaker_pause)

    @cached_property
    def hours(self) -> Hours | None:
        """When it is open by the settings; None: they do not say. Raises ValueError; load() has made sure that it does not."""
        return hours.parse(self.settings.hours, self.settings.closed_on)

    def opening(self, listed: Directory | None, now: datetime) -> Hours | None:
        """When it is open: by the settings or, where they name no hours, by the directory; None: round the clock.

        The holidays of the settings count in both.
        """
        if self.settings.hours or listed is None:
            return self.hours
        found = hours.of_schedules(listed.schedules.get(self.name, ()), now.astimezone(hours.LONDON).date())
        return Hours(found.week, frozenset(self.settings.closed_on)) if found else self.hours

    @cached_property
    def exempt(self) -> frozenset[str]:
        """The urgencies that it takes round the clock."""
        return frozenset(self.settings.hours_except)

    @cached_property
    def credentials(self) -> dict[str, str]:
        return {name: secret.get_secret_value() for name, secret in self.settings.credentials.items()}


def load(settings: Settings) -> dict[str, Agency]:
    """``{name: Agency}``. Raises Misconfigured, naming the setting, for anything that would fail later."""
    for name in sorted({agency.adapter for agency in settings.agencies.values()}):
        provenance.require(name, settings.adapter_hashes.get(name))
    trusted = {agency.adapter for agency in settings.agencies.values() if not agency.untrusted}
    adapters = {name: _adapter(name) for name in sorted(trusted - {BY_HAND})}
    agencies = {
        name: _shut_in(name, chosen)
        if chosen.untrusted
        else _agency(name, adapters.get(chosen.adapter) or _by_hand(name, chosen), chosen)
        for name, chosen in sorted(settings.agencies.items())
    }
    _each_its_own(agencies.values())
    return agencies


def _each_its_own(agencies: Iterable[Agency]) -> None:
    """Agencies that share what proves a callback could speak for each other."""
    held: dict[str, str] = {}
    for agency in agencies:
        proves = agency.adapter.callback_auth
        for credential in proves.credentials if proves else ():
            other = held.setdefault(agency.credentials[credential], agency.name)
            if other != agency.name:
                raise Misconfigured(
                    f"setting agencies.{agency.name}.credentials.{credential}: {other} has the same, "
                    "so that each could speak for the other; agree one of its own with each"
                )


def _shut_in(name: str, chosen: AgencySettings) -> Agency:
    limits = confinement.Limits(chosen.adapter_deadline.total_seconds(), chosen.adapter_memory)
    adapter = confinement.Confined(chosen.adapter, chosen.settings, limits)
    _check(chosen.adapter, adapter)
    return _configured(name, adapter, chosen)


def _by_hand(name: str, chosen: AgencySettings) -> type[sdk.Adapter]:
    """Purpose and needs of *name*, which has no interface: nothing is ever translated for it."""
    sheet = _own_settings(Sheet, name, chosen)
    try:
        needs = sheet.all_needs()
    except ValueError as error:
        raise Misconfigured(f"setting agencies.{name}.settings.needs: {error}") from None
    found: type[sdk.Adapter] = type(
        "ByHand", (sdk.Adapter,), {"purpose": sheet.purpose, "needs": needs, "Settings": Sheet}
    )
    _check(BY_HAND, found)
    return found


def _adapter(name: str) -> type[sdk.Adapter]:
    manager = pluggy.PluginManager(sdk.PROJECT)
    manager.add_hookspecs(sdk.Hooks)
    if not manager.load_setuptools_entrypoints(sdk.ENTRY_POINTS, name=name):
        raise Misconfigured(f"adapter {name}: no installed distribution offers it (entry point {sdk.ENTRY_POINTS})")
    found: list[type[sdk.Adapter]] = []
    try:
        manager.check_pending()
        manager.hook.register_adapters(register=found.append)
    except pluggy.PluginValidationError:
        raise Misconfigured(
            f"adapter {name}: it implements a hook the gateway does not have; is it misspelt?"
        ) from None
    if len(found) != 1:
        raise Misconfigured(f"adapter {name}: registers {len(found)} adapters, must register one")
    _check(name, found[0])
    return found[0]


def _check(name: str, adapter: type[sdk.Adapter] | sdk.Adapter) -> None:
    missing = [part for part in ("purpose", "needs") if not hasattr(adapter, part)]
    if missing:
        raise Misconfigured(f"adapter {name}: has no {missing[0]}")
    try:
        for pointer in adapter.needs.pointers:
            gateway_schemas.categories_under(pointer)
            cut = [channel for channel in gateway_schemas.channels() if pointer.startswith(channel + "/")]
            if cut:
                raise Misconfigured(f"adapter {name}: its need {pointer} cuts a channel; it must ask for {cut[0]}")
    except gateway_schemas.UnknownPointer as error:
        raise Misconfigured(f"adapter {name}: its need {error} is not in the referral schema") from None


def _own_settings(model: type[Any], name: str, chosen: AgencySettings) -> Any:
    try:
        return model.model_validate(chosen.settings)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, ("agencies", name, "settings", *first["loc"])))
        raise Misconfigured(f"setting {place}: {first['msg']}") from None


def _agency(name: str, adapter: type[sdk.Adapter], chosen: AgencySettings) -> Agency:
    return _configured(name, adapter(_own_settings(adapter.Settings, name, chosen)), chosen)


def _configured(name: str, adapter: sdk.Adapter, chosen: AgencySettings) -> Agency:
    wanted = adapter.auth.credentials + (adapter.callback_auth.credentials if adapter.callback_auth else ())
    for credential in wanted:
        if credential not in chosen.credentials:
            raise Misconfigured(f"setting agencies.{name}.credentials.{credential}: required by its adapter")
    agency = Agency(name, adapter, chosen)
    try:
        agency.hours  # noqa: B018  # read once, to see whether it can be
    except ValueError as error:
        raise Misconfigured(f"setting agencies.{name}.hours: {error}") from None
    return agency
