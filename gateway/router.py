"""The signpost: which agency shall take a need, by the directory; and in words, why."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .errors import AreaOff, NobodyServes
from .plugins import Agency
from .policy import places, routing
from .policy.consent import Consent, Grant, decide
from .policy.routing import SENTENCES, Choice, Circumstances, Service, WhyNot, Wish
from .store.consents import Record
from .store.directory import Directory

TAKEN = "a need that a service takes there"


def require_on(services: Directory, area: str) -> None:
    """Raises AreaOff unless the roll-out has reached *area*."""
    if area not in services.areas_on:
        raise AreaOff(f"Nothing is taken for {places.name(area)} yet; GET /v1/areas says where it is.", area=area)


def route(
    document: Mapping[str, Any],
    record: Record,
    known: Mapping[str, Agency],
    services: Directory,
    *,
    asked: Sequence[str],
    declined: Collection[str],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The referral *document* with an agency for each need, and ``{agency: route}`` of those that were found.

    *known*: the configured agencies; *asked*: those that the referral names itself; *declined*: those that declined her
    when they were asked last. She may not have agreed to an
    agency that was found: the one is named that could take it if she did. Raises NobodyServes.
    """
    found: dict[str, dict[str, Any]] = {}
    nobody: list[dict[str, Any]] = []
    requests = []
    for place, request in enumerate(document["requests"]):
        if "need" in request:
            wish = routing.wish_of(document, request, record.read_at.date())
            agreed = _agreed(record, document["subject"], known)
            choice = choose(wish, known, services, agreed=agreed, already=[*asked, *found], declined=declined)
            taker = choice.picked or choice.ask_her
            if taker is None:
                nobody.append({"pointer": f"/requests/{place}/need", "expected": TAKEN, **told(wish, choice)})
                continue
            found[taker.agency] = told(wish, choice)
            request = {**request, "agency": taker.agency}
        requests.append(request)
    if nobody:
        where = places.name(document.get("council") or document["area"])
        raise NobodyServes(" ".join(_nobody(one, where) for one in nobody), errors=nobody)
    return {**document, "requests": requests}, found


def choose(
    wish: Wish,
    known: Mapping[str, Agency],
    services: Directory,
    *,
    agreed: Collection[str] | None = None,
    already: Collection[str] = (),
    declined: Collection[str] = (),
) -> Choice:
    """As routing.choose(), with what this gateway knows."""
    purposes = {name: agency.purpose for name, agency in known.items()}
    circumstances = Circumstances(purposes, services.areas_on, agreed, already, declined)
    return routing.choose(wish, services.services, circumstances)


def _agreed(record: Record, subject: str, known: Mapping[str, Agency]) -> frozenset[str]:
    """The agencies that her consent names, for their purpose, now."""
    consent: Consent = record.consent
    return frozenset(
        name
        for name, agency in known.items()
        if isinstance(
            decide(
                consent, subject=subject, agency=name, purpose=agency.purpose, required=frozenset(), at=record.read_at
            ),
            Grant,
        )
    )


def told(wish: Wish, choice: Choice) -> dict[str, Any]:
    """*choice* in words, following the route schema."""
    picked = choice.picked
    who = {"agency": picked.agency, "service": picked.id, "name": picked.name} if picked else {}
    why = {"because": str(choice.because), "says": SENTENCES[choice.because]} if choice.because else {}
    passed_over = [_passed_over(service, reasons) for service, reasons in choice.passed_over]
    return {"need": wish.need, **who, **why, "passed_over": passed_over}


def _passed_over(service: Service, reasons: Sequence[WhyNot]) -> dict[str, Any]:
    return {
        "agency": service.agency,
        "service": service.id,
        "name": service.name,
        "why": [str(reason) for reason in reasons],
        "says": "; ".join(SENTENCES[reason] for reason in reasons),
    }


def _nobody(route: Mapping[str, Any], where: str) -> str:
    reasons = "; ".join(f"{one['name']}: {one['says']}" for one in route["passed_over"])
    return f"{route['need']} in {where}: {reasons or 'no service in the directory offers it there'}."
