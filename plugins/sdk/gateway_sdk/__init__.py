"""Everything an adapter's author uses, under one name: ``import gateway_sdk as sdk``.

Concepts: Adapter, needs, Request and Reply, Outcome. See docs/adapter-author.md.
"""

from .adapter import ENTRY_POINTS, PROJECT, Adapter, Hooks, NoSettings, hookimpl
from .auth import (
    ApiKey,
    Auth,
    Bearer,
    BearerCallback,
    CallbackAuth,
    NoAuth,
    OAuth2ClientCredentials,
    SignedCallback,
    UsernameToken,
)
from .messages import Fault, Reply, Request, RestRequest, SoapRequest, Unreadable
from .outcomes import Answer, Delivered, Message, NotFound, Outcome, Refused, Unavailable, Uncertain, Update
from .referral import Needs, NotDeclared, Referral, Sent, needs
from .status import Reason, Status

__all__ = [
    "ENTRY_POINTS", "PROJECT", "Adapter", "Answer", "ApiKey", "Auth", "Bearer", "BearerCallback", "CallbackAuth",
    "Delivered", "Fault", "Hooks", "Message", "Needs", "NoAuth", "NoSettings", "NotDeclared", "NotFound",
    "OAuth2ClientCredentials", "Outcome", "Reason", "Referral", "Refused", "Reply", "Request", "RestRequest", "Sent",
    "SignedCallback", "SoapRequest", "Status", "Unavailable", "Uncertain", "Unreadable", "Update", "UsernameToken",
    "hookimpl", "needs",
]  # fmt: skip
