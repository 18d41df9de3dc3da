"""The samples are synthetic, varied, and their expectations follow from their consent."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gateway_schemas
import pytest
from gateway_housing import Housing
from gateway_nhs import Nhs
from gateway_sdk import Adapter
from gateway_social_security import SocialSecurity

from gateway import plugins
from gateway.policy import contract, places
from gateway.settings import AREAS
from samples.demo import BY_HAND, DIRECTORY, SITES
from samples.load import FOLDER, Sample, load

NOW = datetime.now(UTC)
SAMPLES = load(NOW)
SERVICES = json.loads(DIRECTORY.read_text("utf-8"))
ADAPTERS: dict[str, type[Adapter]] = {"housing": Housing, "social_security": SocialSecurity, "nhs": Nhs}
ADAPTERS["by-hand"] = type("ByHand", (Adapter,), {"purpose": "housing", "needs": plugins.SHEETS["housing"]})
AGENCIES = {
    site: (ADAPTERS[kind], areas)
    for kind, sites in {**SITES, "by-hand": BY_HAND}.items()
    for site, areas in sites.items()
}
PHONES = re.compile(r"0141 496 0\d{3}|0131 496 0\d{2,3}|07700 900\d{3}|01632 960 ?\d{3}")


def ids(sample: Sample) -> str:
    return sample.name


def expected(sample: Sample) -> int:
    """The answer that follows from documents and consent, worked out without the gateway."""
    referral = {**sample.referral, "consent": "con_00000000000000000"}
    asked = [request.get("agency") or serving(sample, request) for request in referral["requests"]]
    if contract.problems("referral", referral) or any(
        agency not in AGENCIES or referral["area"] not in AGENCIES[agency][1] for agency in asked
    ):
        return 422
    for agency, request in zip(asked, sample.referral["requests"], strict=True):
        view = gateway_schemas.agency_view({**referral, "requests": [{**request, "agency": agency}]}, agency)
        if any(not gateway_schemas.keep(view, [need]) for need in AGENCIES[agency][0].needs.required):
            return 422
    return 202 if all(agreed(sample, agency) for agency in asked) else 403


def serving(sample: Sample, request: dict[str, Any]) -> str:
    """The agency that the directory of the samples has for a need, read without the gateway; empty: none."""
    wanted = places.councils(sample.referral.get("council", sample.referral["area"]))
    children = any(one["lives_with_her"] for one in sample.referral.get("household", {}).get("children", []))
    names = {one["id"]: one["organization_identifiers"][0]["identifier"] for one in SERVICES["organizations"]}
    found = []
    for service in SERVICES["services"]:
        terms = [attribute["taxonomy_term"]["code"] for attribute in service["attributes"]]
        served = frozenset[str]().union(
            *(places.councils(re.split("[:/]", a["uri"])[-1]) for a in service["service_areas"])
        )
        urgent = sample.referral["urgency"] in terms or not {"routine", "urgent", "asap", "stat"} & set(terms)
        fits = children or "with-children" not in terms
        old = "maximum_age" in service and int(sample.referral["person"]["birth_date"][:4]) < NOW.year - 18
        if request["need"] in terms and wanted <= served and urgent and fits and not old:
            found.append(names[service["organization_id"]])
    named = [agency for agency in found if any(agency in permit["recipients"] for permit in sample.consent["permits"])]
    return (named or found or [""])[0]


def agreed(sample: Sample, agency: str) -> bool:
    consent, adapter = sample.consent, AGENCIES[agency][0]
    required = {
        category
        for need in adapter.needs.required
        for category in gateway_schemas.categories_under(need) & gateway_schemas.consent_categories()
    }
    if sample.withdraw or consent["subject"] != sample.referral["subject"]:
        return False
    if not datetime.fromisoformat(consent["given"]["at"]) <= NOW < datetime.fromisoformat(consent["ends_at"]):
        return False
    covered: set[str] = set()
    for permit in consent["permits"]:
        ends = datetime.fromisoformat(permit.get("ends_at", consent["ends_at"]))
        if agency in permit["recipients"] and adapter.purpose in permit["purposes"] and ends > NOW:
            covered |= set(permit["categories"])
    return required <= covered


@pytest.mark.parametrize("sample", SAMPLES, ids=ids)
def test_the_expectation_follows(sample: Sample) -> None:
    assert sample.expect["answer"] == expected(sample)
    assert not contract.problems("consent", sample.consent)
    if sample.expect["answer"] == 202:
        named = {request.get("agency") or serving(sample, request) for request in sample.referral["requests"]}
        assert set(sample.expect["deliveries"]) == named


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_sample_is_synthetic(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    assert document["synthetic"] is True
    text = json.dumps(document, ensure_ascii=False)
    for number in re.findall(r'"(?:phone|number)": "([^"]+)"', text):
        assert PHONES.fullmatch(number), number
    assert not re.findall(r"[\w.]+@(?!example\.(?:org|com))[\w.]+", text)


def test_they_are_many_and_varied() -> None:
    assert len(SAMPLES) >= 40
    assert {sample.referral["area"] for sample in SAMPLES} == set(AREAS)
    assert len({sample.referral["person"]["language"]["preferred"] for sample in SAMPLES}) >= 12
    reasons = {entry.get("reason", "category") for sample in SAMPLES for entry in sample.expect.get("missing", [])}
    assert {"expired", "withdrawn", "not_recipient", "not_purpose", "other_subject", "not_yet", "category"} <= reasons
    assert any("children" in sample.referral.get("household", {}) for sample in SAMPLES)
    assert {request.get("agency") for sample in SAMPLES for request in sample.referral["requests"]} >= {*AGENCIES} - {
        *BY_HAND
    }
    assert sum("need" in request for sample in SAMPLES for request in sample.referral["requests"]) >= 6


def test_times_are_relative_to_now() -> None:
    later = load(NOW + timedelta(days=400))
    assert [sample.name for sample in later if sample.expect["answer"] == 202]
    for before, after in zip(SAMPLES, later, strict=True):
        assert datetime.fromisoformat(after.consent["ends_at"]) - datetime.fromisoformat(
            before.consent["ends_at"]
        ) == timedelta(days=400)


def test_the_table_is_in_step_with_the_files() -> None:
    table = (FOLDER.parent / "README.md").read_text("utf-8")
    assert [f"| {s.name} | {s.title} | {happens(s.expect)} |" for s in SAMPLES] == [
        line for line in table.splitlines() if re.match(r"\| \d\d-", line)
    ]


def happens(expect: dict[str, Any]) -> str:
    """What becomes of a sample, for the table."""
    if expect["answer"] != 202:
        return f"refused at the counter: {expect['problem']}"
    ends = [
        f"{agency} {wanted['state']}" + (f" ({wanted['code']})" if "code" in wanted else "")
        for agency, wanted in expect["deliveries"].items()
    ]
    return ", ".join(ends)
