"""Figures that give nobody away: for every small table, and for any."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.disclosure import OTHERS, THRESHOLD, Fact, Figure, figure

Path = tuple[str, ...]


def told(cells: Sequence[tuple[Path, int]]) -> Figure | None:
    """Of a table in which each thing is another person's."""
    people = count()
    return figure(Fact(next(people), path) for path, number in cells for _ in range(number))


FLAT = [("a",), ("b",), ("c",)]
NESTED = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]


@pytest.mark.parametrize(("cells", "most"), [(FLAT, 9), (NESTED, 7)], ids=["flat", "nested"])
def test_no_small_number_can_be_had_from_what_is_told(cells: list[Path], most: int) -> None:
    """Whoever knows the rule and every other table that would read the same cannot say how many a small part has."""
    alike: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for numbers in product(range(most + 1), repeat=len(cells)):
        alike[repr(told(list(zip(cells, numbers, strict=True))))].append(numbers)
    looked_at = 0
    for worlds in alike.values():
        for place in range(len(cells)):
            values = {numbers[place] for numbers in worlds}
            if any(0 < value < THRESHOLD for value in values):
                looked_at += 1
                assert len(values) > 1, (cells[place], worlds)
    assert looked_at > 100


facts = st.lists(
    st.builds(
        Fact,
        person=st.integers(0, 25),
        path=st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("123")),
        days=st.none() | st.floats(0, 400),
    ),
    max_size=120,
)


def each(found: Figure, path: Path = ()) -> Iterator[tuple[Path, Figure]]:
    yield path, found
    for name, part in found.parts.items():
        yield from each(part, (*path, name))


def of(those: Sequence[Fact], path: Path) -> list[Fact]:
    return [fact for fact in those if fact.path[: len(path)] == path]


@given(facts)
def test_whatever_is_told_is_of_enough_people_and_adds_up(those: list[Fact]) -> None:
    found = figure(those)
    assert (found is None) == (len({fact.person for fact in those}) < THRESHOLD)
    for path, part in each(found) if found else ():
        if part.parts:
            assert part.count == sum(one.count for one in part.parts.values())
        if path[-1:] == (OTHERS,):
            shown = dict(each(found))[path[:-1]].parts  # type: ignore[arg-type]
            unshown = [fact for fact in of(those, path[:-1]) if fact.path[len(path) - 1] not in shown]
            assert len({fact.path[len(path) - 1] for fact in unshown}) > 1
            assert (part.days, part.parts) == (None, {})
        else:
            unshown = of(those, path)
        assert part.count == len(unshown)
        assert len({fact.person for fact in unshown}) >= THRESHOLD
        measured = {fact.person for fact in unshown if fact.days is not None}
        assert part.days is None or len(measured) >= THRESHOLD


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((9, 7, 6), {"a": 9, "b": 7, "c": 6}),
        ((9, 7, 0), {"a": 9, "b": 7}),
        ((9, 7, 2), {"a": 9, OTHERS: 9}),  # b goes with c, or c were 18 - 9 - 7
        ((9, 1, 2), {OTHERS: 12}),
        ((5, 4, 4), {OTHERS: 13}),  # a and 8 would tell that both are 4: a part of five were the next smallest
        ((7, 7, 2), {OTHERS: 16}),  # a and b are alike
        ((1, 2, 1), None),
    ],
)
def test_what_is_small_goes_with_the_next_smallest(numbers: tuple[int, ...], shown: dict[str, int] | None) -> None:
    found = told(list(zip(FLAT, numbers, strict=True)))
    assert shown == (found and {name: part.count for name, part in found.parts.items()})


def test_many_things_of_one_person_are_one_persons() -> None:
    assert figure([Fact("her", ("a",))] * 50) is None


def test_the_median_is_in_whole_days() -> None:
    found = figure(Fact(number, (), days) for number, days in enumerate([0.2, 1.0, 1.1, 9.0, 300.0]))
    assert found is not None
    assert found.days == 2
