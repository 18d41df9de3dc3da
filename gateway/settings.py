"""Every setting, with its reason.

Read from the environment (``GATEWAY_…``) and from one YAML file, ``GATEWAY_CONFIG``; the
environment wins. Secrets are given by reference, ``env:NAME`` or ``file:/path``, so that the
file itself can be read by anyone.
"""

import base64
import binascii
import os
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource
from yaml import YAMLError

from .errors import Misconfigured

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MINUTE = timedelta(minutes=1)


def _duration(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value) if isinstance(value, str) else None
    return float(match[1]) * UNITS[match[2]] if match else value


def _secret(value: Any) -> Any:
    """Follow ``env:NAME`` or ``file:/path``; anything else is the secret itself."""
    if not isinstance(value, str):
        return value
    kind, _, name = value.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"the environment has no {name}")
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).read_text("utf-8").strip()
        except OSError as error:
            raise ValueError(f"cannot read {name}: {error.strerror}") from None
    return value


def _link(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", value):
        raise ValueError("give an address such as https://agency.example/api, without credentials or a query")
    return value


def _address(value: str) -> str:
    return _link(value).rstrip("/")


def _secret_link(value: SecretStr) -> SecretStr:
    _link(value.get_secret_value())
    return value


def _signing_key(value: SecretStr) -> SecretStr:
    kind, _, key = value.get_secret_value().partition("_")
    try:
        long_enough = len(base64.b64decode(key, validate=True)) >= 24
    except binascii.Error:
        long_enough = False
    if kind != "whsec" or not long_enough:
        raise ValueError("give whsec_ and the base64 of 24 random bytes or more")
    return value


def _thirty_two(value: SecretStr) -> SecretStr:
    try:
        right = len(base64.b64decode(value.get_secret_value(), validate=True)) == 32
    except binascii.Error:
        right = False
    if not right:
        raise ValueError("give the base64 of 32 random bytes (gateway key)")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Kept = Annotated[
    Duration, Field(ge=timedelta(days=1))
]  # what is counted and linked by the clock must not go before that
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Token = Annotated[Secret, Field(min_length=16)]
SigningKey = Annotated[Secret, AfterValidator(_thirty_two)]
Address = Annotated[str, AfterValidator(_address)]
Link = Annotated[str, BeforeValidator(_secret), AfterValidator(_link)]
SecretLink = Annotated[Secret, AfterValidator(_secret_link)]
BY_HAND = "by-hand"  # the adapter that is built in: none
Area = Literal["edinburgh-and-borders", "highland", "perth-and-kinross", "aberdeen", "dundee", "glasgow", "ayrshire"]
AREAS: tuple[Area, ...] = get_args(Area)
Urgency = Literal["routine", "urgent", "asap", "stat"]


MasterVersion = Annotated[int, Field(ge=1, le=255)]  # it is one byte of what it wraps


class AgencySettings(BaseModel):
    """One agency: an instance of an adapter."""

    model_config = ConfigDict(extra="forbid")

    adapter: str  # the name of an installed adapter's entry point
    base_url: Address = ""  # requests to this agency go here and nowhere else; none for one that is reached by hand
    areas: list[Area] = Field(min_length=1)  # a referral from elsewhere is refused at the counter
    credentials: dict[str, Secret] = {}  # by reference; which ones are needed, the adapter says
    settings: dict[str, Any] = {}  # the adapter's own, checked by the adapter's own model
    window: int = Field(8, ge=1, le=1000)  # calls in flight at once, so that a slow agency holds only these
    calls_a_minute: int | None = Field(None, ge=1)  # over all delivery processes; none: as many as it answers
    hours: dict[str, str] = {}  # in London, such as {mon-fri: "09:00-17:00"}; none: round the clock
    hours_except: list[Urgency] = []  # what it takes round the clock all the same
    closed_on: list[date] = []  # holidays: outside its hours, referrals wait and no attempt is counted
    deadline: Duration = timedelta(seconds=20)  # a whole exchange, connecting to last byte
    breaker_least: int = Field(10, ge=1)  # calls within the window before the breaker may open
    breaker_failing: float = Field(0.7, gt=0, le=1)  # the share of them that must have failed
    breaker_window: Duration = timedelta(minutes=5)
    breaker_pause: Duration = timedelta(seconds=30)  # then one call may try
    poll: list[Duration] | None = None  # when its delivered referrals are asked about; none: as for all; []: never
    remind_after: Duration = timedelta(hours=4)  # the hub is reminded of a task by hand that waits for so long
    untrusted: bool = False  # its adapter runs in processes of its own, shut in: see docs/operations.md
    adapter_deadline: Duration = timedelta(seconds=2)  # for one call of an untrusted adapter
    adapter_memory: int = Field(512 * 1024 * 1024, ge=64 * 1024 * 1024)  # bytes of an untrusted adapter's process
    max_reply: int = Field(1_000_000, ge=1000)  # bytes; a hostile reply must not fill memory
    traceparent: bool = False  # give it the trace's id: its traces and ours can be joined, and it can correlate
    ca_file: Path | None = None  # a private certificate authority
    client_certificate: Path | None = None  # for mutual TLS
    client_key: Path | None = None

    @property
    def by_hand(self) -> bool:
        """Whether a person gives it its referrals, by phone or secure mail."""
        return self.adapter == BY_HAND


class MailSettings(BaseModel):
    """A mail server that takes alerts, and for whom."""

    model_config = ConfigDict(extra="forbid")

    host: str
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"  # none: only on the same machine
    username: str | None = None
    password: Secret | None = None
    sender: str
    to: list[str] = Field(min_length=1)


class AlertSettings(BaseModel):
    """Who is told that something needs a person. Neither: nobody, but gateway doctor and the status page say it."""

    model_config = ConfigDict(extra="forbid")

    webhook: SecretLink | None = None  # alerts are posted here, as JSON; whoever knows the address may post there, too
    secret: Annotated[Secret, AfterValidator(_signing_key)] | None = None  # signs them, after Standard Webhooks
    mail: MailSettings | None = None
    ca_file: Path | None = None  # a private certificate authority, of both
    oldest: Duration = timedelta(minutes=15)  # a referral for tonight cannot wait unseen for longer

    @property
    def channels(self) -> list[str]:
        return [name for name in ("webhook", "mail") if getattr(self, name) is not None]


class WebhookSettings(BaseModel):
    """Hubs' webhooks."""

    model_config = ConfigDict(extra="forbid")

    allow_private: bool = False  # plain http, any port, and addresses inside the network: for tests and trying out
    deadline: Duration = timedelta(seconds=15)  # a whole exchange
    disable_after: Duration = timedelta(days=5)  # of nothing but failures
    overlap: Duration = timedelta(hours=24)  # how long a replaced secret signs along


class TokenSettings(BaseModel):
    """Access tokens for machines (OAuth 2.0 client credentials): see docs/hubs.md."""

    model_config = ConfigDict(extra="forbid")

    keys: list[
        SigningKey
    ] = []  # base64 of 32 bytes each; the first signs, all are believed, for rotation; none: no tokens
    lasting: Duration = Field(
        timedelta(minutes=10), ge=timedelta(seconds=10), le=timedelta(hours=1)
    )  # until a new one is needed


class RateSettings(BaseModel):
    """How often somebody may call, in each web process; a minute's worth can come at once."""

    model_config = ConfigDict(extra="forbid")

    calls_a_minute: int = Field(
        1200, ge=1
    )  # of one API key or client, so that a mistake of a hub's holds up only itself
    tokens_a_minute: int = Field(30, ge=1)  # of one client; each costs a signature and a row of the audit
    failures_a_minute: int = Field(20, ge=1)  # wrong credentials from one address


class RetentionSettings(BaseModel):
    """How long what is over is kept, from the last that happened to it; then it is erased, and only counts stay."""

    model_config = ConfigDict(extra="forbid")

    ended: Kept = timedelta(days=365)  # every agency is done with it: she may come back, complain, or ask to see it
    open: Kept = timedelta(days=730)  # an agency has it and never said that it is done: longer than a case takes
    undelivered: Kept = timedelta(days=90)  # no agency ever had it: long enough to ask why
    consents: Kept = timedelta(days=365)  # over, and nothing rests on them: they show that she had agreed
    contacts: Kept = timedelta(days=30)  # former contact details: until every agency that had them was told
    callbacks: Kept = timedelta(days=30)  # ids of agencies' callbacks, so that none counts twice
    idempotency: Kept = timedelta(days=30)  # hubs' keys: a hub repeats a request within hours
    webhooks: Kept = timedelta(days=30)  # what hubs' webhooks were told
    events: Kept = timedelta(days=365)  # hubs' feeds: ids and codes


class HubSettings(BaseModel):
    """What one hub may do beyond the usual."""

    model_config = ConfigDict(extra="forbid")

    # bases other than consent on which this hub may send, each time with a second worker's approval; none by default
    other_bases: list[Literal["vital-interests", "safeguarding"]] = []


Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
RoleName = Literal["delivery-admin", "caseworker", "hub-manager", "auditor", "adapter-author"]


class RoleSettings(BaseModel):
    """What people may be whom the OpenID provider puts in one group."""

    model_config = ConfigDict(extra="forbid")

    role: RoleName
    hub: Name | None = None

    @model_validator(mode="after")
    def _hub_where_needed(self) -> "RoleSettings":
        if (self.hub is not None) != (self.role in ("caseworker", "hub-manager")):
            raise ValueError("caseworkers and hub managers belong to a hub, the others to none")
        return self


class OpenIdSettings(BaseModel):
    """The OpenID provider of the people at the console. Its second factor is its own affair: see that it asks for one."""

    model_config = ConfigDict(extra="forbid")

    issuer: Address  # its settings are read from there, under /.well-known/openid-configuration
    client_id: str
    client_secret: Secret | None = None
    redirect_uri: Link  # https://OURS/console/provider/callback, as it is registered there
    scope: str = "openid profile"
    claim: str = "groups"  # of the ID token: what says who somebody may be here
    name_claim: str = "preferred_username"  # what she is called here, and in the audit
    groups: dict[str, RoleSettings]  # value of the claim: role and hub; nobody else gets in
    ca_file: Path | None = None  # a private certificate authority


class PeopleSettings(BaseModel):
    """The people at the console."""

    model_config = ConfigDict(extra="forbid")

    second_factor: bool = True  # of local accounts; false only to try things out
    idle: Duration = timedelta(minutes=30)  # a session that nobody used for so long has ended
    lasting: Duration = timedelta(hours=10)  # and any session after so long: a working day
    break_glass: Duration = timedelta(minutes=15)  # how long an emergency lets an admin open a referral
    openings_an_hour: int = Field(20, ge=1)  # different referrals one person opens; more raises an alert
    others_an_hour: int = Field(3, ge=0)  # the same, of those that she did not take on
    finds_a_minute: int = Field(20, ge=1)  # look-ups by a hub's own reference; more are refused
    oidc: OpenIdSettings | None = None  # log in by OpenID Connect too


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )

    mode: Literal["trial", "production"] = "trial"  # production: what is for trying out stops the start
    database_url: Secret | None = None  # none: the embedded default starts a private PostgreSQL
    broker_url: Secret = SecretStr("memory://")  # the doorbell; memory is enough inside one delivery process
    broker_ca_file: Path | None = None  # a private certificate authority, of amqps
    broker_queue: str = "deliveries"  # so that several gateways can share a broker
    master_key: Secret | None = None  # base64 of 32 bytes; wraps every data key; the same as master_keys: {1: ...}
    master_keys: dict[MasterVersion, Secret] = {}  # several, by version; the highest wraps what is new
    wrap_with: MasterVersion | None = None  # a lower version, while not every process has the highest yet
    key_service: str | None = None  # the entry point of a KMS; it unwraps master keys that are given as kms:BASE64
    audit_key: Secret | None = None  # base64 of 32 bytes; signs checkpoints of the audit; none: nothing is signed
    audit_every: Duration = timedelta(hours=1)  # how often one is signed, if anything happened
    audit_file: Path | None = None  # where each is written too, best on another machine's disk
    data_folder: Path | None = None  # of the embedded default
    host: str = "127.0.0.1"
    port: int = Field(8025, ge=1, le=65535)
    public_url: Address | None = None  # where hubs reach it, the issuer of its tokens; none: http://host:port
    trusted_proxies: list[IPvAnyNetwork] = []  # whose word on addresses and certificates is taken; none: nobody's
    certificate_header: str | None = None  # in which they pass a hub's certificate, such as client-cert (RFC 9440)
    tokens: TokenSettings = TokenSettings()
    rates: RateSettings = RateSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_token: Token | None = None  # whoever has it may read /metrics; none: nobody
    otlp_endpoint: Address | None = None  # a collector of traces (OTLP over HTTP), without /v1/traces; none: no traces
    secure_cookies: bool = False  # true wherever the console is reached by https
    hsts: Duration | None = None  # how long browsers are to insist on https (RFC 6797); none: it is not said
    body_limit: int = Field(256 * 1024, ge=1024)  # bytes; a full referral is under 64 KiB
    arrival: Duration = timedelta(seconds=20)  # a request's first byte to its last; slower ones hold connections
    agencies: dict[Name, AgencySettings] = {}
    hubs: dict[Name, HubSettings] = {}  # only those that may do more than send with consent
    alerts: AlertSettings = AlertSettings()
    people: PeopleSettings = PeopleSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()

    adapter_hashes: dict[str, str] = {}  # {adapter: sha256:…} from gateway adapters; then no other version is loaded
    threads: int = Field(16, ge=1, le=256)  # attempts at once in one delivery process
    pool: int = Field(20, ge=2, le=400)  # database connections of one process
    tick: Duration = timedelta(milliseconds=200)  # how often the clock looks for what is due
    lease: Duration = timedelta(
        seconds=60
    )  # after it, a claimed delivery is taken to be abandoned; over every deadline
    retry: list[Duration] = Field(
        default=[timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 36000)], min_length=1
    )  # pauses after each failed attempt; then it is dead, for a person to replay
    retry_least: Duration = timedelta(seconds=60)  # after a timeout or a 429, so as not to add to the load
    retry_most: Duration = timedelta(hours=24)  # what an agency's Retry-After can ask for
    jitter: float = Field(0.2, ge=0, lt=1)  # each pause varies by this part, so that retries spread
    ask: list[Duration] = Field(default=[timedelta(seconds=s) for s in (30, 120, 600)], min_length=1)
    # when an uncertain send is asked about, or sent again under its key; then a person decides
    poll: list[Duration] = Field(default=[timedelta(seconds=s) for s in (60, 300, 900, 3600)], min_length=1)
    # when a delivered referral is asked about, from the beginning after each change; the last repeats
    poll_for: Duration = timedelta(days=90)  # then the hub is left to ask by hand

    @property
    def database(self) -> str:
        """The address of the database, of settings that are complete."""
        assert self.database_url is not None
        return self.database_url.get_secret_value()

    @property
    def broker(self) -> str:
        """The address of the broker."""
        return self.broker_url.get_secret_value()

    @property
    def in_one_process(self) -> bool:
        """Whether the broker is the memory of one delivery process."""
        return self.broker.startswith("memory")

    @property
    def issuer(self) -> str:
        """The issuer of access tokens."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def masters(self) -> dict[int, str]:
        """The master keys by version; none: the embedded default makes one."""
        given = {1: self.master_key, **self.master_keys} if self.master_key else self.master_keys
        return {version: secret.get_secret_value() for version, secret in given.items()}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get("GATEWAY_CONFIG")
        file = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *file)


def load(**overrides: Any) -> Settings:
    """The settings of this process. Raises Misconfigured, which names the first wrong one in a line."""
    path = os.environ.get("GATEWAY_CONFIG")
    if path and not Path(path).is_file():
        raise Misconfigured(f"GATEWAY_CONFIG: there is no file {path}")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Misconfigured(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (
        ValueError,
        YAMLError,
    ) as error:  # the file is not YAML, or a variable is not JSON; the texts quote the place
        raise Misconfigured(
            f"the settings cannot be read: {type(error).__name__} in {path or 'the environment'}"
        ) from None
    deadlines = {
        f"agencies.{name}": agency.deadline for name, agency in settings.agencies.items() if not agency.by_hand
    }
    for name, deadline in {**deadlines, "webhooks": settings.webhooks.deadline}.items():
        if deadline >= settings.lease:
            raise Misconfigured(f"setting {name}.deadline: must be under lease ({settings.lease.seconds} s)")
    if settings.master_key and settings.master_keys.get(1, settings.master_key) != settings.master_key:
        raise Misconfigured("setting master_keys.1: is another key than master_key: give one of them")
    for name, agency in settings.agencies.items():
        if agency.calls_a_minute and settings.lease < MINUTE:  # a call whose worker died counts until its lease ends
            raise Misconfigured(f"setting lease: must be 60s or more, because agencies.{name} has calls_a_minute")
        if bool(agency.base_url) is agency.by_hand:
            expected = (
                "leave it out: it is reached by hand" if agency.by_hand else "required, unless adapter is by-hand"
            )
            raise Misconfigured(f"setting agencies.{name}.base_url: {expected}")
    return settings
