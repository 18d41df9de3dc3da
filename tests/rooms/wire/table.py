"""What a hostile agency may answer, and what becomes of the delivery: {name: (how it answers, state, code)}.

Every answer is made of small pieces, so that what fills memory is ours.
"""

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple

from gateway_social_security.simulator import NS, SOAP, WSSE, WSU, element, envelope

from gateway.policy.lifecycle import State
from tests.rooms.wire.hostile import Act, always, reply

MIB = 1024 * 1024
MAX_REPLY = 200_000  # bytes, of the agencies in these tests
SHORT = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"


class Case(NamedTuple):
    act: Act
    state: State
    code: str | None


def pieces(head: bytes, part: bytes, times: int | None = None) -> Act:
    """*head*, then *part* again and again; for ever without *times*."""

    def act(stream: socket.socket, request: bytes) -> None:
        stream.sendall(head)
        parts: Iterator[bytes] = repeat(part) if times is None else repeat(part, times)
        with suppress(OSError):
            for one in parts:
                stream.sendall(one)
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)

    return act


def unsure(act: Act, code: str) -> Case:
    return Case(act, State.ASKING, code)


def answer(body: bytes, status: str = "201 Created", kind: str = "application/json", *headers: str) -> Act:
    return always(reply(body, status, kind, *headers))


def unreadable(body: bytes, kind: str = "application/json", *headers: str) -> Case:
    """Not what the contract promises: it may have it all the same."""
    return unsure(answer(body, "201 Created", kind, *headers), "unreadable")


CHUNKED = SHORT + b"Transfer-Encoding: chunked\r\n\r\n"
ID = b'{"id": "HL-1"}'
FULL = b"x" * 65536


def later(head: bytes, body: bytes) -> Act:
    """The body comes a while after the head; then the connection ends."""

    def act(stream: socket.socket, request: bytes) -> None:
        stream.sendall(head)
        time.sleep(0.05)
        stream.sendall(body)
        stream.shutdown(socket.SHUT_RDWR)

    return act


HTTP: dict[str, Case] = {
    "a body up to the end of the connection": Case(later(SHORT + b"\r\n", ID), State.DELIVERED, None),
    "an end of the connection announced": Case(
        later(SHORT + b"Connection: close\r\nContent-Length: 14\r\n\r\n", ID), State.DELIVERED, None
    ),
    "HTTP/1.0": Case(later(b"HTTP/1.0 201 Created\r\n\r\n", ID), State.DELIVERED, None),
    "an endless body": unsure(pieces(SHORT + b"\r\n", FULL), "reply_too_large"),
    "an endless body in chunks": unsure(pieces(CHUNKED, b"10000\r\n" + FULL + b"\r\n"), "reply_too_large"),
    "an endless chunk": unsure(pieces(CHUNKED + b"7fffffffffffffff\r\n", FULL), "reply_too_large"),
    "a chunk of negative size": unsure(pieces(CHUNKED + b"-1\r\n", FULL), "reply_too_large"),
    "a chunk without a size": unsure(pieces(CHUNKED + b"zz\r\n", FULL), "reply_truncated"),
    "an endless line for the size of a chunk": unsure(pieces(CHUNKED, b"0" * 4096), "connection_lost"),
    "an endless trailer": unsure(pieces(CHUNKED + b"0\r\n", b"X-A: " + b"x" * 4096 + b"\r\n"), "reply_too_large"),
    "small chunks": unsure(pieces(CHUNKED, b"4\r\nxxxx\r\n" * 1000), "reply_too_large"),
    "a length beyond all numbers": unsure(
        pieces(SHORT + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", FULL), "reply_too_large"
    ),
    "a negative length": unsure(pieces(SHORT + b"Content-Length: -5\r\n\r\n", FULL), "reply_too_large"),
    "two lengths": unsure(
        always(SHORT + b"Content-Length: 3\r\nContent-Length: 14\r\n\r\n" + ID), "connection_lost"
    ),
    "a length that promises more": unsure(pieces(SHORT + b"Content-Length: 5000\r\n\r\n", ID, 1), "reply_truncated"),
    "no end within the deadline": unsure(always(SHORT + b"Content-Length: 5000\r\n\r\n" + ID), "timeout"),
    "no answer": unsure(lambda stream, request: None, "timeout"),
    "an endless status line": unsure(pieces(b"HTTP/1.1 200 ", b"x" * 4096), "connection_lost"),
    "an endless header": unsure(pieces(SHORT + b"X-A: ", b"x" * 4096), "connection_lost"),
    "endless headers": unsure(pieces(SHORT, b"X-A: " + b"x" * 4096 + b"\r\n"), "connection_lost"),
    "a hundred headers and one": unsure(pieces(SHORT, b"X-A: b\r\n", 101), "connection_lost"),
    "endless 100 Continue": unsure(pieces(b"", b"HTTP/1.1 100 Continue\r\nX-A: " + b"x" * 4096 + b"\r\n\r\n"), "reply_too_large"),
    "HTTP/0.9": unsure(pieces(b"", ID, 1), "connection_lost"),
    "HTTP/2": unsure(pieces(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"", 1), "connection_lost"),
    "another protocol": unsure(pieces(b"SSH-2.0-OpenSSH_9.9\r\n", b"", 1), "connection_lost"),
    "binary garbage": unsure(pieces(b"", bytes(range(256)), 16), "connection_lost"),
    "a status that is none": unsure(pieces(b"HTTP/1.1 99999 What\r\n\r\n", b"", 1), "connection_lost"),
    "a header without a name": Case(
        always(SHORT + b": x\r\nContent-Length: 14\r\n\r\n" + ID), State.DELIVERED, None
    ),
    "a header with a NUL": Case(
        always(SHORT + b"X-A: \0\r\nContent-Length: 14\r\n\r\n" + ID), State.DELIVERED, None
    ),
    "gzip that was not asked for": unsure(
        answer(gzip.compress(ID), "201 Created", "application/json", "Content-Encoding: gzip"), "reply_unreadable"
    ),
    "a gzip bomb": unsure(
        answer(gzip.compress(b" " * 100 * MIB), "201 Created", "application/json", "Content-Encoding: gzip"),
        "reply_unreadable",
    ),
    "a deflate bomb in its own words": unsure(
        answer(zlib.compress(b" " * 50 * MIB), "201 Created", "application/json", "Content-Encoding: x-odd, deflate"),
        "reply_unreadable",
    ),
    "gzip that is not announced": unreadable(gzip.compress(ID)),
    **{
        f"a redirect, {status}": unsure(
            answer(b"", status, "text/plain", "Location: http://169.254.169.254/latest"), "redirected"
        )
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")
    },
    "multiple choices": unsure(answer(b"", "300 Multiple Choices"), "redirected"),
    "switching protocols": unsure(
        pieces(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", b"", 1), "HTTP 101"
    ),
    "a wait beyond all numbers": Case(
        answer(b"", "503 Busy", "text/plain", "Retry-After: " + "9" * 400), State.WAITING, "HTTP 503"
    ),
    "a wait until the end of time": Case(
        answer(b"", "429 Slow", "text/plain", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "Date: no date"),
        State.WAITING, "HTTP 429",
    ),
}  # fmt: skip

JSON: dict[str, Case] = {
    "nothing": unreadable(b""),
    "a page": unreadable(b"<html>OK</html>", "text/html"),
    "a page that says it is JSON": unreadable(b"<html>OK</html>"),
    "deep arrays": unreadable(b"[" * 90_000),
    "deep objects": unreadable(b'{"id":' * 20_000),
    "a number beyond all": unreadable(b'{"id": 1e999999}'),
    "a hundred thousand digits": unreadable(b'{"id": ' + b"9" * 100_000 + b"}"),
    "NaN": unreadable(b'{"id": "HL-1", "at": NaN}'),
    "Infinity": unreadable(b'{"id": "HL-1", "at": -Infinity}'),
    "the same name twice": unreadable(b'{"id": "HL-1", "id": "HL-2"}'),
    "an array": unreadable(b'["HL-1"]'),
    "a number for the id": unreadable(b'{"id": 1}'),
    "no id": unreadable(b'{"case": "HL-1"}'),
    "null": unreadable(b"null"),
    "an empty id": unreadable(b'{"id": ""}'),
    "a long id": unreadable(b'{"id": "' + b"H" * 10_000 + b'"}'),
    "an id of two lines": unreadable(b'{"id": "HL\\n-1"}'),
    "an id with a NUL": unreadable(b'{"id": "HL\\u0000"}'),
    "an id with half a character": unreadable(b'{"id": "HL\\ud800"}'),
    "an id that turns the text around": unreadable('{"id": "HL\u202e1"}'.encode()),
    "not UTF-8": unreadable(b'{"id": "HL-\xff"}'),
    "UTF-16": unreadable('{"id": "HL-1"}'.encode("utf-16")),
    "two documents": unreadable(ID + ID),
    "a comment": unreadable(b'{"id": "HL-1"} // yes'),
    "large": unsure(answer(b'{"id": "HL-1", "x": "' + b"x" * MAX_REPLY + b'"}'), "reply_too_large"),
    "as a problem": Case(
        answer(json.dumps({"type": ["x"] * 9}).encode(), "422 No", "application/problem+json"), State.REFUSED, "HTTP 422"
    ),
    "a byte order mark": Case(answer(b"\xef\xbb\xbf" + ID), State.DELIVERED, None),
}  # fmt: skip


def soap(body: bytes, status: str = "200 OK", kind: str = "text/xml; charset=utf-8") -> Act:
    return answer(body, status, kind)


def bad(body: bytes) -> Case:
    return unsure(soap(body), "reply_unreadable")


KEY = "del_0000000000000000A"
GOOD = element("SubmitReferralResponse", reference=KEY, caseReference="SS-1")
REST = envelope(GOOD).removeprefix(b'<?xml version="1.0"?>')
LAUGHS = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
SIGNED = (
    f'<w:Security xmlns:w="{WSSE}"><d:Signature xmlns:d="http://www.w3.org/2000/09/xmldsig#"><d:SignedInfo>'
    '<d:Reference URI="#right"/></d:SignedInfo><d:SignatureValue>AAAA</d:SignatureValue></d:Signature></w:Security>'
)


def enveloped(head: str, *bodies: str, after: str = "") -> bytes:
    inside = "".join(f"<s:Body>{content}</s:Body>" for content in bodies)
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Header>{head}</s:Header>{inside}{after}</s:Envelope>'.encode()


def wrapped(name: str) -> str:
    return f'<x:{name} xmlns:x="urn:x"><s:Body u:Id="right" xmlns:u="{WSU}">{GOOD}</s:Body></x:{name}>'


XML: dict[str, Case] = {
    "an entity": bad(b'<!DOCTYPE a [<!ENTITY e "x">]>' + REST.replace(b"SS-1", b"&e;")),
    "a file": bad(b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + REST.replace(b"SS-1", b"&e;")),
    "an address": bad(b'<!DOCTYPE a [<!ENTITY e SYSTEM "http://127.0.0.1:1/">]>' + REST.replace(b"SS-1", b"&e;")),
    "a billion laughs": bad(f'<!DOCTYPE a [<!ENTITY e0 "ha">{LAUGHS}]>'.encode() + REST.replace(b"SS-1", b"&e9;")),
    "a quadratic blow-up": bad(
        b'<!DOCTYPE a [<!ENTITY e "' + b"x" * 50_000 + b'">]>' + REST.replace(b"SS-1", b"&e;" * 20_000)
    ),
    "a parameter entity": bad(b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]>' + REST),
    "an external document type": bad(b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">' + REST),
    "a document type that says nothing": bad(b"<!DOCTYPE a>" + REST),
    "defaults by document type": bad(b'<!DOCTYPE a [<!ATTLIST x y CDATA "z">]>' + REST),
    "XInclude": bad(
        envelope('<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>')
    ),
    "XInclude inside": bad(
        REST.replace(b"SS-1", b'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>')
    ),
    "a schema from elsewhere": bad(
        REST.replace(
            b"<s:Body>",
            b'<s:Body xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="urn:x http://127.0.0.1:1/">',
        ).replace(b"caseReference", b"caseReferenc")
    ),
    "another type by xsi": bad(
        REST.replace(
            b"caseReference>SS",
            b'caseReference xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="nothing">SS',
        )
    ),
    "nil": bad(
        REST.replace(
            b"caseReference>SS-1",
            b'caseReference xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true">',
        )
    ),
    "deep": bad(envelope("<a>" * 20_000 + "</a>" * 20_000)),
    "under the depth that parsers take": bad(envelope("<a>" * 200 + "</a>" * 200)),
    "huge text": bad(REST.replace(b"SS-1", b"x" * 150_000)),
    "larger than any reply": unsure(soap(REST.replace(b"SS-1", b"x" * MAX_REPLY)), "reply_too_large"),
    "many attributes": bad(envelope("<a " + " ".join(f'a{n}=""' for n in range(18_000)) + "/>")),
    "many namespaces": bad(
        envelope("<a " + " ".join(f'xmlns:a{n}="u"' for n in range(6_000)) + ">" + "<a5999:b/>" * 9_000 + "</a>")
    ),
    "many elements": bad(envelope("<a>" + "<b/>" * 45_000 + "</a>")),
    "a long comment": Case(soap(REST.replace(b"<s:Body>", b"<!--" + b"x" * 99_000 + b"--><s:Body>")), State.DELIVERED, None),
    "an instruction": bad(REST.replace(b"<s:Body>", b'<?xml-stylesheet href="http://127.0.0.1:1/x.xsl"?><s:Body>')),
    "CDATA": Case(soap(REST.replace(b"SS-1", b"<![CDATA[SS-1]]>")), State.DELIVERED, None),
    "a wrapped signature, right body in the header": bad(enveloped(SIGNED + wrapped("Wrapper"), "<evil/>")),
    "a wrapped signature, right body behind": bad(enveloped(SIGNED, "<evil/>", after=wrapped("Wrapper"))),
    "a wrapped signature, two bodies": bad(enveloped(SIGNED, GOOD, GOOD)),
    "a body in the header only": bad(enveloped(f"<s:Body>{GOOD}</s:Body>")),
    "two contents": bad(envelope(GOOD + GOOD)),
    "no content": bad(envelope("")),
    "text for a content": bad(envelope("yes")),
    "no body": bad(f'<s:Envelope xmlns:s="{SOAP}"/>'.encode()),
    "an envelope of another namespace": bad(REST.replace(SOAP.encode(), b"urn:other")),
    "an envelope without namespace": bad(f"<Envelope><Body>{GOOD}</Body></Envelope>".encode()),
    "a content of another namespace": bad(REST.replace(NS.encode(), b"urn:other")),
    "a content without namespace": bad(envelope("<SubmitReferralResponse/>")),
    "the answer to another question": bad(envelope(element("WithdrawReferralResponse", reference=KEY, withdrawn="true"))),
    "an echo of the question": bad(envelope(element("GetReferralStatus", reference=KEY))),
    "an element missing": bad(envelope(element("SubmitReferralResponse", reference=KEY))),
    "an element too many": bad(
        envelope(element("SubmitReferralResponse", reference=KEY, caseReference="SS-1", extra="x"))
    ),
    "an element of the wrong form": bad(envelope(element("SubmitReferralResponse", reference="no key", caseReference="S"))),
    "not XML": bad(b"hello"),
    "nothing": bad(b""),
    "a page": unsure(soap(b"<html><body>OK</body></html>", "200 OK", "text/html"), "HTTP 200"),
    "a page that says it is XML": bad(b"<html><body>OK</body></html>"),
    "JSON": unsure(soap(ID, "200 OK", "application/json"), "HTTP 200"),
    "truncated": bad(REST[:-20]),
    "two documents": bad(REST + REST),
    "not UTF-8": bad(REST.replace(b"SS-1", b"\xff\xfe")),
    "an encoding that there is not": bad(b'<?xml version="1.0" encoding="x-nothing"?>' + REST),
    "UTF-7": Case(
        soap(b'<?xml version="1.0" encoding="UTF-7"?>' + REST.replace(b"<", b"+ADw-")), State.DELIVERED, None
    ),
    "another encoding than it says": bad(b'<?xml version="1.0" encoding="UTF-16"?>' + REST),
    "XML 1.1": bad(b'<?xml version="1.1"?>' + REST.replace(b"SS-1", b"&#1;")),
    "a NUL": bad(REST.replace(b"SS-1", b"&#0;")),
    "half a character": bad(REST.replace(b"SS-1", b"&#xD800;")),
    "a fault with a bomb in its text": unsure(
        soap(envelope(f"<s:Fault><faultcode>s:Server</faultcode><faultstring>{'x' * 99_000}</faultstring></s:Fault>"),
             "500 Error"), "server_fault",
    ),
    "a fault without a code": unsure(soap(envelope("<s:Fault/>"), "500 Error"), "server_fault"),
    "a fault that waits for ever": Case(
        soap(envelope(
            "<s:Fault><faultcode>s:Server</faultcode><faultstring/><detail>"
            + element("ServiceUnavailableFault", retryAfterSeconds="9" * 400) + "</detail></s:Fault>"), "500 Error"),
        State.WAITING, "service_unavailable",
    ),
    "a fault with status 200": unsure(
        soap(envelope("<s:Fault><faultcode>s:Server</faultcode><faultstring/></s:Fault>")), "server_fault"
    ),
}  # fmt: skip
