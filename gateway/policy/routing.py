"""Which service shall take a need? And why that one, and why not the others?

A choice never widens consent: where she agreed to none of those that could take it, nothing is picked, and the
first of them is named so that she can be asked.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from . import places


@dataclass(frozen=True)
class Eligibility:
    """Whom a service takes, as far as it can be checked. None: anybody. Ages in whole years, both inclusive."""

    minimum_age: int | None = None
    maximum_age: int | None = None
    with_children: bool | None = None


@dataclass(frozen=True)
class Service:
    """One service of the directory. *agency*: its name in the settings. *places*: hub areas, councils, health boards.

    *organization*: what people call the agency. *schedules* and *phones* are objects in the shape of HSDS;
    *eligibility* says in words what *rules* say in part.
    """

    id: str
    agency: str
    name: str
    needs: frozenset[str]
    urgency: frozenset[str]
    places: frozenset[str]
    rules: Eligibility = Eligibility()
    organization: str = ""
    description: str = ""
    eligibility: str = ""
    schedules: tuple[Mapping[str, Any], ...] = ()
    phones: tuple[Mapping[str, Any], ...] = ()

    @property
    def councils(self) -> frozenset[str]:
        return frozenset[str]().union(*map(places.councils, self.places))


@dataclass(frozen=True)
class Wish:
    """What is asked for. *council* where it is known; *age* None: not known; *children*: whether any live with her."""

    need: str
    purpose: str
    area: str
    urgency: str
    council: str | None = None
    age: int | None = None
    children: bool = False

    @property
    def councils(self) -> frozenset[str]:
        return places.councils(self.council or self.area)


@dataclass(frozen=True)
class Circumstances:
    """What the gateway knows beside the directory: *purposes* of the configured agencies, which *areas* are on,
    whom she *agreed* to (None: she was not asked yet), which agencies this referral asks *already*, and which *declined*
    her when they were asked last."""

    purposes: Mapping[str, str]
    areas: Collection[str]
    agreed: Collection[str] | None = None
    already: Collection[str] = ()
    declined: Collection[str] = ()


class WhyNot(StrEnum):
    """Why a service that offers the need thereabouts is passed over."""

    AREA_OFF = "area_off"
    PART_OF_AREA = "part_of_area"
    NOT_CONFIGURED = "not_configured"
    OTHER_PURPOSE = "other_purpose"
    URGENCY = "urgency"
    AGE_NOT_KNOWN = "age_not_known"
    TOO_YOUNG = "too_young"
    TOO_OLD = "too_old"
    CHILDREN = "children"
    NO_CHILDREN = "no_children"
    ASKED_ALREADY = "asked_already"
    DECLINED = "declined"
    NOT_AGREED = "not_agreed"
    ANOTHER_FIRST = "another_first"


class Because(StrEnum):
    """What decided between those that could take it."""

    ONLY_ONE = "only_one"
    MOST_LOCAL = "most_local"
    FIRST_BY_NAME = "first_by_name"


SENTENCES: Mapping[WhyNot | Because, str] = {
    WhyNot.AREA_OFF: "the roll-out has not reached this area",
    WhyNot.PART_OF_AREA: "it serves a part of the area: name her council",
    WhyNot.NOT_CONFIGURED: "the gateway has no connection to its agency",
    WhyNot.OTHER_PURPOSE: "its agency is given data for another purpose",
    WhyNot.URGENCY: "it does not take referrals of this urgency",
    WhyNot.AGE_NOT_KNOWN: "it takes women of certain ages: give her date of birth",
    WhyNot.TOO_YOUNG: "she is younger than those it takes",
    WhyNot.TOO_OLD: "she is older than those it takes",
    WhyNot.CHILDREN: "it cannot take children who live with her",
    WhyNot.NO_CHILDREN: "it is for women whose children live with them",
    WhyNot.ASKED_ALREADY: "its agency is asked by this referral already",
    WhyNot.DECLINED: "its agency declined her before: to ask it again, name it",
    WhyNot.NOT_AGREED: "she did not agree to its agency",
    WhyNot.ANOTHER_FIRST: "it could take it too; another one comes first",
    Because.ONLY_ONE: "it is the only one that can take it",
    Because.MOST_LOCAL: "it is the most local of those that can take it",
    Because.FIRST_BY_NAME: "others are as local; it comes first by name",
}


@dataclass(frozen=True)
class Choice:
    """*picked* may take it, *because*. *ask_her*: none may, but this one could if she agreed to its agency.

    *passed_over*: the others that offer the need thereabouts, each with every reason.
    """

    picked: Service | None
    because: Because | None
    ask_her: Service | None
    passed_over: tuple[tuple[Service, tuple[WhyNot, ...]], ...]


def choose(wish: Wish, services: Iterable[Service], known: Circumstances) -> Choice:
    """The service that shall take *wish*: among those that fail no rule the most local, then the first by name."""
    thereabouts = sorted(
        (one for one in services if wish.need in one.needs and wish.councils & one.councils), key=_rank
    )
    found = [(one, tuple(_why_not(wish, one, known))) for one in thereabouts]
    able = [one for one, reasons in found if not reasons]
    picked = able[0] if able else None
    ask_her = next((one for one, reasons in found if reasons == (WhyNot.NOT_AGREED,)), None)
    passed_over = [(one, reasons or (WhyNot.ANOTHER_FIRST,)) for one, reasons in found if one is not picked]
    return Choice(picked, _because(able), None if picked else ask_her, tuple(passed_over))


def _rank(service: Service) -> tuple[int, str, str]:
    return len(service.councils), service.agency, service.id


def _because(able: list[Service]) -> Because | None:
    if not able:
        return None
    if len(able) == 1:
        return Because.ONLY_ONE
    return Because.MOST_LOCAL if _rank(able[0])[0] < _rank(able[1])[0] else Because.FIRST_BY_NAME


def _why_not(wish: Wish, service: Service, known: Circumstances) -> Iterable[WhyNot]:
    if wish.area not in known.areas:
        yield WhyNot.AREA_OFF
    if not wish.councils <= service.councils:
        yield WhyNot.PART_OF_AREA
    if service.agency not in known.purposes:
        yield WhyNot.NOT_CONFIGURED
    elif known.purposes[service.agency] != wish.purpose:
        yield WhyNot.OTHER_PURPOSE
    if wish.urgency not in service.urgency:
        yield WhyNot.URGENCY
    yield from _ineligible(wish, service.rules)
    if service.agency in known.already:
        yield WhyNot.ASKED_ALREADY
    if service.agency in known.declined:
        yield WhyNot.DECLINED
    if known.agreed is not None and service.agency not in known.agreed:
        yield WhyNot.NOT_AGREED


def _ineligible(wish: Wish, rules: Eligibility) -> Iterable[WhyNot]:
    """A rule that cannot be checked is not met: what she does not need to tell is not given to find out."""
    if wish.age is None and (rules.minimum_age is not None or rules.maximum_age is not None):
        yield WhyNot.AGE_NOT_KNOWN
    elif wish.age is not None and rules.minimum_age is not None and wish.age < rules.minimum_age:
        yield WhyNot.TOO_YOUNG
    elif wish.age is not None and rules.maximum_age is not None and wish.age > rules.maximum_age:
        yield WhyNot.TOO_OLD
    if rules.with_children is True and not wish.children:
        yield WhyNot.NO_CHILDREN
    if rules.with_children is False and wish.children:
        yield WhyNot.CHILDREN


def wish_of(referral: Mapping[str, Any], request: Mapping[str, Any], today: date) -> Wish:
    """What *request* of *referral* asks for, both after the referral schema."""
    born = referral.get("person", {}).get("birth_date")
    children = referral.get("household", {}).get("children", ())
    return Wish(
        need=request["need"],
        purpose=request["purpose"],
        area=referral["area"],
        urgency=referral["urgency"],
        council=referral.get("council"),
        age=age(date.fromisoformat(born), today) if born else None,
        children=any(child["lives_with_her"] for child in children),
    )


def age(born: date, today: date) -> int:
    """Whole years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
