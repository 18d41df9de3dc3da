"""How versions of a consent differ: for any two of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.changes import Kind, compare, coverage, lost, next_end, without
from gateway.policy.consent import Basis, Consent, Grant, WhyNot, decide, parse, statistics

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENCIES, PURPOSES, CATEGORIES = ["a", "b", "c"], ["housing", "statistics"], ["identity", "contact", "children"]

ends = st.integers(-3, 5).map(lambda hours: (NOW + timedelta(hours=hours)).isoformat())
some = {
    "recipients": st.lists(st.sampled_from(AGENCIES), min_size=1, unique=True),
    "purposes": st.lists(st.sampled_from(PURPOSES), min_size=1, unique=True),
    "categories": st.lists(st.sampled_from(CATEGORIES), min_size=1, unique=True),
}
children = st.sampled_from(["hers", "shared", "somebody-else"]).map(lambda who: {"parental_responsibility": who})
permits = st.fixed_dictionaries(some, optional={"ends_at": ends, "children": children})
documents = st.fixed_dictionaries(
    {
        "subject": st.just("S-1"),
        "given": st.just({"at": (NOW - timedelta(days=1)).isoformat()}),
        "permits": st.lists(permits, min_size=1, max_size=4),
        "ends_at": ends,
    }
)


def allowed(document: dict[str, Any], at: datetime) -> set[tuple[str, str, str]]:
    """What is allowed at *at*, by the decision that sending asks."""
    found = set()
    for agency in AGENCIES:
        for purpose in PURPOSES:
            answer = decide(parse(document), subject="S-1", agency=agency, purpose=purpose, required=frozenset(), at=at)
            if isinstance(answer, Grant):
                found |= {(agency, purpose, category) for category in answer.categories}
    return found


@given(documents, documents)
def test_a_change_narrows_or_widens_and_never_both(old: dict[str, Any], new: dict[str, Any]) -> None:
    there, back = compare(parse(old), parse(new)), compare(parse(new), parse(old))
    instants = [NOW + timedelta(hours=hours, minutes=-30) for hours in range(-4, 7)]
    less = any(allowed(old, at) - allowed(new, at) for at in instants)
    more = any(allowed(new, at) - allowed(old, at) for at in instants)
    match there:
        case Kind.NARROWED:
            assert not more
            assert back in (Kind.WIDENED, Kind.RENEWED)
        case Kind.WIDENED | Kind.RENEWED:
            assert not less
        case None:
            assert back is None
    if less:
        assert there in (Kind.NARROWED, None)


@given(documents)
def test_the_same_again_is_a_renewal(document: dict[str, Any]) -> None:
    assert compare(parse(document), parse(document)) is Kind.RENEWED
    reordered = {**document, "permits": [*reversed(document["permits"]), document["permits"][0]]}
    assert compare(parse(document), parse(reordered)) is Kind.RENEWED


@given(documents, documents)
def test_what_is_lost_was_covered_and_is_no_longer(old: dict[str, Any], new: dict[str, Any]) -> None:
    gone = lost(parse(old), parse(new), NOW)
    assert gone <= set(coverage(parse(old)))
    assert not gone & allowed(new, NOW)
    assert allowed(old, NOW) - allowed(new, NOW) <= gone


chosen = st.lists(st.sampled_from(AGENCIES), unique=True)
kinds = st.lists(st.sampled_from(CATEGORIES), unique=True)


@given(documents, chosen, kinds)
def test_a_withdrawal_takes_exactly_what_it_names(
    document: dict[str, Any], agencies: list[str], gone: list[str]
) -> None:
    left = without(document, recipients=agencies, categories=gone)
    meant = {
        place
        for place in coverage(parse(document))
        if (not agencies or place[0] in agencies) and (not gone or place[2] in gone)
    }
    after = coverage(parse(left)) if left else {}
    assert after == {place: end for place, end in coverage(parse(document)).items() if place not in meant}
    if left:
        assert compare(parse(document), parse(left)) in (Kind.NARROWED, Kind.RENEWED)
        assert without(left, recipients=agencies, categories=gone) == left  # the same again takes nothing


@given(documents)
def test_her_childrens_data_needs_its_own_words(document: dict[str, Any]) -> None:
    opened = any(permit.get("children", {}).get("parental_responsibility") in ("hers", "shared")
                 and "children" in permit["categories"] for permit in document["permits"])  # fmt: skip
    assert any(category == "children" for _, _, category in coverage(parse(document))) == opened


@given(documents)
def test_what_was_given_for_help_is_not_counted(document: dict[str, Any]) -> None:
    counted = statistics(parse(document), NOW)
    assert counted == {category for _, purpose, category in allowed(document, NOW) if purpose == "statistics"}
    helping = {**document, "permits": [{**permit, "purposes": ["housing"]} for permit in document["permits"]]}
    assert statistics(parse(helping), NOW) == frozenset()


@given(documents)
def test_the_clock_looks_at_every_end(document: dict[str, Any]) -> None:
    consent, at, seen = parse(document), NOW - timedelta(days=2), []
    while (end := next_end(consent, at)) is not None:
        assert end > at
        seen.append(at := end)
    assert seen == sorted({consent.ends_at, *(permit.ends_at for permit in consent.permits)})


def test_another_basis_counts_when_it_is_approved() -> None:
    document = {
        "subject": "S-1", "basis": "safeguarding", "recorded": {"at": (NOW - timedelta(hours=1)).isoformat()},
        "permits": [{"recipients": ["a"], "purposes": ["housing"], "categories": ["identity", "children"]}],
        "ends_at": (NOW + timedelta(hours=1)).isoformat(),
    }  # fmt: skip

    def ask(consent: Consent) -> Any:
        return decide(consent, subject="S-1", agency="a", purpose="housing", required=frozenset(["identity"]), at=NOW)

    [missing] = ask(parse(document))
    assert missing.reason is WhyNot.NOT_APPROVED
    granted = ask(parse(document, approved=True))
    assert (granted.basis, granted.categories) == (Basis.SAFEGUARDING, {"identity", "children"})
    [missing] = ask(parse(document, NOW, approved=True))
    assert missing.reason is WhyNot.WITHDRAWN
