"""What production does not start with: what is there for trying out.

All of it is told at once, each with what to do, so that nobody mends one thing to meet the next.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import Misconfigured
from .settings import Settings

LEAST = 16  # different bytes in a key of 32; a random one with fewer comes up once in more than 10^12 keys


@dataclass(frozen=True)
class Found:
    """What the settings do not say.

    *kept_beside*: a master key is the one that the embedded default made beside its data. *first_password*: somebody's
    password is still the one that the first start printed. *all_powerful*: the role of the database is held by no rule of it.
    """

    kept_beside: bool = False
    first_password: bool = False
    all_powerful: bool = False


def require(settings: Settings, found: Found) -> None:
    """Raises Misconfigured, a line for each thing, where *settings* are for production and production refuses them."""
    wrong = refusals(settings, found) if settings.mode == "production" else []
    if wrong:
        raise Misconfigured("\n  ".join(["not for production:", *wrong]))


def refusals(settings: Settings, found: Found) -> list[str]:
    """What production would refuse, each in a sentence that names the setting and what to do; none: it is fit for it."""
    return [*_keys(settings, found), *_servers(settings, found), *_lines(settings), *_people(settings, found)]


def _keys(settings: Settings, found: Found) -> Iterator[str]:
    if not settings.masters or found.kept_beside:
        yield "master_key: the one made at the first start lies beside the data; make one with gateway key, keep it elsewhere"
    for version, key in settings.masters.items():
        if _made_up(key):
            yield f"master_keys.{version}: is not random; make one with gateway key"
    if settings.log_level == "DEBUG":
        yield "log_level: DEBUG is for finding faults; take INFO"


def _made_up(key: str) -> bool:
    """Whether *key* was typed rather than drawn; what a key service unwraps cannot be told."""
    try:
        return len(set(base64.b64decode(key, validate=True))) < LEAST
    except binascii.Error:
        return False


def _servers(settings: Settings, found: Found) -> Iterator[str]:
    if settings.database_url is None:
        yield "database_url: the embedded default is for trying out; give the address of a PostgreSQL"
    if found.all_powerful:
        yield "database_url: its role may do everything, or owns the tables; migrate as that, log in as another: gateway migrate --login"
    if settings.in_one_process:
        yield "broker_url: memory serves one process only; give the address of a RabbitMQ"
    if settings.webhooks.allow_private:
        yield "webhooks.allow_private: lets a hub's webhook lead inside this network; take it away"


def _lines(settings: Settings) -> Iterator[str]:
    """Lines that anybody on the way can read."""
    oidc, alerts = settings.people.oidc, settings.alerts.webhook
    addresses = {f"agencies.{name}.base_url": chosen.base_url for name, chosen in settings.agencies.items()}
    if oidc:
        addresses |= {"people.oidc.issuer": oidc.issuer, "people.oidc.redirect_uri": oidc.redirect_uri}
    if alerts:
        addresses["alerts.webhook"] = alerts.get_secret_value()
    for name, address in addresses.items():
        if address.startswith("http://"):
            yield f"{name}: http can be read on the way; give an address with https"
    if not (settings.public_url or "").startswith("https://"):
        yield "public_url: hubs must reach the gateway by https; give that address, and put TLS in front"
    if not settings.secure_cookies:
        yield "secure_cookies: sessions of the console could be read on the way; say true"


def _people(settings: Settings, found: Found) -> Iterator[str]:
    if not settings.people.second_factor:
        yield "people.second_factor: a password alone opens the console; take it away"
    if found.first_password:
        yield "people: a password is still the one of the first start; run gateway people reset, or disable, for that account"
