"""Consent, as a pure decision."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.policy.consent import Basis, Consent, Grant, Permit, WhyNot, decide, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGENCIES, PURPOSES, CATEGORIES = (
    ["a", "b", "c"],
    ["housing", "health-care"],
    ["identity", "contact", "health", "income"],
)

names = st.frozensets(st.sampled_from(AGENCIES), min_size=1)
times = st.integers(-48, 48).map(lambda hours: NOW + hours * HOUR)
permits = st.builds(
    Permit,
    names,
    st.frozensets(st.sampled_from(PURPOSES), min_size=1),
    st.frozensets(st.sampled_from(CATEGORIES), min_size=1),
    times,
)
consents = st.builds(
    Consent, st.just("S-1"), times, st.lists(permits, min_size=1, max_size=4).map(tuple), times, st.none() | times
)
required = st.frozensets(st.sampled_from(CATEGORIES))

FULL = Consent(
    "S-1", NOW - HOUR, (Permit(frozenset("a"), frozenset(["housing"]), frozenset(CATEGORIES), NOW + HOUR),), NOW + HOUR
)


generous = st.lists(permits, max_size=3).map(lambda more: replace(FULL, permits=(*FULL.permits, *more)))


def ask(consent: Consent, **changes: object) -> Grant | tuple[object, ...]:
    question = {"subject": "S-1", "agency": "a", "purpose": "housing", "required": frozenset(["identity"]), "at": NOW}
    return decide(consent, **{**question, **changes})  # type: ignore[arg-type]


def why(consent: Consent, **changes: object) -> list[WhyNot]:
    answer = ask(consent, **changes)
    assert isinstance(answer, tuple)
    return [entry.reason for entry in answer]  # type: ignore[attr-defined]


@given(consents, st.sampled_from(AGENCIES), st.sampled_from(PURPOSES), required, times)
def test_a_grant_rests_on_permits_in_force_and_nothing_else(
    consent: Consent, agency: str, purpose: str, needed: frozenset[str], at: datetime
) -> None:
    answer = ask(consent, agency=agency, purpose=purpose, required=needed, at=at)
    in_force = [
        permit
        for permit in consent.permits
        if agency in permit.recipients and purpose in permit.purposes and at < permit.ends_at
    ]
    covered = frozenset[str]().union(*(permit.categories for permit in in_force))
    alive = consent.given_at <= at < consent.ends_at and (consent.withdrawn_at is None or at < consent.withdrawn_at)
    assert isinstance(answer, Grant) == bool(alive and in_force and needed <= covered)
    if isinstance(answer, Grant):
        assert answer.categories == covered
    else:
        assert answer


@given(consents, times, times)
def test_once_withdrawn_it_never_grants_again(consent: Consent, withdrawn: datetime, at: datetime) -> None:
    assume(at >= withdrawn)
    assert not isinstance(ask(replace(consent, withdrawn_at=withdrawn), at=at), Grant)


@given(consents, required, required)
def test_asking_for_less_never_loses_a_grant(consent: Consent, some: frozenset[str], more: frozenset[str]) -> None:
    if isinstance(ask(consent, required=some | more), Grant):
        assert isinstance(ask(consent, required=some), Grant)


@given(consents | generous, permits, required, times)
def test_another_permit_never_takes_a_grant_away(
    consent: Consent, more: Permit, needed: frozenset[str], at: datetime
) -> None:
    before = ask(consent, required=needed, at=at)
    if isinstance(before, Grant):
        after = ask(replace(consent, permits=(*consent.permits, more)), required=needed, at=at)
        assert isinstance(after, Grant)
        assert after.categories >= before.categories


@given(consents | generous, times, st.text(max_size=5))
def test_nothing_is_granted_about_another_woman(consent: Consent, at: datetime, subject: str) -> None:
    assert subject == consent.subject or not isinstance(ask(consent, at=at, subject=subject), Grant)


@given(consents | generous, st.sampled_from(Basis), st.booleans(), times)
def test_another_basis_grants_what_consent_would_once_it_is_approved(
    consent: Consent, basis: Basis, approved: bool, at: datetime
) -> None:
    agreed, other = ask(consent, at=at), ask(replace(consent, basis=basis, approved=approved), at=at)
    granted = isinstance(agreed, Grant) and (approved or basis is Basis.CONSENT)
    assert isinstance(other, Grant) == granted
    assert not isinstance(other, Grant) or other.basis is basis


def test_each_reason_is_told() -> None:
    assert isinstance(ask(FULL), Grant)
    assert why(FULL, subject="S-2") == [WhyNot.OTHER_SUBJECT]
    assert why(FULL, at=NOW - 2 * HOUR) == [WhyNot.NOT_YET]
    assert why(FULL, at=NOW + HOUR) == [WhyNot.EXPIRED]
    assert why(replace(FULL, withdrawn_at=NOW)) == [WhyNot.WITHDRAWN]
    assert why(FULL, agency="b") == [WhyNot.NOT_RECIPIENT]
    assert why(FULL, purpose="statistics") == [WhyNot.NOT_PURPOSE]


def test_every_missing_category_is_listed() -> None:
    answer = ask(FULL, required=frozenset(["identity", "children", "address"]))
    assert isinstance(answer, tuple)
    assert [entry.category for entry in answer] == ["address", "children"]  # type: ignore[attr-defined]


def test_a_permit_ends_with_the_whole_consent_at_the_latest() -> None:
    document = {
        "subject": "S-1",
        "given": {"at": "2026-01-01T00:00:00Z"},
        "permits": [
            {
                "recipients": ["a"],
                "purposes": ["housing"],
                "categories": ["identity"],
                "ends_at": "2027-01-01T00:00:00Z",
            }
        ],
        "ends_at": "2026-06-01T00:00:00Z",
    }
    parsed = parse(document)
    assert parsed.permits[0].ends_at == datetime(2026, 6, 1, tzinfo=UTC)
