"""An agency that has neither keys nor answers, and its adapter: what it gets twice, it has twice."""

import json
from typing import Any
from uuid import uuid4

import gateway_sdk as sdk
from gateway_sdk.simulator import Incoming, Response, Simulator


class Plain(sdk.Adapter):
    """It takes a referral and a withdrawal, and that is all that can be said to it."""

    purpose = "housing"
    needs = sdk.needs("/person/name", "/request/ask")

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        document = {"key": referral.delivery_key, "ask": referral["/request/ask"]}
        return sdk.RestRequest("POST", "/referrals", json=document)

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        match reply.status:
            case 204:
                return sdk.Delivered()
            case 429 | 503:
                return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
            case 400:
                return sdk.Refused("HTTP 400")
            case _:
                return sdk.Uncertain(f"HTTP {reply.status}")

    def withdraw(self, sent: sdk.Sent) -> sdk.RestRequest:
        return sdk.RestRequest("POST", "/withdrawals", json={"key": sent.delivery_key})


@sdk.hookimpl
def register_adapters(register: Any) -> None:
    register(Plain)


class PlainSimulator(Simulator):
    """Opens a case for everything it is given, the same thing twice included."""

    name = "plain"

    def answer(self, request: Incoming) -> Response:
        try:
            document = json.loads(request.body)
        except ValueError:
            return Response(400)
        if request.path == "/referrals":
            self.take(request.site, uuid4().hex, "", document)
        return Response(204)
