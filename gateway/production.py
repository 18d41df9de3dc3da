"""What production does not start with: what is there for trying out.

All of it is told at once, each with what to do, so that nobody mends one thing to meet the next.
"""

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import Misconfigured
from .settings import Settings

LEAST = 16  # different bytes in a key of 32; a random one with fewer comes up once in more than 10^12 keys


@dataclass(frozen=True)
class Found:
    """What the settings do not say.

    *kept_beside*: a master key is the one that the embedded default made beside its data. *first_password*: somebody's
    password is still the one that the first start printed. *all_powerful*: the role of the database is held by no rule of it.
    *plain_database*: the line to the database can be read on the way, or led to another server.
    """

    kept_beside: bool = False
    first_password: bool = False
    all_powerful: bool = False
    plain_database: bool = False


def require(settings: Settings, found: Found) -> None:
    """Raises Misconfigured, a line for each thing, where *settings* are for production and production refuses them."""
    wrong = refusals(settings, found) if settings.mode == "production" else []
    if wrong:
        raise Misconfigured("\n  ".join(["not for production:", *wrong]))


def refusals(settings: Settings, found: Found) -> list[str]:
    """What production would refuse, each in a sentence that names the setting and what to do; none: it is fit for it."""
    return [
        *_keys(settings, found),
        *_servers(settings, found),
        *_lines(settings, found),
        *_links(settings),
        *_people(settings, found),
    ]


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


def _lines(settings: Settings, found: Found) -> Iterator[str]:
    """Lines to our own servers that leave the machine, where anybody on the way can read them."""
    if found.plain_database:
        yield "database_url: can be read on the way; add sslmode=verify-full, and sslrootcert=FILE with whom to trust"
    if not settings.in_one_process and any(map(_plain_broker, settings.broker.split(";"))):
        yield "broker_url: can be read on the way; give an address with amqps"
    if any(urlsplit(address).query for address in settings.broker.split(";")):
        yield "broker_url: what follows the ? can undo the proof of who answers; take it away"
    mail = settings.alerts.mail
    if mail and mail.security == "none" and not on_this_machine(mail.host):
        yield "alerts.mail.security: mail can be read on the way; say starttls or tls"
    collector = urlsplit(settings.otlp_endpoint or "")
    if collector.scheme == "http" and not on_this_machine(collector.hostname):
        yield "otlp_endpoint: http can be read on the way; give an address with https"


def _links(settings: Settings) -> Iterator[str]:
    """Addresses of others, and ours for them, at which anybody on the way can read along."""
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


def _plain_broker(address: str) -> bool:
    """Whether a broker at *address*, one of those that may be given, is reached in plain."""
    parts = urlsplit(address)
    return parts.scheme != "amqps" and not on_this_machine(parts.hostname)


def on_this_machine(host: str | None) -> bool:
    """Whether nobody is on the way to *host*. Of names only one is believed: who answers for others may lie."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _people(settings: Settings, found: Found) -> Iterator[str]:
    if not settings.people.second_factor:
        yield "people.second_factor: a password alone opens the console; take it away"
    if found.first_password:
        yield "people: a password is still the one of the first start; run gateway people reset, or disable, for that account"
