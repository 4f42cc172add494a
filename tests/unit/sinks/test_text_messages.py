"""Messages of other protocols in the text format, to the letter."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from tests.support.samples import NOW, connection, exchange, message, rendered, request, response, whole

from tlstap.records import (
    Connection,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    MessageEnded,
    Missing,
    Record,
)
from tlstap.sinks.text import sink as text


def show(*records: Record, **options: Any) -> str:
    """The blocks without the connection's line."""
    return rendered(text.SINK, records, **options).split("\n", 1)[1]


def expected(block: str) -> str:
    return dedent(block).lstrip("\n")


def upgraded(of: Connection) -> Exchange:
    return exchange(of, request=request(target="/chat", headers=[]), response=response(status=101))


def call(of: Connection, stream_id: int = 1, **changes: Any) -> Exchange:
    """A call of gRPC that ends with status 5."""
    asked = request(method="POST", target="/shop.Cart/Add", headers=[("content-type", "application/grpc")])
    answer = response(
        reason="",
        headers=[("content-type", "application/grpc")],
        body=bytearray(12),
        trailers=[("grpc-status", "5"), ("grpc-message", "no%20such%20item%3a%20%1b[31m%FF%")],
    )
    given = {"request": asked, "response": answer, "body_format": "grpc", "stream_id": stream_id}
    return exchange(of, protocol="HTTP/2", **given | changes)


def feed(of: Connection) -> Exchange:
    """A stream of server-sent events."""
    answer = response(reason="", headers=[("content-type", "text/event-stream")], body=bytearray(40))
    asked = request(target="/ticks", headers=[])
    return exchange(of, protocol="HTTP/2", stream_id=3, request=asked, response=answer, body_format="sse")


def test_websocket() -> None:
    of = connection()
    it = upgraded(of)
    compressed, ok = {"compressed": True}, {"code": 1000, "reason": "bye now"}
    records = [
        message(of, "websocket", "text", b"hello", exchange=it),
        message(of, "websocket", "text", b'{"a":1}', exchange=it, direction="read", details=compressed),
        message(of, "websocket", "binary", b"\0\x01", exchange=it),
        message(of, "websocket", "ping", exchange=it),
        message(of, "websocket", "ping", b"\x74\xb8\x1b", exchange=it),
        message(of, "websocket", "pong", b"a word", exchange=it, direction="read"),
        message(of, "websocket", "close", b"bye now", exchange=it, details=ok),
        message(of, "websocket", "close", exchange=it, details={"code": 1000, "reason": ""}),
        message(of, "websocket", "close", exchange=it, details={"code": None, "reason": ""}),
    ]
    assert show(*records) == expected("""
        00:00:00.123 #3 → websocket text, 5 bytes (GET /chat)
            hello

        00:00:00.123 #3 ← websocket text, 7 bytes, compressed
            {
              "a": 1
            }

        00:00:00.123 #3 → websocket binary, 2 bytes
            [binary, 2 bytes]
            000000  00 01                                             ..

        00:00:00.123 #3 → websocket ping, 0 bytes
        00:00:00.123 #3 → websocket ping, 3 bytes, 74 b8 1b
        00:00:00.123 #3 ← websocket pong, 6 bytes, a word
        00:00:00.123 #3 → websocket close, code=1000, reason="bye now"
        00:00:00.123 #3 → websocket close, code=1000
        00:00:00.123 #3 → websocket close, 0 bytes
    """)


def test_a_message_that_is_not_whole() -> None:
    of = connection()
    missing = [Missing("message", "lost", 12), Missing("message", "unfinished")]
    assert show(message(of, "websocket", "text", b"hel", size=15, missing=missing)) == expected("""
        00:00:00.123 #3 → websocket text, 15 bytes
            hel
            [12 bytes of the message lost]
            [message unfinished]
    """)
    assert show(message(of, "sse", "message", missing=missing[:1])) == expected("""
        00:00:00.123 #3 → sse message, 0 bytes
            [12 bytes of the message lost]
    """)


def test_messages_of_a_body_are_not_shown_again_at_its_end() -> None:
    of = connection()
    it = call(of)
    assert it.request is not None and it.response is not None
    details = {"service": "shop.Cart", "method": "Add", "message": {"item": "foo", "count": 1}}
    reply = {"compressed": True, "fields": [{"number": 1, "type": "varint", "value": 7}]}
    part = {"exchange": it, "stream_id": 1}
    records = [
        HeadSeen(it, it.request, "write", NOW),
        message(of, "grpc", "request", b"\x08\x01\x12", details=details, **part),
        MessageEnded(it, it.request, "write", NOW),
        HeadSeen(it, it.response, "read", NOW),
        message(of, "grpc", "response", b"\x08\x07", details=reply, direction="read", **part),
        message(of, "grpc", "response", b"\xff", direction="read", **part),
        MessageEnded(it, it.response, "read", NOW),
        ExchangeEnded(it, NOW, True),
    ]
    blocks = """
        00:00:00.123 #3/1 → POST https://example.com/shop.Cart/Add HTTP/2
            content-type: application/grpc

        00:00:00.123 #3/1 → grpc request, 3 bytes
            {
              "item": "foo",
              "count": 1
            }

        00:00:00.123 #3/1 ← HTTP/2 200 (20.0 ms)
            content-type: application/grpc

        00:00:00.123 #3/1 ← grpc response, 2 bytes, compressed
            1 varint 7

        00:00:00.123 #3/1 ← grpc response, 1 byte
            [binary, 1 byte]
            000000  ff                                                .

        00:00:00.123 #3/1 ← end of 200 to POST /shop.Cart/Add: 2 messages, 12 bytes
            grpc-status: 5 NOT_FOUND
            grpc-message: no such item: \\x1b[31m\\xff%
    """
    assert show(*records) == expected(blocks)
    # With HTTP alone, these messages are the bodies.
    assert show(*records, kinds=frozenset({"http"})) == expected(blocks)
    assert "grpc-status\x1b[0m: \x1b[1;31m5 NOT_FOUND\x1b[0m\n" in show(*records, color=True)


def test_only_messages_say_what_they_travel_in() -> None:
    of = connection()
    it = call(of)
    records = [
        *whole(of, request(), response()),
        message(of, "grpc", "request", b"", exchange=it, stream_id=1),
        message(of, "grpc", "response", b"", exchange=it, stream_id=1, direction="read"),
        message(of, "websocket", "text", b"hi", exchange=upgraded(of)),
        ExchangeEnded(it, NOW, True),
    ]
    assert show(*records, kinds=frozenset({"message"})) == expected("""
        00:00:00.123 #3/1 → grpc request, 0 bytes (POST /shop.Cart/Add)
        00:00:00.123 #3/1 ← grpc response, 0 bytes

        00:00:00.123 #3 → websocket text, 2 bytes (GET /chat)
            hi
    """)


def test_only_http_shows_no_websocket() -> None:
    of = connection()
    it = upgraded(of)
    hello = message(of, "websocket", "text", b"hi", exchange=it)
    settings = message(of, "http2", "SETTINGS")
    assert rendered(text.SINK, [hello, settings], kinds=frozenset({"http"})) == ""
    assert "websocket text" in rendered(text.SINK, [hello], kinds=frozenset({"http", "message"}))


def test_a_status_without_messages_and_a_good_one() -> None:
    of = connection()
    it = call(of)
    headers = [("content-type", "application/grpc"), ("grpc-status", "0"), ("Grpc-Status", "99")]
    it.response = response(reason="", headers=headers, body=bytearray())
    records = [HeadSeen(it, it.response, "read", NOW), MessageEnded(it, it.response, "read", NOW)]
    assert show(*records) == expected("""
        00:00:00.123 #3/1 ← HTTP/2 200 (to POST /shop.Cart/Add, 20.0 ms)
            content-type: application/grpc
            grpc-status: 0 OK
            Grpc-Status: 99
    """)


def test_grpc_web_ends_with_trailers_in_its_body() -> None:
    of = connection()
    it = call(of)
    it.response = response(reason="", headers=[], body=bytearray(30))
    pairs = [["grpc-status", "16"], ["grpc-message", "who%20are%20you"]]
    records = [
        HeadSeen(it, it.response, "read", NOW),
        message(
            of,
            "grpc",
            "trailers",
            b"grpc-status:16",
            details={"trailers": pairs, "trailers_cut": True},
            exchange=it,
            stream_id=1,
            direction="read",
        ),
        MessageEnded(it, it.response, "read", NOW),
    ]
    assert show(*records) == expected("""
        00:00:00.123 #3/1 ← HTTP/2 200 (to POST /shop.Cart/Add, 20.0 ms)

        00:00:00.123 #3/1 ← grpc trailers, 14 bytes
            grpc-status: 16 UNAUTHENTICATED
            grpc-message: who are you
            [more trailers left out]

        00:00:00.123 #3/1 ← end of 200 to POST /shop.Cart/Add: 0 messages, 30 bytes
    """)


def test_fields_without_a_schema() -> None:
    fields: list[Any] = [
        {"number": 1, "type": "varint", "value": 150},
        {
            "number": 2,
            "type": "len",
            "value": [
                {"number": 1, "type": "i32", "value": 1065353216, "float": 1.0},
                {"number": 4, "type": "group", "value": [{"number": 1, "type": "i64", "value": 3}]},
            ],
        },
        {"number": 3, "type": "len", "value": "tab\tend", "size": 9000},
        {"number": 4, "type": "len", "value": {"base64": "AAEC/w=="}},
        {"number": 5, "type": "len", "value": []},
    ]
    details = {"fields": fields, "fields_cut": True, "schema_error": "no type \x1b", "unknown_bytes": 4}
    shown = show(message(connection(), "grpc", "request", bytes(9), details=details))
    assert shown == expected("""
        00:00:00.123 #3 → grpc request, 9 bytes
            [not decoded by its schema: no type \\x1b]
            [4 bytes that the schema does not know; all fields:]
            1 varint 150
            2 len
              1 i32 1065353216 or 1.0
              4 group
                1 i64 3
            3 len "tab\\tend" [of 9,000 bytes]
            4 len 00 01 02 ff
            5 len
            [more fields left out]
    """)


def test_fields_up_to_the_limit() -> None:
    fields: list[Any] = [{"number": 1, "type": "len", "value": "a" * 50}] * 3
    fields.insert(0, {"number": 9, "type": "len", "value": {"base64": "AAEC/w=="}})
    sent = message(connection(), "grpc", "request", bytes(9), details={"fields": fields})
    assert show(sent, max_body=100, max_binary=2) == expected(f"""
        00:00:00.123 #3 → grpc request, 9 bytes
            9 len 00 01 [2 bytes left out]
            1 len "{"a" * 50}"
            [more fields left out; --max-body all shows everything]
    """)
    assert show(sent, max_body=None, max_binary=None).count("a" * 50) == 3


@pytest.mark.parametrize("fields", [None, 7, "x", {}, [None, [], "x", 3]])
def test_fields_that_are_none(fields: Any) -> None:
    """A plugin that calls itself grpc may say anything."""
    shown = show(message(connection(), "grpc", "request", b"", details={"fields": fields}))
    assert shown == "00:00:00.123 #3 → grpc request, 0 bytes\n"


def test_server_sent_events_between_other_streams() -> None:
    of = connection()
    it = feed(of)
    assert it.request is not None and it.response is not None
    other = exchange(of, protocol="HTTP/2", stream_id=5, request=request(headers=[]))
    assert other.request is not None
    part = {"exchange": it, "stream_id": 3, "direction": "read"}
    assert show(
        HeadSeen(it, it.request, "write", NOW),
        HeadSeen(it, it.response, "read", NOW),
        message(of, "sse", "price", b'{"eur":3}', details={"id": "7", "retry": 5000}, **part),
        HeadSeen(other, other.request, "write", NOW),
        message(of, "sse", "message", b"one\ntwo", **part),
        MessageEnded(it, it.response, "read", NOW),
    ) == expected("""
        00:00:00.123 #3/3 → GET https://example.com/ticks HTTP/2

        00:00:00.123 #3/3 ← HTTP/2 200 (20.0 ms)
            content-type: text/event-stream

        00:00:00.123 #3/3 ← sse price, 9 bytes, id=7, retry=5000
            {
              "eur": 3
            }

        00:00:00.123 #3/5 → GET https://example.com/index.html HTTP/2

        00:00:00.123 #3/3 ← sse message, 7 bytes (GET /ticks)
            one
            two

        00:00:00.123 #3/3 ← end of 200 to GET /ticks: 2 events, 40 bytes
    """)


def test_a_body_of_which_nothing_was_understood_is_shown() -> None:
    of = connection()
    it = feed(of)
    assert it.response is not None
    it.response.body = bytearray(b"what\n")
    records = [HeadSeen(it, it.response, "read", NOW), MessageEnded(it, it.response, "read", NOW)]
    assert show(*records).endswith("content-type: text/event-stream\n\n    what\n")


def test_the_body_of_the_other_direction_is_shown() -> None:
    of = connection()
    it = feed(of)
    assert it.request is not None and it.response is not None
    it.request.body = bytearray(b"please\n")
    records = [
        HeadSeen(it, it.request, "write", NOW),
        message(of, "sse", "message", b"one", exchange=it, direction="read", stream_id=3),
        MessageEnded(it, it.request, "write", NOW),
    ]
    assert show(*records).endswith("→ body of GET /ticks, 0 bytes\n    please\n")


def test_messages_of_plugins() -> None:
    of = connection()
    long = "x" * 90
    records = [
        message(of, "redis", "command", b"GET key", details={"db": 0, "args": ["GET", "key"]}),
        message(of, "mysql", "error", details={"message": "no such table", "fatal": True, "state": None}),
        message(of, "mysql", "query", b"select 1", details={"note": long, "user": "root@host", "at": 1.5}),
        message(of, "raw", "", b"x", details={f"k{number}": number for number in range(14)}),
    ]
    assert show(*records) == expected(f"""
        00:00:00.123 #3 → redis command, 7 bytes, db=0, args=["GET", "key"]
            GET key

        00:00:00.123 #3 → mysql error, message="no such table", fatal

        00:00:00.123 #3 → mysql query, 8 bytes, user=root@host, at=1.5
            {{
              "note": "{long}"
            }}
            select 1

        00:00:00.123 #3 → raw, 1 byte, {", ".join(f"k{number}={number}" for number in range(12))}
            {{
              "k12": 12,
              "k13": 13
            }}
            x
    """)


def test_details_that_are_no_json_or_too_deep() -> None:
    """Plugins make mistakes."""
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    of = connection()
    shown = show(message(of, "a", "b", details={"deep": deep, "bytes": b"\x1b"}))  # type: ignore[dict-item]
    assert shown == '00:00:00.123 #3 → a b, deep="[nested too deeply]", bytes="b\'\\\\x1b\'"\n'


def test_long_words_are_wrapped() -> None:
    of = connection()
    sent = message(of, "websocket", "close", details={"code": 1000, "reason": "because of " + "this " * 13})
    lines = show(sent, width=60).splitlines()[1:]
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith('00:00:00.123 #3 → websocket close, code=1000, reason="')
    assert all(line.startswith("    ") for line in lines[1:])
