"""The service directory in the shape of HSDS 3 (Human Services Data Specification), as Open Referral UK uses it.

A document is ``{"organizations": […], "services": […]}``; a service names its organization by ``organization_id`` or
holds it. What HSDS leaves to its users is said in terms of ours:

- an organization's identifier of scheme ``urn:referral-gateway:agency`` is the agency's name in the settings;
- a service's attributes are taxonomy terms: what it is for (``…:need``), how urgent a referral it takes
  (``…:urgency``; none given: any) and whom (``…:eligibility``: ``with-children``, ``without-children``);
- the ``uri`` of a service area ends in a hub area or in the code of a council or health board.

What else HSDS has is accepted, and not kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_URL, uuid5

import gateway_schemas
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import Invalid

from . import contract
from .places import PLACES, name
from .routing import Eligibility, Service

AGENCY, NEED, URGENCY, ELIGIBILITY = (
    f"urn:referral-gateway:{word}" for word in ("agency", "need", "urgency", "eligibility")
)
NEEDS: tuple[str, ...] = tuple(gateway_schemas.load("referral")["$defs"]["need"]["enum"])
URGENCIES: tuple[str, ...] = tuple(gateway_schemas.load("referral")["properties"]["urgency"]["enum"])
CHILDREN = {"with-children": True, "without-children": False}
GEOGRAPHY = "http://statistics.data.gov.uk/id/statistical-geography/"

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(Z|[+-]\d\d:\d\d)?$")]
Age = Annotated[int, Field(ge=0, le=130)]


class _Kept(BaseModel):
    """An object of which everything is kept."""

    model_config = ConfigDict(extra="allow")


class _Schedule(_Kept):
    freq: Literal["WEEKLY", "MONTHLY"] | None = None
    byday: Annotated[str, Field(pattern=r"^-?\d?(MO|TU|WE|TH|FR|SA|SU)(,-?\d?(MO|TU|WE|TH|FR|SA|SU))*$")] | None = None
    opens_at: Clock | None = None
    closes_at: Clock | None = None


class _Phone(_Kept):
    number: Text


class _Identifier(BaseModel):
    identifier_scheme: str = ""
    identifier: str


class _Organization(BaseModel):
    id: Text
    name: Text
    organization_identifiers: list[_Identifier] = []


class _Term(BaseModel):
    code: str
    taxonomy: str = ""


class _Attribute(BaseModel):
    taxonomy_term: _Term | None = None


class _Area(BaseModel):
    uri: Text


class _AtLocation(BaseModel):
    service_areas: list[_Area] = []
    schedules: list[_Schedule] = []
    phones: list[_Phone] = []


class _Service(_AtLocation):
    id: Text
    name: Text
    organization_id: str | None = None
    organization: _Organization | None = None
    description: str | None = Field(None, max_length=10_000)
    status: Literal["active", "inactive", "defunct", "temporarily closed"] = "active"
    eligibility_description: str | None = Field(None, max_length=10_000)
    minimum_age: Age | None = None
    maximum_age: Age | None = None
    attributes: list[_Attribute] = []
    service_at_locations: list[_AtLocation] = []


class _Document(BaseModel):
    organizations: list[_Organization] = []
    services: list[_Service]


@dataclass(frozen=True)
class Import:
    """What a document says. *services*: ``{its id there: service}``, without ids of our own. *agencies*: all it names."""

    services: Mapping[str, Service]
    agencies: frozenset[str]


def read(document: Any) -> Import:
    """Raises Invalid, which names the first wrong place. Services that are not active are left out."""
    try:
        whole = _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _wrong(first["loc"], first["msg"]) from None
    organizations = {one.id: (one, f"/organizations/{place}") for place, one in enumerate(whole.organizations)}
    agencies = {_agency(one, where) for one, where in organizations.values()}
    services: dict[str, Service] = {}
    for place, one in enumerate(whole.services):
        where = f"/services/{place}"
        if one.id in services:
            raise Invalid(f"At {where}/id: expected an id that no service before it has.")
        held = (one.organization, f"{where}/organization") if one.organization else None
        found = held or organizations.get(one.organization_id or "")
        if found is None:
            raise Invalid(f"At {where}/organization_id: expected the id of one of the organizations.")
        agencies.add(_agency(*found))
        if one.status == "active":
            services[one.id] = _service(one, found[0], _agency(*found), where)
    return Import(services, frozenset(agencies))


def _wrong(place: Iterable[str | int], expected: str) -> Invalid:
    return Invalid(f"At {contract.pointer(place) or 'the top'}: {expected}.")


def _agency(organization: _Organization, where: str) -> str:
    for one in organization.organization_identifiers:
        if one.identifier_scheme == AGENCY:
            return one.identifier
    raise Invalid(f"At {where}/organization_identifiers: expected one of scheme {AGENCY}, the agency's name.")


def _service(one: _Service, organization: _Organization, agency: str, where: str) -> Service:
    parts = [one, *one.service_at_locations]
    places = [
        area.uri.rstrip("/").replace(":", "/").rpartition("/")[2] for part in parts for area in part.service_areas
    ]
    for place in places:
        if place not in PLACES:
            raise Invalid(f"At {where}/service_areas: {place} is no hub area, council or health board that is known.")
    needs = _terms(one, NEED, NEEDS, where)
    if not needs or not places:
        missing = "service_areas" if needs else "attributes"
        raise Invalid(f"At {where}/{missing}: expected at least one{'' if needs else f' term of {NEED}'}.")
    if None not in (one.minimum_age, one.maximum_age) and one.minimum_age > one.maximum_age:  # type: ignore[operator]
        raise Invalid(f"At {where}/minimum_age: expected no more than maximum_age.")
    children = {CHILDREN[term] for term in _terms(one, ELIGIBILITY, CHILDREN, where)}
    return Service(
        id="",
        agency=agency,
        organization=organization.name,
        name=one.name,
        needs=frozenset(needs),
        urgency=frozenset(_terms(one, URGENCY, URGENCIES, where) or URGENCIES),
        places=frozenset(places),
        rules=Eligibility(one.minimum_age, one.maximum_age, children.pop() if len(children) == 1 else None),
        description=one.description or "",
        eligibility=one.eligibility_description or "",
        schedules=tuple(_plain(schedule) for part in parts for schedule in part.schedules),
        phones=tuple(_plain(phone) for part in parts for phone in part.phones),
    )


def _terms(one: _Service, taxonomy: str, known: Iterable[str], where: str) -> list[str]:
    terms = [a.taxonomy_term for a in one.attributes if a.taxonomy_term and a.taxonomy_term.taxonomy == taxonomy]
    for term in terms:
        if term.code not in known:
            raise Invalid(f"At {where}/attributes: {taxonomy} has no term {term.code}; known are {', '.join(known)}.")
    return [term.code for term in terms]


def _plain(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(exclude_none=True)


def write(services: Mapping[str, Service]) -> dict[str, Any]:
    """The document that read() takes, of ``{id there: service}``."""
    names = {one.agency: one.organization for one in services.values()}
    return {
        "organizations": [
            {
                "id": _organization_id(agency),
                "name": names[agency],
                "organization_identifiers": [{"identifier_scheme": AGENCY, "identifier": agency}],
            }
            for agency in sorted(names)
        ],
        "services": [_written(source, one) for source, one in services.items()],
    }


def _organization_id(agency: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{AGENCY}:{agency}"))


def _written(source: str, one: Service) -> dict[str, Any]:
    children = [code for code, value in CHILDREN.items() if value is one.rules.with_children]
    terms = [(NEED, sorted(one.needs)), (URGENCY, sorted(one.urgency)), (ELIGIBILITY, children)]
    whole = {
        "id": source,
        "organization_id": _organization_id(one.agency),
        "name": one.name,
        "description": one.description,
        "status": "active",
        "eligibility_description": one.eligibility,
        "minimum_age": one.rules.minimum_age,
        "maximum_age": one.rules.maximum_age,
        "attributes": [
            {"taxonomy_term": {"code": code, "taxonomy": taxonomy}} for taxonomy, codes in terms for code in codes
        ],
        "service_areas": [{"name": name(place), "uri": _uri(place)} for place in sorted(one.places)],
        "schedules": list(one.schedules),
        "phones": list(one.phones),
    }
    return {key: value for key, value in whole.items() if value not in (None, "", [])}


def _uri(place: str) -> str:
    return f"{GEOGRAPHY}{place}" if place.startswith("S") else f"urn:referral-gateway:area:{place}"
