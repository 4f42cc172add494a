"""An exchange as an entry of a HAR document."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support import har
from tests.support.samples import (
    MS,
    NOW,
    connection,
    exchange,
    library,
    process,
    rendered,
    request,
    response,
    whole,
)

from tlstap.records import (
    Connection,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    Missing,
    Record,
    UnknownHeader,
)
from tlstap.schema import Endpoint
from tlstap.sinks.har.sink import SINK


def entries(*records: Record, **options: Any) -> list[dict[str, Any]]:
    """The entries of a valid document of these records."""
    return list(har.load(rendered(SINK, records, **options))["entries"])


def entry_of(it: Exchange, *before: Record, complete: bool = True) -> dict[str, Any]:
    """The only entry."""
    [entry] = entries(*before, ExchangeEnded(it, NOW + 30 * MS, complete))
    return entry


def of(asked: Message | None, answered: Message | None, **changes: Any) -> dict[str, Any]:
    """The entry of an exchange with these messages."""
    return entry_of(exchange(connection(), request=asked, response=answered, **changes))


def test_a_whole_exchange() -> None:
    it = connection(process=process(container="c0ffee"))
    asked = request(
        target="/find?q=a+b&empty=&q=%C3%A9", headers=[("Host", "example.com"), ("Accept", "*/*")]
    )
    answered = response(headers=[("Content-Type", "text/plain"), ("Location", "/next")], body_wire_bytes=6)
    [entry] = entries(*whole(it, asked, answered))
    assert entry == {
        "startedDateTime": "2026-01-01T00:00:00.123Z",
        "time": 21,
        "request": {
            "method": "GET",
            "url": "https://example.com/find?q=a+b&empty=&q=%C3%A9",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "Host", "value": "example.com"}, {"name": "Accept", "value": "*/*"}],
            "queryString": [
                {"name": "q", "value": "a b"},
                {"name": "empty", "value": ""},
                {"name": "q", "value": "é"},
            ],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 200,
            "statusText": "OK",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [
                {"name": "Content-Type", "value": "text/plain"},
                {"name": "Location", "value": "/next"},
            ],
            "content": {"size": 6, "compression": 0, "mimeType": "text/plain", "text": "hello\n"},
            "redirectURL": "/next",
            "headersSize": -1,
            "bodySize": 6,
            "_transferSize": 6,
        },
        "cache": {},
        "timings": {"blocked": -1, "dns": -1, "connect": -1, "ssl": -1, "send": 0, "wait": 20, "receive": 1},
        "serverIPAddress": "192.0.2.7",
        "connection": "443",
        "_connectionId": "3",
        "_role": "client",
        "_complete": True,
        "_process": {
            "pid": 4242,
            "comm": "curl",
            "exe": "/usr/bin/curl",
            "container": "c0ffee",
            "uid": 1000,
        },
        "_library": {"name": "openssl", "version": "3.0.15", "path": "/lib/libssl.so.3"},
        "_tls": {
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "alpn": "http/1.1",
            "sni": "example.com",
        },
        "_local": {"address": "10.0.0.2", "port": 51034},
        "_remote": {"address": "192.0.2.7", "port": 443},
    }


def test_what_is_not_known_is_not_there() -> None:
    nobody = process(comm="x", exe=None)
    it = Connection(7, nobody, library(version=None, path=None))
    entry = entry_of(exchange(it, request=request(), response=response()))
    assert {name for name in entry if name.startswith("_")} == {
        "_connectionId",
        "_complete",
        "_process",
        "_library",
        "_tls",
    }
    assert entry["connection"] == "7"
    assert "serverIPAddress" not in entry
    assert entry["_process"] == {"pid": 4242, "comm": "x", "uid": 1000}
    assert entry["_library"] == {"name": "openssl"}
    assert entry["_tls"] == {}


def test_http2() -> None:
    entry = of(
        request(headers=[("accept", "*/*")]),
        response(reason=""),
        protocol="HTTP/2",
        stream_id=5,
        pushed=True,
        reset="CANCEL",
    )
    assert entry["request"]["httpVersion"] == entry["response"]["httpVersion"] == "http/2.0"
    assert entry["request"]["url"] == "https://example.com/index.html"
    assert entry["request"]["headers"] == [{"name": "accept", "value": "*/*"}], "no pseudo-headers"
    assert entry["response"]["statusText"] == ""
    assert (entry["_streamId"], entry["_pushed"], entry["_reset"]) == (5, True, "CANCEL")
    assert entry["comment"] == "reset: CANCEL"


def test_headers_that_are_not_known() -> None:
    asked = request(unknown_headers=[UnknownHeader(1, "cookie", None), UnknownHeader(2, None, None)])
    entry = of(asked, response(unknown_headers=[UnknownHeader(0, None, "x")]))
    assert entry["request"]["_unknownHeaders"] == [{"position": 1, "name": "cookie"}, {"position": 2}]
    assert entry["response"]["_unknownHeaders"] == [{"position": 0, "value": "x"}]


def test_of_http2_not_even_method_and_path_may_be_known() -> None:
    asked = request(method=None, scheme=None, authority=None, target=None)
    entry = of(asked, response(status=None, reason=""), protocol="HTTP/2", stream_id=1)
    assert (entry["request"]["method"], entry["request"]["url"]) == ("", "https://example.com/")
    assert entry["response"]["status"] == 0


def test_trailers_and_informational_responses() -> None:
    early = response(status=103, reason="Early Hints", headers=[("Link", "</a>")], body=bytearray())
    entry = of(request(trailers=[("A", "1")]), response(trailers=[("B", "2")]), informational=[early])
    assert entry["request"]["_trailers"] == [{"name": "A", "value": "1"}]
    assert entry["response"]["_trailers"] == [{"name": "B", "value": "2"}]
    assert entry["_informational"] == [
        {"status": 103, "statusText": "Early Hints", "headers": [{"name": "Link", "value": "</a>"}]}
    ]


def test_a_request_without_response() -> None:
    it = exchange(
        connection(), request=request(end_ns=NOW + 2 * MS), missing=[Missing("response", "not seen")]
    )
    entry = entry_of(it, complete=False)
    assert entry["response"] == {
        "status": 0,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": ""},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }
    assert (entry["_complete"], entry["_missing"]) == (False, [{"part": "response", "reason": "not seen"}])
    assert entry["comment"] == "incomplete: response not seen"
    assert (entry["time"], entry["timings"]["send"], entry["timings"]["wait"]) == (2, 2, 0)


def test_a_response_without_request() -> None:
    it = exchange(connection(), response=response(), missing=[Missing("request", "lost", 300)])
    entry = entry_of(it, complete=False)
    assert entry["request"] == {
        "method": "",
        "url": "https://example.com/",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "queryString": [],
        "headersSize": -1,
        "bodySize": -1,
    }
    assert entry["comment"] == "incomplete: 300 bytes of the request lost"
    assert entry["_missing"] == [{"part": "request", "reason": "lost", "bytes": 300}]
    assert entry["startedDateTime"] == "2026-01-01T00:00:00.143Z"
    assert (entry["time"], entry["timings"]["receive"]) == (1, 1)


def test_neither() -> None:
    entry = entry_of(exchange(connection()), complete=False)
    assert entry["startedDateTime"] == "2026-01-01T00:00:00.153Z"
    assert (entry["time"], entry["comment"]) == (0, "incomplete")


def test_an_answer_before_the_request_is_over() -> None:
    asked = request(end_ns=NOW + 50 * MS)
    timings = of(asked, response())["timings"]
    assert (timings["send"], timings["wait"], timings["receive"]) == (50, 0, 1)


def test_spans_have_microseconds() -> None:
    entry = of(request(end_ns=NOW + 1_234), response(start_ns=NOW + 2_000_777, end_ns=NOW + 2_001_777))
    assert [entry["timings"][name] for name in ("send", "wait", "receive")] == [0.001, 2.0, 0.001]
    assert entry["time"] == 2.002


@pytest.mark.parametrize(
    ("time_ns", "shown"),
    [
        (1, "1970-01-01T00:00:00.000Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (NOW, "2026-01-01T00:00:00.123Z"),
        (1 << 80, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_any_time(time_ns: int, shown: str) -> None:
    assert of(request(start_ns=time_ns, end_ns=None), None)["startedDateTime"] == shown


# Bodies


def test_a_form() -> None:
    form = b"name=J%C3%BCrgen+K&x=&x=1"
    kind = "application/x-www-form-urlencoded; charset=utf-8"
    entry = of(
        request(method="POST", headers=[("content-type", kind)], body=bytearray(form), body_wire_bytes=25),
        response(),
    )
    assert entry["request"]["bodySize"] == 25
    assert entry["request"]["postData"] == {
        "mimeType": kind,
        "params": [
            {"name": "name", "value": "Jürgen K"},
            {"name": "x", "value": ""},
            {"name": "x", "value": "1"},
        ],
        "text": "name=J%C3%BCrgen+K&x=&x=1",
    }


def test_a_long_form_is_text_only() -> None:
    form = b"&".join([b"a=b"] * 20_000)
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    posted = of(request(headers=headers, body=bytearray(form)), None)["request"]["postData"]
    assert posted == {"mimeType": "application/x-www-form-urlencoded", "text": form.decode()}


def test_a_request_body_that_is_no_text() -> None:
    posted = of(request(method="PUT", body=bytearray(b"\0\xff")), None)["request"]["postData"]
    assert posted == {"mimeType": "", "text": "AP8=", "encoding": "base64"}


def test_a_response_that_is_no_text() -> None:
    image = response(headers=[("Content-Type", "image/png")], body=bytearray(b"\x89PNG\0"), body_wire_bytes=5)
    assert of(request(), image)["response"]["content"] == {
        "size": 5,
        "compression": 0,
        "mimeType": "image/png",
        "text": "iVBORwA=",
        "encoding": "base64",
    }


def test_text_of_another_charset() -> None:
    body = bytearray("Größe".encode("latin-1"))
    page = response(headers=[("Content-Type", "text/html; charset=ISO-8859-1")], body=body)
    content = of(request(), page)["response"]["content"]
    assert (content["text"], content["size"]) == ("Größe", 5)
    assert "encoding" not in content


def test_what_compression_saved() -> None:
    packed = response(headers=[("Content-Encoding", "gzip")], body=bytearray(b"a" * 1000), body_wire_bytes=29)
    answered = of(request(), packed)["response"]
    assert (answered["bodySize"], answered["_transferSize"]) == (29, 29)
    assert (answered["content"]["size"], answered["content"]["compression"]) == (1000, 971)


def test_no_body() -> None:
    answered = of(request(method="HEAD"), response(status=304, body=bytearray()))["response"]
    assert answered["bodySize"] == 0
    assert answered["content"] == {"size": 0, "compression": 0, "mimeType": "text/plain", "text": ""}


def test_bodies_are_never_cut() -> None:
    body = bytearray(b"x" * 100_000)
    it = exchange(connection(), request=request(body=body), response=response(body=body))
    [entry] = entries(ExchangeEnded(it, NOW, True), max_body=10, max_binary=10)
    assert len(entry["request"]["postData"]["text"]) == 100_000
    assert len(entry["response"]["content"]["text"]) == 100_000


def test_a_body_over_the_limit() -> None:
    cut = response(body=bytearray("grün".encode()[:3]), body_bytes=1000, body_wire_bytes=1000)
    answered = of(request(), cut, missing=[Missing("response body", "over the limit", 997)])["response"]
    assert answered["bodySize"] == 1000
    assert answered["content"] == {
        "size": 1000,
        "compression": 0,
        "mimeType": "text/plain",
        "text": "gr",
        "comment": "997 bytes more were not kept",
    }


def test_a_body_of_which_something_is_lost() -> None:
    answered = of(
        request(),
        response(body_wire_bytes=6),
        missing=[Missing("response body", "lost", 4)],
    )["response"]
    assert answered["bodySize"] == -1, "nobody knows"
    assert answered["content"] == {"size": 6, "mimeType": "text/plain", "text": "hello\n"}


# Who is who


def test_a_server() -> None:
    server = connection(role="server", local=Endpoint(address="2001:db8::1", port=8443))
    entry = entry_of(exchange(server, request=request(), response=response()))
    assert (entry["_role"], entry["serverIPAddress"], entry["connection"]) == (
        "server",
        "2001:db8::1",
        "8443",
    )


def test_the_role_is_told_by_the_requests_direction() -> None:
    unknown = connection(role=None)
    it = exchange(unknown, request=request(), response=response())
    assert "_role" not in entry_of(it)
    assert it.request is not None
    entry = entry_of(it, HeadSeen(it, it.request, "read", NOW))
    assert (entry["_role"], entry["serverIPAddress"]) == ("server", "10.0.0.2")


def test_an_address_that_is_concluded_and_has_a_zone() -> None:
    remote = Endpoint(address="fe80::1%eth0", port=443)
    entry = entry_of(exchange(connection(remote=remote, inferred=True), request=request()))
    assert (entry["serverIPAddress"], entry["_addressInferred"]) == ("fe80::1", True)


def test_names_that_are_not_utf8() -> None:
    odd = connection(process=process(comm="caf\udce9", exe="/tmp/\udcff"), library=library(path="/\ud800"))
    text = rendered(SINK, whole(odd, request(), response()))
    [entry] = har.load(text)["entries"]
    assert entry["_process"]["comm"] == "caf\\udce9"
    assert entry["_process"]["exe"] == "/tmp/\\udcff"
    assert entry["_library"]["path"] == "/\\ud800"
    text.encode()


def test_a_terminal_that_shows_the_document_is_safe() -> None:
    evil = "\x1b[2J\x9b2J\u202e\u2028\x7f"
    it = exchange(
        connection(sni=evil),
        request=request(target=f"/{evil}", headers=[("Cookie", evil)], body=bytearray(evil.encode())),
        response=response(reason=evil, headers=[("Set-Cookie", evil)], body=bytearray("\u202e".encode())),
    )
    text = rendered(SINK, [ExchangeEnded(it, NOW, True)])
    assert text.replace("\n", "").isprintable()
    [entry] = har.load(text)["entries"]
    assert entry["response"]["statusText"] == entry["_tls"]["sni"] == entry["request"]["_target"][1:] == evil
