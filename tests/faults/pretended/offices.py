"""Pretended agencies, five kinds of them: what they are given, what they keep, what they say. They never lie."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import gateway_sdk as sdk

from gateway import plugins
from gateway.errors import MaybeSent, NotSent
from gateway.plugins import Agency
from gateway.settings import AgencySettings, Settings

TOKEN = "pretended"
WEATHER = ["fine", "closed", "refuses", "no connection", "request lost", "reply lost"]


class Plain(sdk.Adapter):
    """Neither honours keys nor can be asked."""

    purpose = "housing"
    needs = sdk.needs("/person/name", "/request/ask")
    callback_auth = sdk.BearerCallback()

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/referrals", {"of": referral.delivery_key, "message": referral.delivery_key})

    def withdraw(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/withdrawals", {"of": sent.delivery_key, "message": sent.message_key})

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        match reply.status:
            case 200:
                return sdk.Delivered()
            case 503:
                return sdk.Unavailable("HTTP 503")
            case _:
                return sdk.Refused("HTTP 422")

    def read_update(self, reply: sdk.Reply) -> sdk.Answer:
        if reply.status != 200:
            return sdk.Unavailable("HTTP 503")
        said = reply.json
        if said["status"] is None:
            return sdk.NotFound()
        at = datetime.fromisoformat(said["at"])
        return sdk.Update(sdk.Status(said["status"]), delivery_key=said["of"], at=at, id=said.get("id"))


class Keyed(Plain):
    """Keeps one referral for one key."""

    idempotent = True


class Asked(Plain):
    """Says what it has, and is asked for news."""

    polls = True

    def ask(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("GET", "/referrals", {"of": sent.delivery_key, "message": sent.message_key})


class Mute(Plain):
    """Has no way to take a referral back: a person tells it."""

    def withdraw(self, sent: sdk.Sent) -> None:
        return None


KINDS: Mapping[str, type[Plain]] = {"plain": Plain, "keyed": Keyed, "asked": Asked, "mute": Mute}
REFUGE = "refuge"  # has no interface: a person tells it
NAMES = [*sorted(KINDS), REFUGE]


def agency(name: str) -> Agency:
    """The gateway's side of it."""
    chosen: dict[str, Any] = {"areas": ["glasgow"], "window": 3, "breaker_least": 4, "remind_after": "1h"}
    if name == REFUGE:
        sheet = {"purpose": "housing", "needs": ["/person/name", "/request/ask"]}
        return plugins.load(Settings(agencies={name: {"adapter": "by-hand", "settings": sheet, **chosen}}))[name]
    chosen |= {"adapter": "none", "base_url": "https://a.example", "credentials": {"callback_token": TOKEN}}
    return Agency(name, KINDS[name](), AgencySettings(**chosen))


class Office:
    """The other side of an agency's interface."""

    def __init__(self, name: str) -> None:
        self.agency = agency(name)
        self.cases: dict[str, sdk.Status] = {}  # what it keeps, by delivery, and how it stands
        self.arrived: Counter[str] = Counter()  # how often it took a referral in
        self.given_back: set[str] = set()
        self.posted: list[bytes] = []  # updates it sent us, which may come late, twice, in any order

    def take(self, request: sdk.RestRequest, weather: str, at: datetime) -> sdk.Reply:
        """Act on *request*, if the *weather* lets it arrive. Raises NotSent, MaybeSent."""
        if weather == "no connection":
            raise NotSent("connect_failed")
        if weather == "request lost":
            raise MaybeSent("timeout")
        if weather == "closed":
            return sdk.Reply(503)
        of = request.json["of"]
        if request.method == "GET":
            return sdk.Reply(200, {}, self._said(of, at))
        if of in self.cases and self.agency.adapter.idempotent and request.path == "/referrals":
            return sdk.Reply(200)  # as it answered the first time
        if weather == "refuses":
            return sdk.Reply(422)
        (self.give_back if request.path == "/withdrawals" else self.take_in)(of)
        return sdk.Reply(200)

    def take_in(self, of: str) -> None:
        assert of not in self.given_back, "a referral follows its own withdrawal"
        self.arrived[of] += 1
        self.cases[of] = sdk.Status.SENT

    def give_back(self, of: str) -> None:
        self.cases.pop(of, None)
        self.given_back.add(of)

    def open_cases(self) -> list[str]:
        return [of for of, status in self.cases.items() if status is not sdk.Status.COMPLETED]

    def works_on(self, of: str, status: sdk.Status, at: datetime) -> None:
        """A case goes on, and we are told so."""
        self.cases[of] = status
        self.posted.append(self._said(of, at, id=f"{self.agency.name} {len(self.posted)}"))

    def _said(self, of: str, at: datetime, **more: str) -> bytes:
        return json.dumps({"of": of, "status": self.cases.get(of), "at": at.isoformat(), **more}).encode()
