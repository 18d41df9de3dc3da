"""Figures that give nobody away: what is too small to be told is told together with the next smallest.

The rule is the threshold rule for tables of frequencies (OECD Glossary of Statistical Terms, after the Joint UNECE and
Eurostat Glossary on Statistical Disclosure Control, 2005): a part of fewer than five people is not shown (primary
suppression). Since its whole is shown, a missing part could be had by subtraction; so the smallest of the other parts goes
with it (complementary suppression), all that are as small, so that names decide nothing. They are told as one number,
"others", and not by name, so that nobody can tell them from parts that are empty. Whoever knows this rule cannot say
which of them is the small one: were the two the other way round, the same would be told.

Wholes and parts are a tree, each part of one whole only: what a part is can be learned from its whole and its siblings
and from nothing else.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median

THRESHOLD = 5
"""People. Nothing is told of fewer."""
OTHERS = "others"


@dataclass(frozen=True)
class Fact:
    """One thing that is counted. *person*: whose it is. *path*: the names of the parts it is in, outermost first.

    *days*: what is measured of it, if anything yet.
    """

    person: Hashable
    path: tuple[str, ...]
    days: float | None = None


@dataclass(frozen=True)
class Figure:
    """What may be told of a part: its *count*, its median *days* (whole ones, rounded up; None: of too few), and its parts."""

    count: int
    days: int | None = None
    parts: Mapping[str, "Figure"] = field(default_factory=dict)


def figure(facts: Iterable[Fact]) -> Figure | None:
    """What may be told of *facts*; None: they are of too few people."""
    facts = list(facts)
    return None if is_small(facts) else _whole(facts, 0)


def is_small(facts: Iterable[Fact]) -> bool:
    return len({fact.person for fact in facts}) < THRESHOLD


def _whole(facts: Sequence[Fact], depth: int) -> Figure:
    by_name: dict[str, list[Fact]] = {}
    for fact in facts:
        for name in fact.path[depth : depth + 1]:
            by_name.setdefault(name, []).append(fact)
    small, shown = _apart(by_name)
    parts = {name: _whole(by_name[name], depth + 1) for name in shown}
    if small:
        parts[OTHERS] = Figure(sum(len(by_name[name]) for name in small))
    return Figure(len(facts), _median(facts), parts)


def _apart(by_name: Mapping[str, Sequence[Fact]]) -> tuple[list[str], list[str]]:
    """The names that are told together, and those that are shown, in their order."""
    small = {name for name, facts in by_name.items() if is_small(facts)}
    rest = by_name.keys() - small
    least = min((len(by_name[name]) for name in rest), default=0)
    together = small | {name for name in rest if small and len(by_name[name]) == least}
    return sorted(together), sorted(by_name.keys() - together)


def _median(facts: Iterable[Fact]) -> int | None:
    measured = [fact for fact in facts if fact.days is not None]
    return None if is_small(measured) else ceil(median(fact.days for fact in measured if fact.days is not None))
