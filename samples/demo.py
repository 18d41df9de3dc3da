"""``make demo``: the gateway, three kinds of agencies, and every sample referral on its way.

Everything is real but the people and the agencies: a private PostgreSQL, the web and delivery
processes, and simulators that speak REST, SOAP and FHIR on loopback. The samples go in through the
public HTTP interface, as a hub's would, and what became of each is checked against what its file says.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml
from gateway_client import Client, Problem
from gateway_client.answers import Accepted, Delivery, Referral, Sheet
from gateway_housing import simulator as housing
from gateway_nhs import simulator as nhs
from gateway_social_security import simulator as social_security
from rich.console import Console
from rich.table import Table

from gateway import embedded, logs, settings, vault
from gateway.embedded.default import default_folder
from gateway.errors import GatewayError
from gateway.policy import hsds
from gateway.policy.places import Phase
from gateway.store import callers, directory
from gateway.store.session import Store

from . import conversation
from .load import Sample, load

SITES = {
    "housing": {
        "edinburgh-housing": ["edinburgh-and-borders"],
        "highland-housing": ["highland"],
        "perth-and-kinross-housing": ["perth-and-kinross"],
        "aberdeen-housing": ["aberdeen"],
        "dundee-housing": ["dundee"],
        "glasgow-housing": ["glasgow"],
        "ayrshire-housing": ["ayrshire"],
    },
    "social_security": {"social-security": list(settings.AREAS)},
    "nhs": {
        "edinburgh-health": ["edinburgh-and-borders"],
        "highland-health": ["highland"],
        "tayside-health": ["perth-and-kinross", "dundee"],
        "grampian-health": ["aberdeen"],
        "glasgow-health": ["glasgow"],
        "ayrshire-health": ["ayrshire"],
    },
}
ALWAYS = {"mon-sun": "00:00-24:00"}  # whatever the directory says: a demo is given in the evening, too
BY_HAND = {"glasgow-refuge": ["glasgow"]}  # reached by phone
FAULTS = [  # what goes wrong on the way, so that the table shows more than fair weather
    ("housing", "edinburgh-housing", "unavailable", 2),
    ("housing", "glasgow-housing", "drop", 1),
    ("housing", "dundee-housing", "timeout", 1),
    ("social_security", "social-security", "unavailable", 2),
    ("social_security", "social-security", "drop", 1),
    ("nhs", "glasgow-health", "truncate", 1),
    ("nhs", "highland-health", "busy", 1),
]
DIRECTORY = Path(__file__).parent / "directory.json"
SETTLED = {"delivered", "refused", "dead", "withdrawn"}
PATIENCE = 90  # seconds for everything to settle

console = Console()


@dataclass
class Run:
    """One sample on its way. *answer*: to the submission."""

    sample: Sample
    answer: Accepted | Problem
    referral: Referral | None = None
    sheets: dict[str, Sheet] = field(default_factory=dict)  # what a person read out, by delivery
    asked: bool = False  # the agency has asked what it asks in its conversation
    wrong: list[str] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Nothing of it is under way, and what there was to say has been said."""
        if self.referral is None:
            return False
        sent = self.referral["deliveries"]
        said = self.sample.conversation is None or any(delivery["kind"] == "message" for delivery in sent)
        return said and all(delivery["state"] in SETTLED for delivery in sent)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description="Run the sample referrals through the gateway.")
    parser.add_argument(
        "--once", action="store_true", help="end when everything has settled; exit code 0 if all is as expected"
    )
    parser.add_argument("--port", type=int, default=8025, help="the gateway's port; 0 picks a free one")
    options = parser.parse_args()
    logs.configure("ERROR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(demo(options.port or free_port(), once=options.once))
    except GatewayError as error:
        print(f"make demo: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def demo(port: int, *, once: bool) -> int:
    base = f"http://127.0.0.1:{port}"
    folder = Path(os.environ.get("GATEWAY_DATA_FOLDER") or default_folder().with_name(default_folder().name + "-demo"))
    with simulators(base) as agencies:
        loaded = configure(folder, agencies, port)
        with embedded.running(loaded) as (ready, supervisor, password):
            hubs = {name: Client(base, key) for name, key in set_up(ready).items()}
            earlier = sum(1 for _ in hubs["glasgow-hub"].deliveries())
            if earlier:
                console.print(f"Found the data of an earlier start: {earlier} deliveries of glasgow-hub among them.")
            for kind, site, name, times in FAULTS:
                fault = {"name": name, "times": times, "site": site}
                requests.post(f"{agencies[kind]}/_simulator/faults", json=fault, timeout=5).raise_for_status()
            console.print(f"The gateway runs on {base} (delivery process {supervisor.pid('delivery')}).")
            runs = [submit(hubs[sample.hub], sample) for sample in load(datetime.now(UTC))]
            settle(hubs, runs, agencies)
            held = {
                kind: requests.get(f"{address}/_simulator/cases", timeout=5).json()
                for kind, address in agencies.items()
            }
            cases = [case for found in held.values() for case in found]
            for run in runs:
                check(run, cases)
            good = report(runs)
            if not once:
                stay(base, password, loaded)
            return 0 if good else 1


@contextlib.contextmanager
def simulators(base: str) -> Iterator[dict[str, str]]:
    """One simulator process for each adapter. Yields their addresses."""
    modules = {"housing": housing, "social_security": social_security, "nhs": nhs}
    processes: list[subprocess.Popen[str]] = []
    addresses: dict[str, str] = {}
    try:
        for kind, module in modules.items():
            sites = [word for site in SITES[kind] for word in ("--site", site)]
            command = [sys.executable, "-m", module.__name__, *sites, "--callback-base", base, "--auto", "accepted"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            processes.append(process)
            assert process.stdout is not None
            addresses[kind] = process.stdout.readline().split(" on ")[1].split(",")[0]
        yield addresses
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
            if process.stdout:
                process.stdout.close()


def configure(folder: Path, agencies: dict[str, str], port: int) -> settings.Settings:
    """The settings file of the demo, for the gateway's processes to read too."""
    configured: dict[str, Any] = {
        site: {
            "adapter": kind, "base_url": f"{agencies[kind]}/{site}", "areas": areas, "credentials": credentials(kind, site),
            "deadline": "3s", "hours": ALWAYS,
        }
        for kind, sites in SITES.items()
        for site, areas in sites.items()
    }  # fmt: skip
    for site, areas in BY_HAND.items():
        configured[site] = {"adapter": "by-hand", "areas": areas, "hours": ALWAYS, "settings": {"purpose": "housing"}}
    document = {
        "agencies": configured, "retry": ["0.5s", "1s", "2s", "4s", "8s", "15s"], "retry_least": "0.5s",
        "ask": ["0.5s", "1s", "2s", "4s"], "poll": ["1s", "2s", "1h"], "lease": "10s", "log_level": "ERROR",
        "webhooks": {"allow_private": True, "deadline": "5s"}, "people": {"second_factor": False},
        "data_folder": str(folder), "port": port,
    }  # fmt: skip
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "demo.yaml"
    path.write_text("# Written by make demo at every start.\n" + yaml.safe_dump(document))
    os.environ["GATEWAY_CONFIG"] = str(path)
    return settings.load()


def credentials(kind: str, site: str) -> dict[str, str]:
    """Of the agency *site*: what it proves itself with is its own."""
    match kind:
        case "housing":
            return {
                "client_id": housing.DEMO_CLIENT_ID, "client_secret": housing.DEMO_CLIENT_SECRET,
                "callback_secret": housing.demo_callback_secret(site),
            }  # fmt: skip
        case "nhs":
            return {"api_key": nhs.DEMO_API_KEY, "callback_token": nhs.demo_callback_token(site)}
        case _:
            return {"username": social_security.DEMO_USERNAME, "password": social_security.DEMO_PASSWORD}


def set_up(ready: settings.Settings) -> dict[str, str]:
    """The directory of the samples, every area switched on; an API key for each hub, new at every start."""
    wanted = hsds.read(json.loads(DIRECTORY.read_text("utf-8")))
    store = Store(ready.database, vault.of(ready), 2).open()
    with contextlib.closing(store), store.begin() as tx:
        found = directory.changes(directory.lock(tx), wanted.services, sorted(wanted.agencies))
        directory.apply(tx, found, by="demo")
        for area in settings.AREAS:
            directory.switch(tx, area, Phase.PILOT, by="demo", reason="the demo")
        return {f"{area}-hub": callers.add_hub(tx, f"{area}-hub", by="demo") for area in settings.AREAS}


def submit(hub: Client, sample: Sample) -> Run:
    """What a hub does: record her consent, submit the referral."""
    agreed = hub.record_consent(sample.consent)
    if sample.withdraw:
        hub.withdraw(agreed["id"])
    try:
        return Run(sample, hub.submit({**sample.referral, "consent": agreed["id"]}))
    except Problem as refused:
        return Run(sample, refused)


def settle(hubs: dict[str, Client], runs: list[Run], agencies: dict[str, str]) -> None:
    """Read every accepted referral, and do what people do about it, until it has settled."""
    until = time.monotonic() + PATIENCE
    waiting = [(run, run.answer["id"]) for run in runs if not isinstance(run.answer, Problem)]
    with console.status("Waiting until everything has settled ...") as status:
        while waiting and time.monotonic() < until:
            for run, identifier in list(waiting):
                hub = hubs[run.sample.hub]
                run.referral = hub.referral(identifier)
                give_by_hand(hub, run, run.referral)
                if words := run.sample.conversation:
                    played_by = agencies[kind_of(words["agency"])]
                    run.asked = conversation.go_on(hub, run.referral, words, played_by, asked=run.asked)
                if run.is_settled:
                    waiting.remove((run, identifier))
            status.update(f"Waiting until everything has settled: {len(waiting)} referrals under way ...")
            time.sleep(0.2)


def kind_of(agency: str) -> str:
    """The simulator that plays *agency*."""
    return next(kind for kind, sites in SITES.items() if agency in sites)


def give_by_hand(hub: Client, run: Run, referral: Referral) -> None:
    """What a hub worker does about an agency that is reached by phone: read the sheet out, and note to whom."""
    for delivery in referral["deliveries"]:
        identifier = delivery["id"]
        if delivery["state"] == "task" and identifier not in run.sheets:
            run.sheets[identifier] = hub.sheet(identifier)
            hub.given(identifier, datetime.now(UTC), "Duty worker", reference=f"R-{identifier[-4:]}")


def check(run: Run, cases: list[dict[str, Any]]) -> None:
    """Compare what happened with what the sample's file says, at the hub and at the agencies."""
    expect, answer = run.sample.expect, run.answer
    status = answer.status if isinstance(answer, Problem) else 202
    if status != expect["answer"]:
        run.wrong.append(f"answered {status}")
    elif isinstance(answer, Problem):
        _check_refusal(run, expect, answer)
    elif run.referral:
        for delivery in run.referral["deliveries"]:
            _check_delivery(run, delivery, cases)


def _check_refusal(run: Run, expect: dict[str, Any], answer: Problem) -> None:
    if answer.type != expect["problem"]:
        run.wrong.append(f"refused as {answer.type}")
    told = [entry["pointer"] for entry in answer.errors] if "pointers" in expect else answer.missing
    for wanted in expect.get("pointers", expect.get("missing")):
        known = wanted in told if isinstance(wanted, str) else any(wanted.items() <= entry.items() for entry in told)
        if not known:
            run.wrong.append(f"did not tell {wanted}")


def _check_delivery(run: Run, delivery: Delivery, cases: list[dict[str, Any]]) -> None:
    if delivery["kind"] == "message":  # the agency's case has the words, and is looked at with the referral
        run.wrong += [] if delivery["state"] == "delivered" else [f"the message is {delivery['state']}"]
        return
    agency, wanted = delivery["agency"], run.sample.expect["deliveries"][delivery["agency"]]
    for name, value in wanted.items():
        if delivery.get(name) != value:
            run.wrong.append(f"{agency}: {name} is {delivery.get(name)}")
    there = [case for case in cases if case["key"] == delivery["id"]]
    sheet = run.sheets.get(delivery["id"])
    there += [{"document": sheet}] if sheet else []
    if len(there) != (1 if wanted["state"] == "delivered" else 0):
        run.wrong.append(f"{agency} holds it {len(there)} times")
    words = run.sample.conversation
    if there and words and words["agency"] == agency and (wrong := conversation.wrong(words, there[0])):
        run.wrong.append(wrong)
    text = json.dumps([case["document"] for case in there], ensure_ascii=False)
    for pointer in run.sample.expect["absent"].get(agency, []):
        if any(value in text for value in texts(run.sample.referral, pointer)):
            run.wrong.append(f"{agency} got {pointer}")


def texts(document: Any, pointer: str) -> list[str]:
    """The texts at or below *pointer*."""
    for part in pointer.strip("/").split("/"):
        document = document[part]
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts({"": value}, "/")]
    if isinstance(document, list):
        return [text for value in document for text in texts({"": value}, "/")]
    return [document] if isinstance(document, str) else []


def report(runs: list[Run]) -> bool:
    """The table. Returns whether everything was as expected."""
    table = Table(title="What became of every sample", title_justify="left")
    for column in ("sample", "referral", "agency", "what happened", "took", "agency's reference", ""):
        table.add_column(column, justify="right" if column == "took" else "left", overflow="fold")
    for run in runs:
        mark = f"[red]{'; '.join(run.wrong)}[/red]" if run.wrong else "as expected"
        if isinstance(run.answer, Problem):
            table.add_row(run.sample.name, "–", "–", f"refused: {run.answer.detail}", "", "", mark)
        elif run.referral:
            for delivery in run.referral["deliveries"]:
                words = told(run.referral, delivery)
                table.add_row(run.sample.name, run.referral["id"], delivery["agency"], *words, mark)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    wrong = sum(bool(run.wrong) for run in runs)
    accepted = [run.referral for run in runs if run.referral]
    sent = sum(len(referral["deliveries"]) for referral in accepted)
    console.print(
        f"{len(runs)} samples: {len(accepted)} accepted, {len(runs) - len(accepted)} refused; {sent} deliveries; ",
        end="",
    )
    console.print("[red]" + f"{wrong} not as expected[/red]" if wrong else "all as expected")
    return not wrong


def told(referral: Referral, delivery: Delivery) -> tuple[str, str, str]:
    """What happened, how long it took, the agency's reference."""
    ends = [e for e in referral["timeline"] if e.get("delivery") == delivery["id"] and e.get("state") in SETTLED]
    started = datetime.fromisoformat(delivery["created_at"])
    took = f"{(datetime.fromisoformat(ends[0]['at']) - started).total_seconds():.2f} s" if ends else ""
    what = "the answer to its question " if delivery["kind"] == "message" else ""
    words = f"{what}{delivery['state']} in {delivery['attempts']} attempt{'s' if delivery['attempts'] != 1 else ''}"
    if "given" in delivery:
        words = f"{delivery['state']} by hand"
    if delivery["state"] == "delivered":
        words += f", {delivery['status']}"
    elif "meaning" in delivery:
        words += f": {delivery['meaning']}"
    return words, took, delivery.get("reference", "")


def stay(base: str, password: str | None, loaded: settings.Settings) -> None:
    console.print(f"\nStatus page: {base}/console", highlight=False)
    if password:
        console.print(f"Log in as admin with this password, shown only now: {password}", highlight=False, markup=False)
    else:
        command = f"GATEWAY_CONFIG={loaded.data_folder}/demo.yaml .venv/bin/gateway people reset admin"
        console.print(
            f"Log in as admin with the password of the first start; for a new one: {command}", highlight=False
        )
    console.print("Stop with Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
