"""What every adapter must do, as tests that say what to mend."""

import copy
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, ClassVar
from unittest.mock import patch
from xml.etree import ElementTree

import gateway_schemas
import pytest

import gateway_sdk as sdk

from .documents import changed, full_view, places

KEY, MESSAGE_KEY = "del_0000000000000000A", "del_0000000000000000B"
SUBMITTED = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
HOSTILE = [
    "O'Neil \"the <b>&amp;",
    "a\nb\tc",
    "שלום 🙂 naïve",
    "x" * 100,
    "{}[],:;|^~\\&",
    "]]><!--",
    "Robert'); DROP TABLE",
]
CANARY = "LeakCanary"
PUBLIC = {"administrative", "referrer"}
STATUSES = (
    200,
    201,
    202,
    204,
    301,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    410,
    413,
    415,
    422,
    429,
    500,
    501,
    502,
    503,
    504,
)
BODIES: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "application/json"),
    "html": (f"<html>{CANARY}</html>".encode(), "text/html"),
    "not json": (f"{{{CANARY}".encode(), "application/json"),
    "null": (b"null", "application/json"),
    "a list": (f'["{CANARY}"]'.encode(), "application/json"),
    "an empty object": (b"{}", "application/json"),
    "wrong types": (b'{"id": 7, "status": [], "entry": 3, "type": {}, "issue": "x"}', "application/json"),
    "deep": (b"[" * 20_000, "application/json"),
    "an object with other things": (f'{{"detail": "{CANARY}", "title": "{CANARY}"}}'.encode(), "application/json"),
}


def xfail(reason: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a check that your adapter cannot pass, with the reason: the only way to override one."""

    def mark(check: Callable[..., None]) -> Callable[..., None]:
        check.__dict__["_xfail_reason"] = reason
        marked: Callable[..., None] = pytest.mark.xfail(reason=reason, strict=True)(check)
        return marked

    return mark


class AdapterConformance:
    """Set ``adapter``; ``settings`` if yours needs any; ``replies`` to check the outcomes you know.

    *settings*: a mapping for ``adapter.Settings``. *replies*: ``{name: (Reply, Outcome type)}``.
    """

    adapter: ClassVar[type[sdk.Adapter]]
    settings: ClassVar[Mapping[str, Any]] = {}
    replies: ClassVar[Mapping[str, tuple[sdk.Reply, type]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in vars(cls).items():
            own = getattr(AdapterConformance, name, None)
            if name.startswith("test_") and own is not None and "_xfail_reason" not in vars(value):
                raise TypeError(
                    f"{cls.__name__} overrides {name}: wrap it in gateway_sdk.testing.xfail(reason) to say why"
                )

    # Helpers

    def make(self) -> sdk.Adapter:
        return self.adapter(self.adapter.Settings.model_validate(dict(self.settings)))

    def referral(self, view: Mapping[str, Any] | None = None, pointers: tuple[str, ...] | None = None) -> sdk.Referral:
        """*view* (every leaf filled, by default) cut down to *pointers* (all needs, by default)."""
        chosen = self.adapter.needs.pointers if pointers is None else pointers
        data = gateway_schemas.keep(full_view() if view is None else view, chosen)
        return sdk.Referral(KEY, SUBMITTED, data, self.adapter.needs)

    def sent(self) -> sdk.Sent:
        return sdk.Sent(KEY, SUBMITTED, MESSAGE_KEY, "THEIR-REF-1")

    def requests(self, referral: sdk.Referral) -> dict[str, sdk.Request]:
        """``{method: request}``: what translate makes of *referral*, and update, if it makes anything."""
        adapter = self.make()
        made: dict[str, sdk.Request | None] = {
            "translate": adapter.translate(referral), "update": adapter.update(referral, self.sent())
        }  # fmt: skip
        return {method: request for method, request in made.items() if request is not None}

    def wires(self, referral: sdk.Referral) -> dict[str, str]:
        return {method: flat(request) for method, request in self.requests(referral).items()}

    def leaves(self) -> Iterator[tuple[str, Any]]:
        yield from places(self.referral().data)

    # What it asks for

    def test_purpose_is_one_of_the_schema(self) -> None:
        known = gateway_schemas.load("referral")["$defs"]["purpose"]["enum"]
        assert self.adapter.purpose in known, f"purpose must be one of {known}: consent names it"

    def test_needs_are_places_of_the_schema(self) -> None:
        for pointer in self.adapter.needs.pointers:
            try:
                gateway_schemas.categories_under(pointer)
            except gateway_schemas.UnknownPointer:
                pytest.fail(f"need {pointer} is no place of a referral; /request is this agency's own entry")

    def test_channels_are_asked_for_whole(self) -> None:
        for pointer in self.adapter.needs.pointers:
            cut = [channel for channel in gateway_schemas.channels() if pointer.startswith(channel + "/")]
            assert not cut, f"need {pointer} cuts a channel: ask for {cut[0]}, so that its rules travel with it"

    # What it makes of a referral

    def test_it_runs_on_what_it_asked_for(self) -> None:
        for view in (full_view(), full_view("Another")):
            self.requests(self.referral(view))

    def test_it_runs_without_anything_optional(self) -> None:
        needs = self.adapter.needs
        self.requests(self.referral(pointers=needs.required))
        for missing in needs.optional:
            try:
                self.requests(self.referral(pointers=tuple(p for p in needs.pointers if p != missing)))
            except Exception as error:  # noqa: BLE001  # an adapter may raise anything
                pytest.fail(f"{missing} is optional, and it fails without it: {type(error).__name__}")

    def test_every_declared_need_matters(self) -> None:
        before = self.wires(self.referral())
        for pointer, _ in self.leaves():
            if pointer.rsplit("/", 1)[-1] in flags():
                continue
            for method, after in self.wires(self.referral(changed(full_view(), pointer))).items():
                assert after != before[method], (
                    f"{pointer} never reaches the wire by {method}: take it out of needs, or send it"
                )

    def test_safety_rules_travel_with_their_channel(self) -> None:
        before = self.wires(self.referral())
        for pointer, _ in self.leaves():
            name = pointer.rsplit("/", 1)[-1]
            if name not in flags():
                continue
            view = changed(full_view(), pointer, False)
            if gateway_schemas.keep(view, (pointer,)):  # another flag keeps the channel
                for method, after in self.wires(self.referral(view)).items():
                    assert after != before[method], f"{pointer} never reaches the wire by {method}: the rule is lost"

    def test_hostile_text_survives(self) -> None:
        for pointer, value in self.leaves():
            if isinstance(value, str) and value.startswith("Canary"):
                for text in HOSTILE:
                    for request in self.requests(self.referral(changed(full_view(), pointer, text))).values():
                        found = any(text in str(leaf) for _, leaf in places(decoded(request)))
                        assert found, f"{pointer}: text with special characters is changed"

    def test_personal_data_is_in_the_body_only(self) -> None:
        for request in self.requests(self.referral()).values():
            if isinstance(request, sdk.SoapRequest):
                continue
            outside = json.dumps([request.path, dict(request.query), dict(request.headers)], ensure_ascii=False)
            for pointer, value in self.leaves():
                category = gateway_schemas.leaves()[template(pointer)]["dataCategory"]
                if category not in PUBLIC and not isinstance(value, bool):
                    assert str(value) not in outside, (
                        f"{pointer} is in the path, the query or a header: these end up in logs"
                    )

    def test_it_only_makes_what_can_be_sent(self) -> None:
        for request in self.requests(self.referral()).values():
            if isinstance(request, sdk.RestRequest):
                json.loads(request.body() or b"null")
                assert request.path.startswith("/"), "path is relative to the base address and starts with /"
                if self.adapter.idempotent:
                    assert KEY in flat(request), "an idempotent adapter sends the delivery key"
            else:
                for place, value in places(request.message):
                    assert isinstance(value, str | int | float | date | bool), (
                        f"{place}: zeep cannot write a {type(value).__name__}"
                    )
                assert request.operation in operations(self.adapter), f"{request.operation} is no operation of the WSDL"

    def test_it_gives_the_same_twice(self) -> None:
        first = self.wires(self.referral())
        with (
            patch("time.time", lambda: 4_000_000_000.0),
            patch("uuid.uuid4", side_effect=AssertionError("uuid4: derive ids from delivery_key")),
        ):
            assert self.wires(self.referral()) == first, (
                "the same referral must give the same request: no clock, nothing random"
            )
        with ThreadPoolExecutor(8) as pool:
            assert all(made == first for made in pool.map(lambda _: self.wires(self.referral()), range(32))), (
                "it keeps state between calls"
            )

    def test_it_changes_nothing_it_was_given(self) -> None:
        referral = self.referral()
        before = copy.deepcopy(referral.data)
        self.requests(referral)
        assert referral.data == before, "it changes the referral"

    def test_it_opens_no_socket_and_no_file(self) -> None:
        adapter, referral, reply = self.make(), self.referral(), sdk.Reply(200, {}, b"{}")
        with no_input_or_output():
            adapter.translate(referral)
            adapter.ask(self.sent())
            adapter.withdraw(self.sent())
            adapter.update(referral, self.sent())
            adapter.message(sdk.Message("msg_0000000000000000A", "Words"), self.sent())
            attempt(adapter.classify, reply)
            attempt(adapter.read_update, reply)

    # What it makes of replies

    def test_every_reply_has_an_outcome(self) -> None:
        for name, reply in replies(self.adapter):
            found = attempt(self.make().classify, reply)
            kinds = (sdk.Delivered, sdk.Refused, sdk.Unavailable, sdk.Uncertain, sdk.Unreadable)
            assert isinstance(found, kinds), (
                f"classify of {name} gives {found!r}: return an Outcome, or raise Unreadable"
            )

    def test_a_success_without_sense_is_not_believed(self) -> None:
        for name, reply in replies(self.adapter):
            if reply.status in (200, 201, 202) and not reply.fault:
                found = attempt(self.make().classify, reply)
                assert not isinstance(found, sdk.Refused), f"{name}: it may have been taken; not Refused"
                assert not isinstance(found, sdk.Delivered), (
                    f"{name}: nothing in it says that it was taken; not Delivered"
                )

    def test_busy_and_closed_are_tried_again(self) -> None:
        if self.adapter.wsdl is None:
            for status in (429, 503):
                found = self.make().classify(sdk.Reply(status, {"retry-after": "7"}))
                assert isinstance(found, sdk.Unavailable), f"HTTP {status} took nothing: Unavailable"
                assert found.retry_after == 7, f"HTTP {status}: pass on retry_after=reply.retry_after"

    def test_a_gateway_timeout_is_uncertain(self) -> None:
        for status in (502, 504):
            found = attempt(self.make().classify, sdk.Reply(status))
            assert isinstance(found, sdk.Uncertain), (
                f"HTTP {status}: a proxy gave up, the agency may have it: Uncertain"
            )

    def test_codes_are_declared_and_quote_nothing(self) -> None:
        for read in (self.make().classify, self.make().read_update):
            for name, reply in replies(self.adapter):
                code = getattr(attempt(read, reply), "code", None)
                if code is not None:
                    assert re.fullmatch(r"HTTP \d{3}", code) or code in self.adapter.codes, (
                        f"{name}: code {code!r} is not in codes"
                    )
                    assert CANARY not in code, f"{name}: the code quotes the reply"

    def test_known_replies_have_their_outcome(self) -> None:
        for name, (reply, kind) in self.replies.items():
            found = attempt(self.make().classify, reply)
            assert isinstance(found, kind), f"{name}: {found!r}, not {kind.__name__}"

    # What follows a referral

    def test_ask_and_withdraw_name_the_delivery(self) -> None:
        for method in (self.make().ask, self.make().withdraw):
            request = method(self.sent())
            if request is not None:
                assert KEY in flat(request) or "THEIR-REF-1" in flat(request), (
                    f"{method.__name__} does not say which referral"
                )

    def test_an_update_is_another_message_about_the_same_referral(self) -> None:
        made = self.requests(self.referral())
        if "update" in made:
            told = flat(made["update"])
            assert KEY in told or "THEIR-REF-1" in told, "update does not say which referral"
            assert told != flat(made["translate"]), (
                "update is told as a new referral: the agency would keep both, or none"
            )

    def test_an_update_carries_everything(self) -> None:
        made = self.requests(self.referral())
        if "update" in made:
            said, now = ({str(leaf) for _, leaf in places(decoded(one))} for one in (made["translate"], made["update"]))
            told = {str(value) for _, value in self.leaves()} & said
            assert told <= now, "update leaves out what translate says: the agency would take it as withdrawn"

    def message(self, text: str = f"{CANARY} words") -> sdk.Request | None:
        said = sdk.Message("msg_0000000000000000A", text, SUBMITTED, answers="THEIR-QUESTION-1")
        return self.make().message(said, self.sent())

    def test_a_message_is_made_if_it_says_so(self) -> None:
        made = self.message() is not None
        assert made == self.adapter.takes_messages, "takes_messages says whether message() makes a request: it does not"

    def test_a_message_brings_its_words_in_the_body_only(self) -> None:
        if (request := self.message()) is None:
            return
        told = flat(request)
        assert CANARY in json.dumps(decoded(request), default=str), "message leaves out the words"
        assert KEY in told or "THEIR-REF-1" in told, "message does not say which referral"
        assert "msg_0000000000000000A" in told, "message leaves out its id: the agency could not answer it"
        assert "THEIR-QUESTION-1" in told, "message does not say what it answers"
        assert flat(self.message() or request) == told, "the same message must give the same request"
        if isinstance(request, sdk.RestRequest):
            outside = json.dumps([request.path, dict(request.query), dict(request.headers)], ensure_ascii=False)
            assert CANARY not in outside, "the words are in the path, the query or a header: these end up in logs"
        for text in HOSTILE:
            made = self.message(text)
            found = made is not None and any(text in str(leaf) for _, leaf in places(decoded(made)))
            assert found, "a message with special characters is changed"

    def test_unreadable_updates_are_not_believed(self) -> None:
        if type(self.make()).read_update is not sdk.Adapter.read_update:
            for name, reply in replies(self.adapter):
                found = attempt(self.make().read_update, reply)
                allowed = (
                    sdk.Unavailable,
                    sdk.Uncertain,
                    sdk.Unreadable,
                    LookupError,
                    TypeError,
                    ValueError,
                    StopIteration,
                    AttributeError,
                )
                assert isinstance(found, allowed), f"read_update of {name} gives {found!r}"


def attempt(read: Callable[[sdk.Reply], Any], reply: sdk.Reply) -> Any:
    """What *read* returns or raises."""
    try:
        return read(reply)
    except Exception as error:  # noqa: BLE001  # the gateway catches everything too
        return error


def flat(request: sdk.Request) -> str:
    return repr(request)


def decoded(request: sdk.Request) -> Any:
    """The content of *request* as the agency would read it."""
    return json.loads(request.body()) if isinstance(request, sdk.RestRequest) else request.message


def template(pointer: str) -> str:
    return "/".join("*" if part.isdigit() else part for part in pointer.split("/"))


def flags() -> set[str]:
    contact = gateway_schemas.view_schema()["properties"]["contact"]["properties"]
    return {flag for schema in contact.values() for flag in schema.get("safeWhen", ())} | {"safe_to_leave_voicemail"}


def operations(adapter: type[sdk.Adapter]) -> set[str]:
    assert adapter.wsdl is not None, "a SOAP adapter names its wsdl"
    root = ElementTree.fromstring(adapter.wsdl.read_bytes())  # noqa: S314  # our own package's file
    return {node.get("name", "") for node in root.iter("{http://schemas.xmlsoap.org/wsdl/}operation")}


def replies(adapter: type[sdk.Adapter]) -> Iterator[tuple[str, sdk.Reply]]:
    """Replies of every kind, each with a name."""
    for status in STATUSES:
        for name, (body, kind) in BODIES.items():
            yield f"HTTP {status} with {name}", sdk.Reply(status, {"content-type": kind}, body)
        if adapter.wsdl is not None:
            yield f"HTTP {status} with an empty message", sdk.Reply(status, {}, b"", message={})
            for code in ("Client", "Server", "Receiver", "Strange"):
                for detail in (None, "Strange", "ValidationFault", "DuplicateFault"):
                    fault = sdk.Fault(code, detail, {"text": CANARY, "code": CANARY})
                    yield f"HTTP {status} with a {code} fault", sdk.Reply(status, {}, b"", fault=fault)


@contextmanager
def no_input_or_output() -> Iterator[None]:
    """Fails what opens a socket or a file."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        pytest.fail("an adapter opens no socket and no file: the gateway does the sending")

    with (
        patch.object(socket, "socket", refuse),
        patch.object(socket, "create_connection", refuse),
        patch("builtins.open", refuse),
    ):
        yield
