"""From a hub to three agencies and back, over real servers and in processes of their own."""

import json
import subprocess

from gateway_client.answers import Delivery, Referral
from gateway_sdk import Reason, Status

from gateway.embedded.supervisor import gateway
from tests.running import Gateway
from tests.support import HEALTH, HOUSING, SOCIAL_SECURITY, consent, referral


def cli(walk: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        gateway(*arguments), env=walk.environment, capture_output=True, text=True, timeout=60, check=False
    )


def by_agency(found: Referral, kind: str = "referral") -> dict[str, Delivery]:
    return {delivery["agency"]: delivery for delivery in found["deliveries"] if delivery["kind"] == kind}


def test_a_referral_walks_out_and_its_answers_walk_back(walk: Gateway) -> None:
    agreed = walk.consent(consent())
    identifier = walk.submit(referral(agreed))
    found = by_agency(walk.settled(identifier))
    assert {agency: delivery["state"] for agency, delivery in found.items()} == dict.fromkeys(found, "delivered")
    cases = {agency: next(iter(walk.agencies[agency].cases.values())) for agency in found}
    assert {agency: delivery["reference"] for agency, delivery in found.items()} == {
        agency: case.reference for agency, case in cases.items()
    }
    assert all(case.times == 1 for case in cases.values())

    walk.agencies[HOUSING].advance(cases[HOUSING], Status.ACCEPTED)  # by signed callback
    walk.agencies[HEALTH].advance(cases[HEALTH], Status.DECLINED, Reason.NO_CAPACITY)  # by FHIR feedback
    walk.agencies[SOCIAL_SECURITY].advance(cases[SOCIAL_SECURITY], Status.APPOINTMENT_OFFERED)  # when polled
    wanted = {HOUSING: "accepted", HEALTH: "declined", SOCIAL_SECURITY: "appointment-offered"}
    walk.wait(
        "the answers arrived",
        lambda: {a: d["status"] for a, d in by_agency(walk.referral(identifier)).items()} == wanted,
    )
    assert by_agency(walk.referral(identifier))[HEALTH]["reason"] == "no-capacity"

    feed = walk.hub.events()
    told = [(event["type"], event.get("agency"), event.get("status")) for event in feed["events"]]
    assert told[0] == ("referral.accepted", None, None)
    assert {("delivery.status", agency, status) for agency, status in wanted.items()} <= set(told)
    assert walk.hub.events(feed["next"])["events"] == []

    answer = walk.hub.withdraw(agreed)
    assert {delivery["status"] for delivery in answer["deliveries"]} == {"cancellation-requested"}
    walk.wait("every agency took it back", lambda: {case.status for case in cases.values()} == {Status.WITHDRAWN})
    walk.wait(
        "the hub sees it",
        lambda: {d["status"] for d in by_agency(walk.referral(identifier)).values()} == {"withdrawn"},
    )
    assert all(case.document is None for case in cases.values())

    verified = cli(walk, "audit", "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["broken"] is None


def test_a_killed_delivery_process_loses_nothing_and_sends_nothing_twice(walk: Gateway) -> None:
    agreed = walk.consent(consent())
    for simulator in walk.agencies.simulators.values():
        simulator.fail_next("unavailable", times=3)
    identifiers = [walk.submit(referral(agreed)) for _ in range(6)]
    walk.wait("some are under way", lambda: any(simulator.cases for simulator in walk.agencies.simulators.values()))
    walk.agencies[HOUSING].fail_next("timeout", times=2)  # so that the kill meets requests on the wire
    identifiers += [walk.submit(referral(agreed)) for _ in range(6)]
    walk.kill("delivery")
    identifiers += [walk.submit(referral(agreed)) for _ in range(4)]
    walk.start("delivery", "worker")
    for identifier in identifiers:
        for delivery in walk.settled(identifier)["deliveries"]:
            assert delivery["state"] == "delivered", delivery
    for simulator in walk.agencies.simulators.values():
        assert len(simulator.cases) == len(identifiers)
    assert all(case.times == 1 for case in walk.agencies[SOCIAL_SECURITY].cases.values())


def test_a_worker_told_to_stop_finishes_what_it_holds(walk: Gateway) -> None:
    agreed = walk.consent(consent())
    identifiers = [walk.submit(referral(agreed)) for _ in range(5)]
    assert walk.stop("delivery") == 0
    with walk.store.begin() as tx:
        row = tx.one("SELECT count(*) AS sending FROM deliveries WHERE state = 'sending'")
    assert row is not None
    if len(walk.processes) == 2:  # the only delivery process is gone: nothing may be left on the wire
        assert row["sending"] == 0
    walk.start("delivery", "worker")
    for identifier in identifiers:
        assert {delivery["state"] for delivery in walk.settled(identifier)["deliveries"]} == {"delivered"}


def test_the_command_line_shows_and_decides(walk: Gateway) -> None:
    walk.agencies[HOUSING].fail_next("unavailable", times=4)
    identifier = walk.submit(referral(walk.consent(consent()), HOUSING))
    walk.settled(identifier)
    [dead] = json.loads(cli(walk, "deliveries", "list", "--state", "dead", "--json").stdout)
    assert (dead["agency"], dead["code"], dead["attempts"]) == (HOUSING, "HTTP 503", 4)
    shown = json.loads(cli(walk, "deliveries", "show", dead["id"], "--json").stdout)
    assert [row["outcome"] for row in shown["attempts_made"]] == ["unavailable"] * 4
    doctor = cli(walk, "doctor", "--json")
    assert doctor.returncode == 1
    assert {"what": "dead", "ok": "LOOK"}.items() <= next(
        row for row in json.loads(doctor.stdout) if row["what"] == "dead"
    ).items()
    assert "would be" in cli(walk, "deliveries", "replay", dead["id"], "--reason", "back", "--dry-run").stdout
    assert cli(walk, "deliveries", "replay", dead["id"], "--reason", "they are back").returncode == 0
    walk.wait("it is delivered", lambda: walk.referral(identifier)["deliveries"][0]["state"] == "delivered")
    again = cli(walk, "deliveries", "replay", dead["id"], "--reason", "again")
    assert (again.returncode, again.stderr.strip()) == (
        4,
        f"gateway: {dead['id']} is delivered: there is nothing to replay",
    )
    unknown = cli(walk, "deliveries", "show", "del_00000000000000000")
    assert unknown.returncode == 3
    rows = {row["agency"]: row for row in json.loads(cli(walk, "agencies", "--json").stdout)}
    assert rows[HOUSING]["deliveries"] == "delivered:1"
