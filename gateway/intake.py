"""The counter: a referral arrives."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gateway_schemas import categories_under
from gateway_sdk import Adapter

from . import ids
from .errors import ConsentMissing, Invalid, NeedsMissing
from .plugins import Agency
from .policy import contract, minimise
from .policy.consent import Consent, Missing, decide
from .store import consents, deliveries, referrals
from .store.callers import Caller
from .store.session import Store

WHY_NOT = {
    "other_subject": "the consent record is another woman's",
    "not_yet": "consent is recorded as given in the future",
    "expired": "her consent has ended",
    "withdrawn": "she withdrew her consent",
    "not_recipient": "she did not agree to this agency",
    "not_purpose": "she did not agree to this purpose",
    "not_category": "she did not agree to this kind of data",
}


def submit(
    store: Store, agencies: Mapping[str, Agency], draft: Any, body: bytes, key: str, caller: Caller
) -> referrals.Receipt:
    """Take a referral: check it, check her consent, seal it, queue one delivery an agency, in one commit.

    *draft* is the parsed *body*; *key* the hub's Idempotency-Key. When key and body came before, the first
    one's receipt. Raises Invalid, NeedsMissing, ConsentMissing, NotFound, KeyReused.
    """
    referral = contract.check("referral", draft)
    asked = _asked(referral, agencies)
    identifier = ids.new("ref")
    with store.begin() as tx:
        first = referrals.first_answer(tx, identifier, hub=caller.hub, key=key, body=body)
        if first:
            return referrals.receipt(tx, first)
        grants = consents.get(tx, referral["consent"], hub=caller.hub)
        _require_needs(referral, asked)
        _require_consent(grants.consent, referral, asked, grants.read_at)
        referrals.save(tx, identifier, referral, hub=caller.hub)
        deliveries.queue(tx, identifier, hub=caller.hub, to={agency.name: agency.purpose for agency in asked})
        return referrals.receipt(tx, identifier)


def _asked(referral: Mapping[str, Any], agencies: Mapping[str, Agency]) -> list[Agency]:
    """The agencies the referral asks, each once, for its own purpose, in its own area. Raises Invalid."""
    asked: dict[str, Agency] = {}
    errors: list[dict[str, str]] = []
    for place, request in enumerate(referral["requests"]):
        agency = agencies.get(request["agency"])
        where = f"/requests/{place}"
        if agency is None or referral["area"] not in agency.settings.areas:
            serving = [other.name for other in agencies.values() if referral["area"] in other.settings.areas]
            errors.append({"pointer": f"{where}/agency", "expected": f"an agency of the area: {', '.join(serving)}"})
        elif request["purpose"] != agency.purpose:
            errors.append(
                {"pointer": f"{where}/purpose", "expected": f"{agency.purpose}, the purpose of {agency.name}"}
            )
        elif agency.name in asked:
            errors.append({"pointer": f"{where}/agency", "expected": "each agency once"})
        else:
            asked[agency.name] = agency
    if errors:
        raise Invalid(f"At {errors[0]['pointer']}: expected {errors[0]['expected']}.", errors=errors)
    return list(asked.values())


def _require_needs(referral: Mapping[str, Any], asked: list[Agency]) -> None:
    missing = [
        {"agency": agency.name, "pointer": pointer}
        for agency in asked
        for pointer in minimise.missing_needs(referral, agency.name, agency.adapter.needs)
    ]
    if missing:
        first = missing[0]
        raise NeedsMissing(f"{first['agency']} needs {first['pointer']}: fill it in and submit again.", missing=missing)


def _require_consent(consent: Consent, referral: Mapping[str, Any], asked: list[Agency], at: datetime) -> None:
    missing: list[dict[str, Any]] = []
    for agency in asked:
        answer = decide(
            consent,
            subject=referral["subject"],
            agency=agency.name,
            purpose=agency.purpose,
            required=agency.required_categories,
            at=at,
        )
        if isinstance(answer, tuple):
            missing += [_describe(entry, agency.adapter) for entry in answer]
    if missing:
        raise ConsentMissing(
            f"{_sentence(missing)} Ask her, record what she agrees to, and submit again.", missing=missing
        )


def _describe(entry: Missing, adapter: Adapter) -> dict[str, Any]:
    described: dict[str, Any] = {name: str(value) for name, value in asdict(entry).items() if value is not None}
    if entry.category:
        described["pointers"] = [
            pointer for pointer in adapter.needs.required if entry.category in categories_under(pointer)
        ]
    return described


def _sentence(missing: list[dict[str, Any]]) -> str:
    lines = [
        f"{entry['agency']}: {WHY_NOT[entry['reason']]}" + (f" ({entry['category']})" if "category" in entry else "")
        for entry in missing
    ]
    return "; ".join(lines) + "."
