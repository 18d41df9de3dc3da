"""The accounts that a manager or an admin looks after: add, reset, disable."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from gateway.delivery.room import PostRoom
from gateway.errors import Conflict, Invalid, NotFound
from gateway.policy.roles import NAME, OF_A_HUB, Person, Role, governs
from gateway.store import people

from . import credentials
from .access import Me, Room, Visit, allowed
from .pages import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)


def checked(name: str) -> str:
    """*name*, if somebody can be called so. Raises Invalid."""
    if not NAME.fullmatch(name):
        raise Invalid("A name has up to 64 small letters, digits, and . _ @ - between: for example support-worker-12.")
    return name


@router.get("/console/people")
@allowed(Role.HUB_MANAGER, Role.DELIVERY_ADMIN)
def listing(me: Me, room: Room) -> Response:
    return _page(room, me)


def _page(room: PostRoom, me: Visit, given: tuple[str, str] | None = None) -> Response:
    """*given*: name and one-time password, shown this once."""
    with room.store.begin() as tx:
        found = [row for row in people.listing(tx) if governs(me.person, people.person_of(row))]
    return render("people.html", me=me, people=found, roles=_roles(me.person), given=given)


def _roles(person: Person) -> list[Role]:
    """The roles that *person* may give."""
    return [role for role in Role if governs(person, Person("", role, person.hub if role in OF_A_HUB else None))]


@router.post("/console/people")
@allowed(Role.HUB_MANAGER, Role.DELIVERY_ADMIN)
def add(me: Me, room: Room, name: Annotated[str, Form(max_length=100)], role: Annotated[Role, Form()]) -> Response:
    person = Person(checked(name.strip().lower()), role, me.person.hub if role in OF_A_HUB else None)
    if not governs(me.person, person):
        raise NotFound("That role is not yours to give.")
    password = credentials.one_time()
    with room.store.begin() as tx:
        people.add(tx, person, credentials.hasher.hash(password), by=me.person.actor)
    return _page(room, me, (person.name, password))


@router.post("/console/people/{name}/{verb}")
@allowed(Role.HUB_MANAGER, Role.DELIVERY_ADMIN)
def change(name: str, verb: str, me: Me, room: Room) -> Response:
    """``reset``, ``disable`` or ``enable`` an account."""
    password = credentials.one_time()
    with room.store.begin() as tx:
        found = people.find(tx, name)
        if found is None or not governs(me.person, found.person):
            raise NotFound("There is no such person among those that you look after.")
        if name == me.person.name:
            raise Conflict("That is you. Somebody else has to do this.")
        match verb:
            case "reset":
                people.reset(tx, found.person, credentials.hasher.hash(password), by=me.person.actor)
            case "disable":
                people.disable(tx, found.person, by=me.person.actor)
            case "enable":
                people.enable(tx, found.person, by=me.person.actor)
            case _:
                raise NotFound("There is no such thing to do.")
    return _page(room, me, (name, password)) if verb == "reset" else RedirectResponse("/console/people", 303)
