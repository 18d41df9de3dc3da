"""Outcome codes: a closed vocabulary, so that a code can be logged and shown without leaking."""

import re

from gateway.plugins import Agency
from gateway.wire import CODES as WIRE

OWN = {
    "abandoned": "the worker that was sending it stopped; it may have arrived",
    "adapter_error": "the adapter could not make a request of it; nothing was sent",
    "record_damaged": "its record does not open: another master key, or it was changed; nothing was sent",
    "unreadable": "the agency answered something its contract does not allow; it may have taken it",
    "consent_withdrawn": "she withdrew her consent before it was sent",
    "consent_expired": "her consent ended before it was sent",
    "consent_missing": "her consent does not cover what the agency needs now",
    "erased": "it was erased: nothing of it is kept, and nothing more is sent",
    "area_off": "the roll-out in its area was switched off: it waits until the area is switched on",
    "late": "it waits for a person longer than it should: open its sheet and give it to the agency",
    "given_without_consent": "it was given by hand although she did not agree then: it is taken back",
    "declined_by_hand": "the agency told a person that it will not take it",
    "not_given": "a person found that it was never given",
    "update_by_hand": "the agency has no way to take a change, or may not be told it this way: somebody must tell it",
    "message_by_hand": "the agency has no way to take a message: somebody must tell it",
    "withdraw_by_hand": "the agency has no way to take a referral back: somebody must tell it",
    "nothing_to_take_back": "the agency never got the referral",
    "taken_back": "the agency took the withdrawal",
    "confirmed": "a person confirmed that the agency has it",
    "not_configured": "no agency of this name is configured any more",
    "webhook_off": "the webhook was switched off or removed, and is told nothing more",
    "webhook_gone": "its hub's server said that nothing is there any more (HTTP 410)",
    "webhook_failing": "nothing but failures for days",
    "undeclared": "the adapter gave a reason that it does not declare",
}
HTTP = re.compile(r"HTTP [1-5]\d\d")


def allowed(agency: Agency, code: str) -> str:
    """*code*, if it is in the vocabulary of *agency*'s adapter, the wire or the gateway; else ``undeclared``."""
    known = code in OWN or code in WIRE or code in agency.adapter.codes or HTTP.fullmatch(code)
    return code if known else "undeclared"


def meaning(agency: Agency | None, code: str | None) -> str | None:
    """*code* in a sentence."""
    if code is None:
        return None
    own = agency.adapter.codes if agency else {}
    if HTTP.fullmatch(code):
        return own.get(code, f"the agency answered with HTTP status {code[5:]}")
    return own.get(code) or WIRE.get(code) or OWN.get(code)
