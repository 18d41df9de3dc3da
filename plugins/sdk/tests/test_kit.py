"""The kit itself, against a good adapter and deliberately bad ones: each fails exactly its own checks."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import gateway_sdk as sdk
import pytest
from _pytest.outcomes import Failed
from gateway_sdk.testing import AdapterConformance, xfail


class Good(sdk.Adapter):
    purpose = "housing"
    needs = sdk.needs("/person/name", "/request/ask", optional=["/contact/phone", "/household/children/*/birth_date"])
    codes = {"full": "they have no room"}
    idempotent = True

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        body = {
            "key": referral.delivery_key,
            "name": referral["/person/name"],
            "ask": referral["/request/ask"],
            "phone": referral.get("/contact/phone"),
            "children": referral.get("/household/children"),
        }
        return sdk.RestRequest("POST", "/referrals", json=body, idempotency_key=referral.delivery_key)

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        match reply.status:
            case 200 | 201 if isinstance(reply.json, dict) and isinstance(reply.json.get("id"), str):
                return sdk.Delivered(reply.json["id"])
            case 200 | 201:
                raise sdk.Unreadable("no id")
            case 429 | 503:
                return sdk.Unavailable(f"HTTP {reply.status}", retry_after=reply.retry_after)
            case 409:
                return sdk.Refused("full")
            case status if 400 <= status < 500:
                return sdk.Refused(f"HTTP {status}")
            case _:
                return sdk.Uncertain(f"HTTP {reply.status}")


def failures(adapter: type[sdk.Adapter]) -> set[str]:
    """The names of the checks that *adapter* fails."""
    suite = type("Suite", (AdapterConformance,), {"adapter": adapter})()
    failed = set()
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except (AssertionError, Failed, Exception):  # noqa: BLE001  # a check may fail by any error
                failed.add(name.removeprefix("test_"))
    return failed


def bad(**changes: Any) -> type[sdk.Adapter]:
    return type("Bad", (Good,), changes)


def translating(change: Callable[[dict[str, Any], sdk.Referral], Any], **request: Any) -> Any:
    def translate(self: sdk.Adapter, referral: sdk.Referral) -> sdk.RestRequest:
        plain = Good.translate(self, referral)  # type: ignore[arg-type]
        body = dict(plain.json)
        extra = change(body, referral) or {}
        return sdk.RestRequest(
            **{
                "method": "POST",
                "path": "/r",
                "json": body,
                "idempotency_key": plain.idempotency_key,
                **request,
                **extra,
            }
        )

    return translate


def classifying(statuses: set[int], outcome: Callable[[sdk.Reply], Any]) -> Any:
    def classify(self: sdk.Adapter, reply: sdk.Reply) -> Any:
        return outcome(reply) if reply.status in statuses else Good.classify(self, reply)  # type: ignore[arg-type]

    return classify


def without(*names: str) -> Any:
    return translating(lambda body, referral: [body.pop(name) for name in names] and None)


def without_rules(phone: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in phone.items() if not isinstance(value, bool)}


def updating(request: sdk.RestRequest, *leaving_out: str) -> sdk.RestRequest:
    body = {name: value for name, value in request.json.items() if name not in leaving_out}
    return sdk.RestRequest("PUT", f"/referrals/{body['key']}", json=body)


def test_a_good_adapter_passes() -> None:
    assert failures(Good) == set()
    assert failures(bad(update=lambda self, referral, sent: updating(self.translate(referral)))) == set()


BAD: dict[str, tuple[type[sdk.Adapter], set[str]]] = {
    "a purpose nobody knows": (bad(purpose="gossip"), {"purpose_is_one_of_the_schema"}),
    "a number without its rules": (
        bad(
            needs=sdk.needs(
                "/person/name", "/request/ask", optional=["/contact/phone/number", "/household/children/*/birth_date"]
            )
        ),
        {"channels_are_asked_for_whole"},
    ),
    "asks for what it does not use": (without("children"), {"every_declared_need_matters"}),
    "drops a safety rule": (
        translating(lambda body, referral: body["phone"] and body.update(phone=without_rules(body["phone"]))),
        {"safety_rules_travel_with_their_channel"},
    ),
    "needs what is optional": (
        translating(lambda body, referral: body.update(phone=referral["/contact/phone"])),
        {"it_runs_without_anything_optional"},
    ),
    "changes special characters": (
        translating(lambda body, referral: body.update(ask=body["ask"].replace('"', "'"))),
        {"hostile_text_survives"},
    ),
    "puts her name into the address": (
        translating(lambda body, referral: {"query": {"name": referral["/person/name/family"]}}),
        {"personal_data_is_in_the_body_only"},
    ),
    "forgets the delivery key": (
        translating(lambda body, referral: body.pop("key") and {"idempotency_key": None}),
        {"it_only_makes_what_can_be_sent"},
    ),
    "reads the clock": (
        translating(lambda body, referral: body.update(at=time.time())),
        {"it_gives_the_same_twice"},
    ),
    "draws a random id": (
        translating(lambda body, referral: body.update(id=str(uuid.uuid4()))),
        {"it_gives_the_same_twice"},
    ),
    "changes what it was given": (
        translating(lambda body, referral: referral.data.update(seen=True)),  # type: ignore[attr-defined]
        {"it_changes_nothing_it_was_given"},
    ),
    "opens a file": (translating(lambda body, referral: open("/dev/null").close()), {"it_opens_no_socket_and_no_file"}),
    "has no word for a status": (
        bad(classify=classifying({418, 410}, lambda reply: None)),
        {"every_reply_has_an_outcome"},
    ),
    "believes every 200": (
        bad(classify=classifying({200}, lambda reply: sdk.Delivered())),
        {"a_success_without_sense_is_not_believed"},
    ),
    "gives up on a busy agency": (
        bad(classify=classifying({429}, lambda reply: sdk.Refused("HTTP 429"))),
        {"busy_and_closed_are_tried_again"},
    ),
    "sends again after a gateway timeout": (
        bad(classify=classifying({504}, lambda reply: sdk.Unavailable("HTTP 504"))),
        {"a_gateway_timeout_is_uncertain"},
    ),
    "quotes the reply": (
        bad(classify=classifying({422}, lambda reply: sdk.Refused(reply.body.decode()[:40]))),
        {"codes_are_declared_and_quote_nothing"},
    ),
    "asks about nobody": (
        bad(ask=lambda self, sent: sdk.RestRequest("GET", "/referrals")),
        {"ask_and_withdraw_name_the_delivery"},
    ),
    "tells an update as a new referral": (
        bad(update=lambda self, referral, sent: self.translate(referral)),
        {"an_update_is_another_message_about_the_same_referral"},
    ),
    "leaves her children out of an update": (
        bad(update=lambda self, referral, sent: updating(self.translate(referral), "children")),
        {"every_declared_need_matters", "an_update_carries_everything"},
    ),
    "takes messages that it has no way to tell": (bad(takes_messages=True), {"a_message_is_made_if_it_says_so"}),
    "puts a message into the address": (
        bad(
            takes_messages=True,
            message=lambda self, message, sent: sdk.RestRequest(
                "POST",
                f"/{sent.delivery_key}",
                json={"id": message.id, "text": message.text, "answers": message.answers},
                query={"text": message.text},
            ),
        ),
        {"a_message_brings_its_words_in_the_body_only"},
    ),
    "believes any update": (
        bad(read_update=lambda self, reply: sdk.Update(sdk.Status.COMPLETED)),
        {"unreadable_updates_are_not_believed"},
    ),
}
BAD = {
    name: (bad(translate=made) if not isinstance(made, type) else made, failing)
    for name, (made, failing) in BAD.items()
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_adapter_fails_its_own_check(name: str) -> None:
    adapter, expected = BAD[name]
    found = failures(adapter)
    assert found == expected


def test_a_need_outside_the_schema_is_named() -> None:
    assert "needs_are_places_of_the_schema" in failures(
        bad(needs=sdk.needs("/person/name", "/request/ask", "/person/shoe_size"))
    )


def test_reading_what_was_not_declared_fails() -> None:
    assert "it_runs_on_what_it_asked_for" in failures(
        bad(translate=translating(lambda body, referral: referral["/health/needs"]))
    )


def test_a_check_cannot_be_overridden_in_silence() -> None:
    def test_every_declared_need_matters(self: AdapterConformance) -> None: ...

    mine = {"adapter": Good, "test_every_declared_need_matters": test_every_declared_need_matters}
    with pytest.raises(TypeError, match="xfail"):
        type("Suite", (AdapterConformance,), mine)
    excused = xfail("the agency has no field for it")(test_every_declared_need_matters)
    type("Suite", (AdapterConformance,), {**mine, "test_every_declared_need_matters": excused})


def test_known_replies_are_checked() -> None:
    replies = {"created": (sdk.Reply(201, {}, b'{"id": "1"}'), sdk.Refused)}
    suite = type("Suite", (AdapterConformance,), {"adapter": Good, "replies": replies})()
    with pytest.raises(AssertionError, match="created"):
        suite.test_known_replies_have_their_outcome()
