"""The choice of a service, for all directories and all wishes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy import places
from gateway.policy.routing import (
    SENTENCES,
    Because,
    Circumstances,
    Eligibility,
    Service,
    WhyNot,
    Wish,
    age,
    choose,
)
from gateway.settings import AREAS

# A small world, so that most services are near, and each rule is often the only one in the way.
NEED, PURPOSE, URGENCY = "emergency-accommodation", "housing", "stat"
AGENCIES = ["a", "b", "c"]
HERE = ["ayrshire", "S12000021", "S08000015", "dundee", "S12000042", "S08000030"]


def mostly(usual: Any, odd: Any) -> Any:
    return st.integers(0, 5).flatmap(lambda number: odd if number == 0 else usual)


ages = mostly(st.none(), st.sampled_from([15, 16, 30, 60]))
services = st.lists(
    st.builds(
        Service,
        id=st.integers(0, 10**6).map("svc_{}".format),
        agency=st.sampled_from(AGENCIES),
        name=st.just("A service"),
        needs=mostly(st.just(frozenset([NEED])), st.just(frozenset(["mental-health"]))),
        urgency=mostly(st.just(frozenset([URGENCY, "routine"])), st.just(frozenset(["routine"]))),
        places=st.frozensets(st.sampled_from(HERE), min_size=1, max_size=3),
        rules=st.builds(Eligibility, ages, ages, mostly(st.none(), st.booleans())),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)
wishes = st.builds(
    Wish,
    need=st.just(NEED),
    purpose=st.just(PURPOSE),
    area=st.sampled_from(["ayrshire", "dundee"]),
    urgency=st.sampled_from([URGENCY, "routine"]),
    age=mostly(st.sampled_from([15, 16, 30, 60]), st.none()),
    children=st.booleans(),
).flatmap(lambda wish: st.sampled_from([None, *sorted(wish.councils)]).map(lambda code: replace(wish, council=code)))
circumstances = st.builds(
    Circumstances,
    purposes=mostly(
        st.just(dict.fromkeys(AGENCIES, PURPOSE)),
        st.dictionaries(st.sampled_from(AGENCIES), st.sampled_from([PURPOSE, "health-care"])),
    ),
    areas=mostly(st.just(frozenset(AREAS)), st.just(frozenset(["glasgow"]))),
    agreed=st.none() | st.frozensets(st.sampled_from(AGENCIES)),
    already=mostly(st.just(frozenset[str]()), st.just(frozenset(["a"]))),
    declined=mostly(st.just(frozenset[str]()), st.just(frozenset(["b"]))),
)


def able(wish: Wish, one: Service, known: Circumstances, *, but_consent: bool = False) -> bool:
    """Whether *one* fails no rule, written down a second time."""
    rules = one.rules
    low, high = rules.minimum_age, rules.maximum_age
    return (
        wish.need in one.needs
        and wish.urgency in one.urgency
        and wish.area in known.areas
        and wish.councils <= one.councils
        and known.purposes.get(one.agency) == wish.purpose
        and one.agency not in known.already
        and one.agency not in known.declined
        and (low is None or (wish.age is not None and wish.age >= low))
        and (high is None or (wish.age is not None and wish.age <= high))
        and rules.with_children in (None, wish.children)
        and (but_consent or known.agreed is None or one.agency in known.agreed)
    )


@settings(max_examples=300, deadline=None)
@given(wishes, services, circumstances)
def test_one_is_picked_if_any_fails_no_rule_and_never_one_that_does(
    wish: Wish, directory: Sequence[Service], known: Circumstances
) -> None:
    choice = choose(wish, directory, known)
    could = [one for one in directory if able(wish, one, known)]
    assert (choice.picked is not None) == bool(could)
    assert choice.picked is None or choice.picked in could
    assert (choice.because is None) == (choice.picked is None)
    if choice.picked:
        assert len(choice.picked.councils) == min(len(one.councils) for one in could)


@settings(deadline=None)
@given(wishes, services, circumstances, st.randoms())
def test_the_order_of_the_directory_does_not_matter(
    wish: Wish, directory: Sequence[Service], known: Circumstances, random: "object"
) -> None:
    shuffled = list(directory)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(wish, shuffled, known) == choose(wish, directory, known)


@settings(deadline=None)
@given(wishes, services, circumstances)
def test_consent_is_never_widened(wish: Wish, directory: Sequence[Service], known: Circumstances) -> None:
    choice = choose(wish, directory, known)
    if known.agreed is not None and choice.picked:
        assert choice.picked.agency in known.agreed
    if choice.ask_her:
        assert choice.picked is None
        assert able(wish, choice.ask_her, known, but_consent=True)
    elif choice.picked is None:
        assert not [one for one in directory if able(wish, one, known, but_consent=True)]


@settings(deadline=None)
@given(wishes, services, circumstances)
def test_every_other_one_thereabouts_is_passed_over_for_a_reason(
    wish: Wish, directory: Sequence[Service], known: Circumstances
) -> None:
    choice = choose(wish, directory, known)
    reasons = {one.id: why for one, why in choice.passed_over}
    thereabouts = {one.id for one in directory if wish.need in one.needs and wish.councils & one.councils}
    assert set(reasons) == thereabouts - {choice.picked.id if choice.picked else ""}
    for one in directory:
        if one.id in reasons:
            assert (reasons[one.id] == (WhyNot.ANOTHER_FIRST,)) == able(wish, one, known)


ROOMS = Service("svc_1", "a", "Rooms", frozenset([NEED]), frozenset([URGENCY]), frozenset(["ayrshire"]))
BED = Wish(NEED, PURPOSE, "ayrshire", URGENCY, age=30)
KNOWN = Circumstances({"a": PURPOSE}, frozenset(AREAS), {"a"})


@pytest.mark.parametrize(
    ("wish", "service", "known", "why"),
    [
        (BED, ROOMS, replace(KNOWN, areas=()), WhyNot.AREA_OFF),
        (BED, replace(ROOMS, places=frozenset(["S12000021"])), KNOWN, WhyNot.PART_OF_AREA),
        (BED, ROOMS, replace(KNOWN, purposes={}), WhyNot.NOT_CONFIGURED),
        (BED, ROOMS, replace(KNOWN, purposes={"a": "health-care"}), WhyNot.OTHER_PURPOSE),
        (replace(BED, urgency="routine"), ROOMS, KNOWN, WhyNot.URGENCY),
        (replace(BED, age=None), replace(ROOMS, rules=Eligibility(16)), KNOWN, WhyNot.AGE_NOT_KNOWN),
        (replace(BED, age=15), replace(ROOMS, rules=Eligibility(16)), KNOWN, WhyNot.TOO_YOUNG),
        (BED, replace(ROOMS, rules=Eligibility(None, 29)), KNOWN, WhyNot.TOO_OLD),
        (BED, replace(ROOMS, rules=Eligibility(with_children=True)), KNOWN, WhyNot.NO_CHILDREN),
        (replace(BED, children=True), replace(ROOMS, rules=Eligibility(with_children=False)), KNOWN, WhyNot.CHILDREN),
        (BED, ROOMS, replace(KNOWN, already={"a"}), WhyNot.ASKED_ALREADY),
        (BED, ROOMS, replace(KNOWN, declined={"a"}), WhyNot.DECLINED),
        (BED, ROOMS, replace(KNOWN, agreed=()), WhyNot.NOT_AGREED),
    ],
)
def test_each_rule_alone_stands_in_the_way(wish: Wish, service: Service, known: Circumstances, why: WhyNot) -> None:
    assert choose(BED, [ROOMS], KNOWN).picked is ROOMS
    choice = choose(wish, [service], known)
    assert (choice.picked, choice.passed_over) == (None, ((service, (why,)),))
    assert choice.ask_her == (service if why is WhyNot.NOT_AGREED else None)


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == {*WhyNot, *Because}


@pytest.mark.parametrize(
    ("born", "today", "years"),
    [("2008-11-24", "2026-11-23", 17), ("2008-11-24", "2026-11-24", 18), ("2008-02-29", "2026-02-28", 17)],
)
def test_age(born: str, today: str, years: int) -> None:
    assert age(date.fromisoformat(born), date.fromisoformat(today)) == years


def test_areas_councils_and_boards_are_one_geography() -> None:
    assert {council.area for council in places.COUNCILS.values()} == set(AREAS)
    assert {council.board for council in places.COUNCILS.values()} == set(places.BOARDS)
    assert places.councils("S08000030") == {"S12000042", "S12000048"}
    assert places.councils("nowhere") == frozenset()
    assert places.name("edinburgh-and-borders") == "Edinburgh and Borders"
