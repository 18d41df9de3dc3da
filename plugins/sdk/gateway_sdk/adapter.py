"""The contract between the gateway and an agency's adapter."""

from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from typing import Any, ClassVar

import pluggy
from pydantic import BaseModel, ConfigDict

from .auth import Auth, CallbackAuth, NoAuth
from .messages import Reply, Request
from .outcomes import Answer, Message, Outcome
from .referral import Needs, Referral, Sent

PROJECT = "referral_gateway"
ENTRY_POINTS = "referral_gateway.adapters"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class NoSettings(BaseModel):
    """For an adapter that has nothing to set."""

    model_config = ConfigDict(extra="forbid")


class Adapter:
    """Translates between a referral and one kind of agency interface. No method does any input or output.

    A subclass sets ``purpose`` and ``needs`` and writes ``translate`` and ``classify``; the rest is optional. Where
    ``withdraw``, ``update`` or ``message`` makes no request, the delivery becomes a task for a person, with a sheet.
    One instance serves all threads: keep no state but the settings.
    Anything a method raises is caught: in translate it ends the delivery as ``adapter_error`` before
    anything is sent, in classify it makes the attempt Uncertain.
    """

    purpose: ClassVar[str]
    """Why the agency is given data: ``housing``, ``social-security`` or ``health-care``. Consent must name it."""

    needs: ClassVar[Needs]
    """What the agency needs, made by :func:`gateway_sdk.needs`."""

    codes: ClassVar[Mapping[str, str]] = {}
    """``{code: sentence}``: the outcome codes this adapter uses, each with what it means for a caseworker."""

    auth: ClassVar[Auth] = NoAuth()
    callback_auth: ClassVar[CallbackAuth | None] = None
    """How the agency proves itself when it posts an update to us; None if it never does."""

    idempotent: ClassVar[bool] = False
    """True if the agency honours the delivery key: sent twice, it keeps one. Uncertain sends are then simply repeated."""

    polls: ClassVar[bool] = False
    """True if the gateway should ask() for news of delivered referrals, on its polling schedule."""

    takes_messages: ClassVar[bool] = False
    """True if message() is written: what the hub answers or adds in words is sent; elsewhere a person tells the agency."""

    wsdl: ClassVar[Traversable | None] = None
    """For SOAP: the WSDL inside the adapter's package, its schemas beside it. It is never fetched."""

    Settings: ClassVar[type[BaseModel]] = NoSettings

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    def translate(self, referral: Referral) -> Request:
        """The request that gives *referral* to the agency. The same referral gives the same request."""
        raise NotImplementedError

    def classify(self, reply: Reply) -> Outcome:
        """What *reply*, to translate(), update(), withdraw() or message(), means."""
        raise NotImplementedError

    def ask(self, sent: Sent) -> Request | None:
        """A request that asks how *sent* stands, by our key or the agency's reference; None if it cannot be asked."""
        return None

    def read_update(self, reply: Reply) -> Answer | Message:
        """What the agency says in a reply to ask(), or posted to us."""
        raise NotImplementedError

    def withdraw(self, sent: Sent) -> Request | None:
        """A request that takes *sent* back; None if a person must tell the agency."""
        return None

    def update(self, referral: Referral, sent: Sent) -> Request | None:
        """A request that puts *referral*, as it is now, in the place of *sent*; None if a person must tell the agency.

        It carries everything the agency may have now: what it had and does not find here, it must not use any more.
        Telling it twice must do no harm.
        """
        return None

    def message(self, message: Message, sent: Sent) -> Request | None:
        """A request that tells the agency *message* about *sent*; None if a person must tell it.

        Telling it twice under one ``message_key`` is to count once.
        """
        return None


class Hooks:
    """The one hook of the gateway."""

    @hookspec
    def register_adapters(self, register: Callable[[type[Adapter]], None]) -> None:
        """Call *register* with each adapter class of this distribution."""
