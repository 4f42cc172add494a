"""HTTP/2 in the text format, to the letter: streams, and what may be unknown of them."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from tests.support.samples import MS, NOW, connection, exchange, message, rendered, request, response, whole

from tlstap.records import (
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    Record,
    Undecoded,
    UnknownHeader,
)
from tlstap.sinks.text import sink as text


def show(*records: Record, **options: Any) -> str:
    """The blocks without the connection's line."""
    return rendered(text.SINK, records, **options).split("\n", 1)[1]


def expected(block: str) -> str:
    return dedent(block).lstrip("\n")


def stream(number: int, **changes: Any) -> Exchange:
    given: dict[str, Any] = {"protocol": "HTTP/2", "stream_id": number}
    return exchange(connection(alpn="h2"), **given | changes)


def without_head(*, is_request: bool, body: bytes) -> Message:
    """A message of which only its body was seen."""
    return Message(
        is_request, None, None, None, None, None, body=bytearray(body), body_bytes=len(body), start_ns=NOW
    )


def test_interleaved_streams_carry_their_tags_and_say_what_belongs_together() -> None:
    first = stream(1, request=request(headers=[], body=bytearray(b"up\n")))
    second = stream(3, request=request(target="/b", headers=[]))
    second.connection = first.connection
    first.response, second.response = response(reason=""), response(reason="", status=404, headers=[])
    assert first.request is not None and second.request is not None
    records: list[Record] = [
        HeadSeen(first, first.request, "write", NOW),
        HeadSeen(second, second.request, "write", NOW),
        MessageEnded(first, first.request, "write", NOW),
        HeadSeen(first, first.response, "read", NOW),
        HeadSeen(second, second.response, "read", NOW),
        MessageEnded(first, first.response, "read", NOW),
    ]
    assert show(*records) == expected("""
        00:00:00.123 #3/1 → GET https://example.com/index.html HTTP/2
        00:00:00.123 #3/3 → GET https://example.com/b HTTP/2

        00:00:00.123 #3/1 → body of GET /index.html, 3 bytes
            up

        00:00:00.123 #3/1 ← HTTP/2 200 (20.0 ms)
            Content-Type: text/plain

        00:00:00.123 #3/3 ← HTTP/2 404 (to GET /b, 20.0 ms)

        00:00:00.123 #3/1 ← body of 200 to GET /index.html, 6 bytes
            hello
    """)


def test_unknown_headers_stand_where_they_were_sent() -> None:
    asked = request(
        headers=[("accept", "*/*"), ("te", "trailers")],
        unknown_headers=[
            UnknownHeader(0, "user-agent", None),
            UnknownHeader(1, None, None),
            UnknownHeader(1, None, "gzip"),
            UnknownHeader(2, None, None),
        ],
    )
    it = stream(1, request=asked, missing=[Missing("request headers", "not seen")])
    records = [HeadSeen(it, asked, "write", NOW), ExchangeEnded(it, NOW, False)]
    assert show(*records) == expected("""
        00:00:00.123 #3/1 → GET https://example.com/index.html HTTP/2
            user-agent: [unknown]
            accept: */*
            [unknown header]
            [unknown]: gzip
            te: trailers
            [unknown header]

        00:00:00.123 #3/1 ! GET /index.html incomplete: 4 request headers not seen
    """)
    coloured = show(*records, color=True)
    assert "    \x1b[36muser-agent\x1b[0m: \x1b[1;31m[unknown]\x1b[0m\n" in coloured
    assert "    \x1b[1;31m[unknown header]\x1b[0m\n" in coloured
    assert "    \x1b[1;31m[unknown]\x1b[0m: gzip\n" in coloured


def test_one_unknown_header_of_a_response_and_none_but_that() -> None:
    answer = response(headers=[], unknown_headers=[UnknownHeader(0, None, None)], body=bytearray(), reason="")
    it = stream(1, request=request(), response=answer, missing=[Missing("response headers", "lost")])
    assert show(HeadSeen(it, answer, "read", NOW), ExchangeEnded(it, NOW, False)) == expected("""
        00:00:00.123 #3/1 ← HTTP/2 200 (to GET /index.html, 20.0 ms)
            [unknown header]

        00:00:00.123 #3/1 ! GET /index.html incomplete: 1 response header lost
    """)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": None}, "[unknown] https://example.com/index.html HTTP/2"),
        ({"target": None}, "GET https://example.com/[unknown] HTTP/2"),
        ({"authority": None}, "GET https://[unknown]/index.html HTTP/2"),
        ({"scheme": None}, "GET https://example.com/index.html HTTP/2"),
        ({"scheme": "http"}, "GET http://example.com/index.html HTTP/2"),
        ({"method": "OPTIONS", "target": "*"}, "OPTIONS https://example.com/* HTTP/2"),
        ({"method": "CONNECT", "scheme": None, "target": None}, "CONNECT example.com HTTP/2"),
        (
            {"method": "CONNECT", "target": "/chat", "protocol": "websocket"},
            "CONNECT https://example.com/chat websocket HTTP/2",
        ),
    ],
)
def test_request_lines(changes: dict[str, Any], line: str) -> None:
    asked = request(headers=[], **changes)
    assert show(HeadSeen(stream(1, request=asked), asked, "write", NOW)) == f"00:00:00.123 #3/1 → {line}\n"


def test_a_status_that_is_not_known() -> None:
    answer = response(status=None, reason="", headers=[("server", "x")])
    it = stream(1, request=request(headers=[]), response=answer)
    assert show(HeadSeen(it, answer, "read", NOW), MessageEnded(it, answer, "read", NOW)) == expected("""
        00:00:00.123 #3/1 ← HTTP/2 [unknown] (to GET /index.html, 20.0 ms)
            server: x

            hello
    """)


def test_a_pushed_exchange_comes_from_the_server() -> None:
    asked = request(headers=[])
    it = stream(2, request=asked, pushed=True)
    assert show(HeadSeen(it, asked, "read", NOW)) == (
        "00:00:00.123 #3/2 ← pushed GET https://example.com/index.html HTTP/2\n"
    )


def test_a_reset_says_why_and_by_whom() -> None:
    asked = request(headers=[])
    it = stream(1, request=asked, missing=[Missing("response", "unfinished")], reset="CANCEL by the client")
    assert show(HeadSeen(it, asked, "write", NOW), ExchangeEnded(it, NOW + MS, False)) == expected("""
        00:00:00.123 #3/1 → GET https://example.com/index.html HTTP/2
        00:00:00.124 #3/1 ! GET /index.html reset: CANCEL by the client
    """)
    it.missing.append(Missing("response body", "lost", 5))
    assert show(ExchangeEnded(it, NOW, False)) == (
        "00:00:00.123 #3/1 ! GET /index.html reset: CANCEL by the client; 5 bytes of the response body lost\n"
    )


def test_bodies_of_messages_whose_head_was_not_seen() -> None:
    asked, answer = (
        without_head(is_request=True, body=b"sent\n"),
        without_head(is_request=False, body=b"got\n"),
    )
    both = stream(1, request=asked, response=answer, missing=[Missing("request headers", "not seen")])
    known = stream(3, request=request(headers=[]), response=answer)
    records = [
        MessageEnded(both, asked, "write", NOW),
        MessageEnded(both, answer, "read", NOW),
        MessageEnded(known, answer, "read", NOW),
        ExchangeEnded(both, NOW, False),
    ]
    for it in (both, known):
        it.connection = both.connection
    assert show(*records) == expected("""
        00:00:00.123 #3/1 → body of a request, head not seen, 5 bytes
            sent

        00:00:00.123 #3/1 ← body of a response, head not seen, 4 bytes
            got

        00:00:00.123 #3/3 ← body of a response to GET /index.html, head not seen, 4 bytes
            got

        00:00:00.123 #3/1 ! incomplete: request headers not seen
    """)


def test_trailers_that_come_later_than_their_head() -> None:
    first, other = stream(1, request=request(headers=[])), stream(3, request=request(headers=[]))
    other.connection = first.connection
    answer = response(headers=[], body=bytearray(), reason="", trailers=[("checksum", "1f")])
    first.response = answer
    assert other.request is not None
    assert show(
        HeadSeen(first, answer, "read", NOW),
        HeadSeen(other, other.request, "write", NOW),
        MessageEnded(first, answer, "read", NOW),
    ) == expected("""
        00:00:00.123 #3/1 ← HTTP/2 200 (to GET /index.html, 20.0 ms)
        00:00:00.123 #3/3 → GET https://example.com/index.html HTTP/2

        00:00:00.123 #3/1 ← trailers of 200 to GET /index.html
            checksum: 1f
    """)


def test_trailers_below_their_head_stand_behind_one_empty_line() -> None:
    answer = response(headers=[], body=bytearray(), reason="", trailers=[("checksum", "1f")])
    shown = show(*whole(connection(), request(headers=[]), answer, protocol="HTTP/2", stream_id=1))
    assert shown.endswith("#3/1 ← HTTP/2 200 (20.0 ms)\n\n    checksum: 1f\n")


def test_undecoded_bytes_of_a_stream() -> None:
    of = connection()
    assert show(Undecoded(of, of.process, NOW, "read", 0, b"hi\n", 7, 5)) == expected("""
        00:00:00.123 #3/5 ← 3 bytes
            [7 bytes lost]
            hi
    """)


def test_control_frames() -> None:
    of = connection()
    settings = message(of, "http2", "SETTINGS", details={"HEADER_TABLE_SIZE": 65536, "99": 1})
    regular = message(of, "http2", "GOAWAY", details={"last_stream_id": 7, "error": "NO_ERROR"})
    angry = message(
        of,
        "http2",
        "GOAWAY",
        b"too many pings",
        details={"last_stream_id": 0, "error": "ENHANCE_YOUR_CALM"},
        direction="read",
    )
    assert show(settings, message(of, "http2", "SETTINGS"), regular, angry) == expected("""
        00:00:00.123 #3 → SETTINGS HEADER_TABLE_SIZE=65536 99=1
        00:00:00.123 #3 → SETTINGS
        00:00:00.123 #3 → GOAWAY NO_ERROR, last stream 7
        00:00:00.123 #3 ← ! GOAWAY ENHANCE_YOUR_CALM, last stream 0: too many pings
    """)
    coloured = show(settings, regular, angry, color=True)
    assert "\x1b[2mSETTINGS HEADER_TABLE_SIZE=65536 99=1\x1b[0m\n" in coloured
    assert "\x1b[2mGOAWAY NO_ERROR, last stream 7\x1b[0m\n" in coloured
    assert "\x1b[1;31m! GOAWAY ENHANCE_YOUR_CALM, last stream 0: too many pings\x1b[0m\n" in coloured


def test_an_exchange_that_lacks_nothing_says_nothing_at_its_end() -> None:
    it = stream(1, request=request(), response=response())
    assert rendered(text.SINK, [ExchangeEnded(it, NOW, True)]) == ""
