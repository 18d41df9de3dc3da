"""What an agency of the demo asks about a sample, and what its hub answers."""

from typing import Any

import requests
from gateway_client import Client
from gateway_client.answers import Referral


def go_on(hub: Client, referral: Referral, wanted: dict[str, str], simulator: str, *, asked: bool) -> bool:
    """One step: the agency, which *simulator* plays, asks; the hub reads it, and answers. *wanted*: of the sample.

    *asked*: whether it has asked before. Returns whether it has asked by now.
    """
    [about] = [d for d in referral["deliveries"] if (d["agency"], d["kind"]) == (wanted["agency"], "referral")]
    if not asked:
        if about["state"] == "delivered" and "reference" in about:
            question = {"site": wanted["agency"], "reference": about["reference"], "text": wanted["asks"]}
            requests.post(f"{simulator}/_simulator/ask", json=question, timeout=5).raise_for_status()
            return True
        return False
    said = hub.messages(referral["id"])
    for question in [one for one in said if one["sender"] == "agency"]:
        if all(one.get("answers") != question["id"] for one in said):
            hub.say(referral["id"], wanted["agency"], wanted["answer"], answers=question["id"])
    return True


def wrong(wanted: dict[str, str], case: dict[str, Any]) -> str | None:
    """What is not as it should be in what the agency keeps of it, if anything."""
    said = [(one["sender"], one["text"], one["answers"]) for one in case["messages"]]
    question = next((one["id"] for one in case["messages"]), None)
    if said == [("agency", wanted["asks"], None), ("hub", wanted["answer"], question)]:
        return None
    return f"{wanted['agency']} has another conversation"
