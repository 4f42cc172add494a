"""Whatever an exchange consists of, its HAR is valid, and nothing that came is lost on the way."""

from __future__ import annotations

import base64
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import har
from tests.support.samples import rendered

from tlstap import schema
from tlstap.records import (
    Closed,
    Connection,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    Missing,
    ProtocolMessage,
    Record,
    UnknownHeader,
)
from tlstap.sinks.har.sink import SINK

any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["", "\0", "\ud800", "\u2028", "<"]
)
maybe_text = st.none() | any_text
times = st.integers(-(2**64), 2**64) | st.integers(10**18, 10**18 + 10**9)
sizes = st.integers(0, 2**64)
names = any_text | st.sampled_from(
    ["Cookie", "set-cookie", "Content-Type", "Location", "Upgrade", "Content-Encoding", "Host"]
)
values = any_text | st.sampled_from(
    [
        "a=b; c; =; Max-Age=9; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        "application/x-www-form-urlencoded",
        "text/html; charset=utf-16",
        "text/plain; charset=utf-7",
        "websocket",
    ]
)
headers = st.lists(st.tuples(names, values), max_size=6)
endpoints = st.none() | st.builds(
    schema.Endpoint, address=st.ip_addresses().map(str) | any_text, port=st.integers()
)
processes = st.builds(
    schema.Process,
    pid=st.integers(),
    tid=st.integers(),
    uid=st.integers(),
    comm=any_text,
    exe=maybe_text,
    container=maybe_text,
)
connections = st.builds(
    Connection,
    id=st.integers(0, 3),
    process=processes,
    library=st.builds(
        schema.LibraryInfo, name=any_text, version=maybe_text, path=maybe_text, build_id=maybe_text
    ),
    local=endpoints,
    remote=endpoints,
    inferred=st.booleans(),
    role=st.sampled_from(["client", "server", None]),
    sni=maybe_text,
    alpn=maybe_text,
    tls_version=maybe_text,
    cipher=maybe_text,
)
bodies = st.binary(max_size=200) | st.sampled_from(
    [b"a=b&c=%ff&&=", "ü".encode()[:1], b"\xff\xfe\0\xd8", b"+2AA-", b"\x1b[2J"]
)


def message(*, is_request: bool) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        is_request=st.just(is_request),
        method=maybe_text | st.sampled_from(["GET", "CONNECT"]),
        scheme=maybe_text | st.sampled_from(["https", "http"]),
        authority=maybe_text | st.sampled_from(["[::1]:443", "a:b@c:1", "[", ":"]),
        target=maybe_text | st.sampled_from(["/?a=b&c", "*", "http://[x/", "/%", "//"]),
        status=st.none() | st.integers() | st.sampled_from([101, 200]),
        reason=any_text,
        protocol=maybe_text | st.sampled_from(["websocket"]),
        headers=headers,
        unknown_headers=st.lists(st.builds(UnknownHeader, st.integers(), maybe_text, maybe_text), max_size=2),
        body=bodies.map(bytearray),
        body_bytes=sizes,
        body_wire_bytes=sizes,
        trailers=headers,
        start_ns=times,
        end_ns=st.none() | times,
    )


missing = st.lists(
    st.builds(
        Missing,
        st.sampled_from(["request", "request body", "response", "response headers", "response body"]),
        st.sampled_from(["lost", "not seen", "unfinished", "over the limit", "not decodable"]),
        st.none() | sizes,
    ),
    max_size=3,
)
exchanges = st.builds(
    Exchange,
    connection=connections,
    process=processes,
    protocol=any_text | st.sampled_from(["HTTP/1.1", "HTTP/2"]),
    stream_id=st.none() | st.integers(),
    request=st.none() | message(is_request=True),
    response=st.none() | message(is_request=False),
    informational=st.lists(message(is_request=False), max_size=2),
    missing=missing,
    pushed=st.booleans(),
    reset=maybe_text,
    body_format=maybe_text | st.sampled_from(["sse", "grpc"]),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def said(draw: st.DrawFn, of: Exchange) -> ProtocolMessage:
    payload = draw(bodies)
    return ProtocolMessage(
        of.connection,
        of.process,
        draw(times),
        draw(st.sampled_from(["read", "write"])),
        draw(any_text | st.sampled_from(["websocket", "sse", "grpc"])),
        draw(any_text | st.sampled_from(["text", "binary"])),
        payload,
        len(payload) + draw(st.integers(0, 5)),
        draw(st.dictionaries(any_text, json_values, max_size=3)),
        draw(missing),
        of.stream_id,
        draw(st.sampled_from([of, None])),
    )


@st.composite
def traces(draw: st.DrawFn) -> list[Record]:
    """Exchanges, with what goes on in them before and after they ended."""
    records: list[Record] = []
    for it in draw(st.lists(exchanges, min_size=1, max_size=3)):
        if it.request is not None and draw(st.booleans()):
            records.append(HeadSeen(it, it.request, draw(st.sampled_from(["read", "write"])), 0))
        records += draw(st.lists(said(it), max_size=3))
        if draw(st.booleans()):
            records.append(ExchangeEnded(it, draw(times), draw(st.booleans())))
            records += draw(st.lists(said(it), max_size=3))
        if draw(st.booleans()):
            records.append(Closed(it.connection, it.process, 0, 0, 0, 0, 0))
    return records


@settings(max_examples=200)
@given(traces())
def test_any_trace(records: list[Record]) -> None:
    text = rendered(SINK, records)
    log = har.load(text)
    text.encode()
    odd = {character for character in text if not character.isprintable()}
    assert {unicodedata.category(character) for character in odd - {"\n"}} <= {"Zs"}
    ends = [record.exchange for record in records if isinstance(record, ExchangeEnded)]
    assert len(log["entries"]) == len(ends)
    given_messages = [it for it in records if isinstance(it, ProtocolMessage) and it.exchange is not None]
    shown = sum(len(_messages(entry)) for entry in log["entries"])
    left_out = int(log.get("comment", "0").split()[0])
    assert shown + left_out == len(given_messages)
    assert only(records, "message") <= len(log["entries"])
    assert only(records, "http") == len(log["entries"])


@given(exchanges)
def test_any_body_comes_back(it: Exchange) -> None:
    [entry] = har.load(rendered(SINK, [ExchangeEnded(it, 0, True)]))["entries"]
    if it.response is not None:
        check_body(entry["response"]["content"], it.response)
    if it.request is not None and (it.request.body or it.request.body_bytes):
        check_body(entry["request"]["postData"], it.request)


def check_body(part: dict[str, Any], sent: Message) -> None:
    """Base64 is exact, and so is UTF-8; other charsets are as good as they are."""
    body = bytes(sent.body)
    if "encoding" in part:
        assert base64.b64decode(part["text"], validate=True) == body
    elif "charset" not in part["mimeType"]:
        assert body.startswith(part["text"].encode())
        # An unfinished character at the end of a body that was cut.
        assert len(body) - len(part["text"].encode()) <= (3 if sent.body_bytes > len(body) else 0)


def only(records: list[Record], kind: str) -> int:
    """How many entries there are with --only."""
    return len(har.load(rendered(SINK, records, kinds=frozenset({kind})))["entries"])


def _messages(entry: dict[str, Any]) -> list[Any]:
    return [
        message
        for field in ("_webSocketMessages", "_eventSourceMessages", "_messages")
        for message in entry.get(field, [])
    ]
