"""The summary, to the letter."""

from __future__ import annotations

import io
import re
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.support.samples import (
    MS,
    NOW,
    connection,
    exchange,
    message,
    process,
    rendered,
    request,
    response,
)

from tlstap.records import (
    Closed,
    Connection,
    Data,
    Exchange,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    Missing,
    Opened,
    Record,
    Undecoded,
)
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter
from tlstap.sinks.summary import tallies
from tlstap.sinks.summary.sink import SummarySink
from tlstap.sinks.text import sink as text

SGR = re.compile(r"\x1b\[[0-9;]*m")


def show(*records: Record, **options: Any) -> str:
    return rendered(text.SINK, records, summary=True, **options)


def expected(block: str) -> str:
    return dedent(block).lstrip("\n")


def ended(of: Connection, **changes: Any) -> ExchangeEnded:
    """The end of an exchange, complete unless something is missing."""
    it = exchange(of, **{"request": request(), "response": response()} | changes)
    return ExchangeEnded(it, NOW + 21 * MS, not it.missing and it.reset is None)


def stream(of: Connection, number: int, **changes: Any) -> ExchangeEnded:
    return ended(of, protocol="HTTP/2", stream_id=number, **changes)


def several(of: Connection) -> list[Record]:
    """Pairs of various kinds."""
    posted = request(method="POST", target="/upload", body=bytearray(1234))
    created = response(status=201, headers=[], body=bytearray(), end_ns=NOW + 1500 * MS)
    page = response(headers=[("content-type", "Application/JSON; charset=utf-8")], body=bytearray(45678))
    missing = response(status=404, headers=[("Content-Type", "text/html")])
    moved = response(status=301, headers=[("Content-Type", "text/html")])
    return [
        stream(of, 1, response=page),
        stream(of, 15, request=posted, response=created),
        stream(of, 17, request=request(target=f"/{'long/' * 20}page.html"), response=moved),
        ended(of, response=missing),
    ]


def test_pairs_in_a_pipe() -> None:
    assert show(*several(connection())) == expected(f"""
        00:00:00.144 #3/1  curl[4242] → GET  https://example.com/index.html           200 application/json 45.7 kB 21.0 ms
        00:00:00.144 #3/15 curl[4242] → POST https://example.com/upload (1.23 kB)     201 -                    0 B  1.50 s
        00:00:00.144 #3/17 curl[4242] → GET  https://example.com/{"long/" * 20}page.html 301 text/html            6 B 21.0 ms
        00:00:00.144 #3    curl[4242] → GET  https://example.com/index.html           404 text/html            6 B 21.0 ms
    """)  # noqa: E501


def test_pairs_on_a_wide_terminal() -> None:
    assert show(*several(connection()), width=150) == expected("""
        00:00:00.144 #3/1  curl[4242] → GET  https://example.com/index.html                                               200 application/json 45.7 kB 21.0 ms
        00:00:00.144 #3/15 curl[4242] → POST https://example.com/upload (1.23 kB)                                         201 -                    0 B  1.50 s
        00:00:00.144 #3/17 curl[4242] → GET  example.com/long/long/long/long/long/l…ng/long/long/long/long/long/page.html 301 text/html            6 B 21.0 ms
        00:00:00.144 #3    curl[4242] → GET  https://example.com/index.html                                               404 text/html            6 B 21.0 ms
    """)  # noqa: E501


def test_pairs_on_a_terminal() -> None:
    assert show(*several(connection()), width=110) == expected("""
        00:00:00.144 #3/1  curl[4242] → GET  https://example.com/index.html           200 json         45.7 kB 21.0 ms
        00:00:00.144 #3/15 curl[4242] → POST https://example.com/upload (1.23 kB)     201 -                0 B  1.50 s
        00:00:00.144 #3/17 curl[4242] → GET  example.com/long/lon…long/long/page.html 301 text/html        6 B 21.0 ms
        00:00:00.144 #3    curl[4242] → GET  https://example.com/index.html           404 text/html        6 B 21.0 ms
    """)  # noqa: E501


def test_pairs_on_a_narrow_terminal() -> None:
    assert show(*several(connection()), width=80) == expected("""
        00:00:00 #3/1  curl[4242] → GET  example.c…dex.html 200 json     45.7 kB 21.0 ms
        00:00:00 #3/15 curl[4242] → POST example.com/upload 201 -            0 B  1.50 s
        00:00:00 #3/17 curl[4242] → GET  example.c…age.html 301 html         6 B 21.0 ms
        00:00:00 #3    curl[4242] → GET  example.c…dex.html 404 html         6 B 21.0 ms
    """)


def test_colours_are_those_of_the_other_text() -> None:
    [row] = show(stream(connection(), 1), color=True).splitlines()
    assert row == (
        "\x1b[2m00:00:00.144\x1b[0m \x1b[1;33m#3/1 \x1b[0m \x1b[1mcurl[4242]\x1b[0m \x1b[1;36m→\x1b[0m "
        "\x1b[1;35mGET \x1b[0m \x1b[1mhttps://example.com/index.html\x1b[0m           "
        "\x1b[1;32m200\x1b[0m text/plain           6 B \x1b[2m21.0 ms\x1b[0m"
    )


@pytest.mark.parametrize("width", [None, 150, 100, 80])
def test_colours_do_not_shift_columns(width: int | None) -> None:
    records = several(connection())
    assert SGR.sub("", show(*records, color=True, width=width)) == show(*records, width=width)


def test_columns_grow_with_what_was_seen() -> None:
    long = connection(id=12345, process=process(comm="tls-renegotiator", exe=None, pid=1234567))
    shown = show(ended(connection()), stream(long, 2021), ended(connection()), width=140).splitlines()
    assert [line.index("→ GET") for line in shown] == [30, 48, 48]
    assert shown[1].startswith("00:00:00.144 #12345/2021 tls-renegot…r[1234567] → GET  ")
    assert [line.index("200") for line in shown] == [104, 104, 104]


def squeezed(*records: Record, **options: Any) -> list[str]:
    """The rows without the spaces that align them."""
    return [" ".join(line.split()) for line in show(*records, **options).splitlines()]


def row(record: Record) -> str:
    """What follows the method and the URL."""
    [line] = squeezed(record)
    return line.partition(" https://example.com/index.html ")[2]


def test_what_is_wrong_with_an_exchange() -> None:
    of = connection()
    lost = [Missing("response body", "lost", 5), Missing("request headers", "not seen")]
    assert row(ended(of, missing=lost)) == (
        "200 text/plain 6 B 21.0 ms ! incomplete: 5 bytes of the response body lost; request headers not seen"
    )
    no_answer = [Missing("response", "unfinished")]
    assert row(ended(of, response=None, missing=no_answer, reset="CANCEL by the client")) == (
        "- - - - ! reset: CANCEL by the client"
    )
    unfinished = response(end_ns=None)
    assert row(ended(of, response=unfinished)) == "200 text/plain 6 B -"
    assert row(ended(of, response=response(status=None, headers=[]))) == "[unknown] - 6 B 21.0 ms"
    assert row(ended(of, pushed=True)) == "200 text/plain 6 B 21.0 ms pushed"


def test_a_request_that_was_not_seen() -> None:
    lacks = [Missing("request", "not seen")]
    [line] = squeezed(ended(connection(), request=None, missing=lacks))
    assert line == (
        "00:00:00.144 #3 curl[4242] → [unknown] [unknown] 200 text/plain 6 B - ! incomplete: request not seen"
    )


def test_what_is_wrong_stands_below_if_there_is_no_room() -> None:
    of = connection()
    lacks = [Missing("response body", "lost", 5)]
    assert show(ended(of), ended(of, missing=lacks), width=100) == expected("""
        00:00:00.144 #3    curl[4242] → GET  https://example.com/index.html 200 text/plain       6 B 21.0 ms
        00:00:00.144 #3    curl[4242] → GET  https://example.com/index.html 200 text/plain       6 B 21.0 ms
            ! incomplete: 5 bytes of the response body lost
    """)
    assert show(ended(of, pushed=True), width=100) == expected("""
        00:00:00.144 #3    curl[4242] → GET  example.com/index.html  200 text/plain       6 B 21.0 ms pushed
    """)


def called(of: Connection, code: str, **changes: Any) -> Exchange:
    asked = request(method="POST", body=bytearray(9))
    answer = response(headers=[("content-type", "application/grpc")], trailers=[("grpc-status", code)])
    given = {"request": asked, "response": answer, "body_format": "grpc", "stream_id": 1}
    return exchange(of, protocol="HTTP/2", **given | changes)


def test_grpc_has_its_status_beside() -> None:
    of = connection()
    for code, wide, short, note in (
        ("0", "grpc 0 OK", "grpc 0", ""),
        ("5", "grpc 5 NOT_FOUND", "grpc 5", " NOT_FOUND"),
        ("99", "grpc 99", "grpc 99", ""),
    ):
        over = ExchangeEnded(called(of, code), NOW, True)
        assert squeezed(over)[0].endswith(f" (9 B) 200 application/grpc 6 B 21.0 ms {wide}")
        assert show(over, width=150).endswith(f" 200 application/grpc     6 B 21.0 ms {wide}\n")
        assert show(over, width=110).endswith(f" 200 {short:<12}     6 B 21.0 ms{note}\n")
    assert "\x1b[1;31mgrpc 5 NOT_FOUND\x1b[0m\n" in show(
        ExchangeEnded(called(of, "5"), NOW, True), color=True
    )
    assert "\x1b[1;32mgrpc 0 OK\x1b[0m\n" in show(ExchangeEnded(called(of, "0"), NOW, True), color=True)


def test_grpc_without_messages_has_its_status_in_the_headers_and_grpc_web_in_the_body() -> None:
    of = connection()
    refused = response(headers=[("Content-Type", "application/grpc"), ("Grpc-Status", "12")])
    over = ExchangeEnded(called(of, "0", response=refused), NOW, True)
    assert show(over).endswith(" grpc 12 UNIMPLEMENTED\n")
    web = called(of, "0", response=response())
    trailers = {"trailers": [["x", "y"], ["grpc-status", "7"]]}
    sent = message(of, "grpc", "trailers", details=trailers, exchange=web, direction="read", stream_id=1)
    assert show(sent, ExchangeEnded(web, NOW, True)).endswith(" grpc 7 PERMISSION_DENIED\n")


def test_messages_of_bodies_are_counted() -> None:
    of = connection()
    streaming, unary = called(of, "0"), called(of, "0")
    answer = response(headers=[("content-type", "text/event-stream")])
    events = exchange(of, request=request(), response=answer, body_format="sse")
    records = [
        message(of, "grpc", "request", exchange=streaming),
        *[message(of, "grpc", "response", exchange=streaming, direction="read")] * 1200,
        message(of, "grpc", "request", exchange=unary),
        message(of, "grpc", "response", exchange=unary, direction="read"),
        message(of, "sse", "message", exchange=events, direction="read"),
        *[ExchangeEnded(it, NOW, True) for it in (streaming, unary, events)],
    ]
    first, second, third = show(*records).splitlines()
    assert first.endswith(" grpc 0 OK 1 message sent, 1,200 received")
    assert second.endswith(" grpc 0 OK")
    assert third.endswith(" 200 text/event-stream     6 B 21.0 ms 1 event")


def test_a_websocket_in_one_row_when_both_ends_have_closed_it() -> None:
    of = connection()
    it = exchange(of, request=request(target="/chat"), response=response(status=101, headers=[]))
    way = {"exchange": it, "direction": "read", "time_ns": NOW + 2500 * MS}
    records = [
        ExchangeEnded(it, NOW, True),
        message(of, "websocket", "text", bytes(1000), exchange=it),
        message(of, "websocket", "ping", bytes(9), exchange=it),
        message(of, "websocket", "pong", bytes(9), **way),
        message(of, "websocket", "binary", bytes(20), **way),
        message(of, "websocket", "binary", bytes(22), **way),
        message(of, "websocket", "close", details={"code": 1000}, **way),
    ]
    assert len(show(*records[:-1]).splitlines()) == 2  # at the end of the trace
    closed = message(of, "websocket", "close", exchange=it, time_ns=NOW + 2600 * MS)
    later = message(of, "websocket", "text", b"late", exchange=it)
    assert show(*records, closed, later) == expected("""
        00:00:00.123 #3    curl[4242] → GET  https://example.com/chat                 101 -                    6 B 21.0 ms
        00:00:02.723 #3    curl[4242] → websocket https://example.com/chat 1 message sent (1.00 kB), 2 received (42 B), 2.60 s
        00:00:00.123 #3    curl[4242] → websocket https://example.com/chat 1 message sent (4 B), 0 received (0 B), 0.00 ms
    """)  # noqa: E501


def test_a_websocket_of_http2_is_over_with_its_stream() -> None:
    of = connection()
    asked = request(method="CONNECT", target="/chat", protocol="websocket")
    it = exchange(of, request=asked, response=response(headers=[]), stream_id=7, protocol="HTTP/2")
    records = [
        message(of, "websocket", "text", b"hello", exchange=it, stream_id=7),
        message(of, "websocket", "text", b"other", stream_id=9),
        ExchangeEnded(it, NOW + MS, True),
    ]
    assert squeezed(*records) == [
        "00:00:00.124 #3/7 curl[4242] → CONNECT https://example.com/chat 200 - 6 B 21.0 ms",
        "00:00:00.124 #3/7 curl[4242] → websocket https://example.com/chat 1 message sent (5 B), "
        "0 received (0 B), 0.00 ms",
        "00:00:00.124 #3/9 curl[4242] → websocket 1 message sent (5 B), 0 received (0 B), 0.00 ms",
    ]


def test_other_protocols_and_what_is_not_decoded_are_told_when_the_connection_ends() -> None:
    one, two = connection(role="server"), connection(id=4)
    records: list[Record] = [
        Undecoded(one, one.process, NOW, "read", 0, bytes(1500)),
        Undecoded(two, two.process, NOW, "write", 0, bytes(7)),
        Undecoded(one, one.process, NOW, "write", 0, bytes(80), 21),
        message(one, "redis", "command", b"GET"),
        message(one, "redis", "reply", b"OK", direction="read"),
        Closed(one, one.process, NOW + MS, 0, 0, 0, 0),
        Closed(one, one.process, NOW + MS, 0, 0, 0, 0),
        Lost(None, None, NOW + 2 * MS, 1, 2, "ring buffer full"),
    ]
    assert show(*records) == expected("""
        00:00:00.124 #3    curl[4242] ← redis 1 message sent (3 B), 1 received (2 B), 0.00 ms
        00:00:00.124 #3    curl[4242] ← not decoded: 80 B sent, 1.50 kB received ! 21 B lost
        00:00:00.125 ! 1 record lost, 2 bytes: ring buffer full
        00:00:00.125 #4    curl[4242] → not decoded: 7 B sent, 0 B received
    """)


def test_losses_failed_handshakes_and_angry_ends() -> None:
    of = connection()
    shown = show(
        Opened(of, of.process, NOW, True),
        Handshake(of, of.process, NOW, 5 * MS, True),
        Handshake(of, of.process, NOW, 5 * MS, False),
        Data(of, of.process, NOW, "read", 0, 1, b"x", "SSL_read", 1),
        Lost(of, of.process, NOW, 3, 4000, "ring buffer full"),
        message(of, "http2", "SETTINGS"),
        message(of, "http2", "GOAWAY", details={"error": "NO_ERROR"}),
        message(of, "http2", "GOAWAY", details={"error": "PROTOCOL_ERROR"}, direction="read"),
        Closed(of, of.process, NOW, 1, 1, 0, 0),
    )
    assert shown == expected("""
        00:00:00.123 #3    curl[4242] → handshake failed (5.0 ms)
        00:00:00.123 #3    curl[4242]   ! 3 records lost, 4,000 bytes: ring buffer full
        00:00:00.123 #3    curl[4242] ← ! GOAWAY PROTOCOL_ERROR
    """)


def test_only_what_was_asked_for() -> None:
    of = connection()
    it = exchange(of, request=request(), response=response(), body_format="sse")
    records = [
        Handshake(of, of.process, NOW, 5 * MS, False),
        message(of, "sse", "message", exchange=it),
        ExchangeEnded(it, NOW, True),
        message(of, "websocket", "text", b"x"),
        Undecoded(of, of.process, NOW, "read", 0, b"x"),
        Lost(of, of.process, NOW, 1, 1, "full"),
    ]

    def words(*kinds: str) -> list[str]:
        lines = show(*records, kinds=frozenset(kinds)).splitlines()
        return [line.split("curl[4242]")[1].split()[1] for line in lines]

    assert words("http") == ["GET"]
    assert words("message") == ["websocket"]
    assert words("handshake") == ["handshake"]
    assert show(*records, kinds=frozenset({"lost"})).endswith(" ! 1 record lost, 1 byte: full\n")
    assert show(*records, kinds=frozenset({"http"})).endswith(" 1 event\n")


@pytest.mark.parametrize(("direction", "arrow"), [("write", "→"), ("read", "←")])
def test_a_role_that_tls_does_not_tell_is_seen_from_requests(direction: Any, arrow: str) -> None:
    of = connection(role=None)
    it = exchange(of, request=request(), response=response())
    over = ExchangeEnded(it, NOW, True)
    assert it.request is not None
    assert "curl[4242]   GET " in show(over)
    shown = show(
        HeadSeen(it, it.request, direction, NOW), over, Closed(of, of.process, NOW, 0, 0, 0, 0), over
    )
    assert [line.split("GET")[0][-2] for line in shown.splitlines()] == [arrow, " "]


def test_a_server_has_its_arrow() -> None:
    nginx = connection(process=process(comm="nginx", exe="/usr/sbin/nginx"), role="server")
    assert show(ended(nginx)).startswith(
        "00:00:00.144 #3    nginx[4242] ← GET  https://example.com/index.html "
    )


def test_a_stream_that_is_ascii() -> None:
    raw = io.BytesIO()
    stream_ = io.TextIOWrapper(raw, encoding="ascii")
    emitter = Emitter(SummarySink(stream_, OutputOptions(width=80, summary=True)), stream_)
    emitter.write([ended(connection())])
    emitter.close()
    assert raw.getvalue().decode("ascii") == (
        "00:00:00 #3    curl[4242] -> GET  example...ex.html 200 plain        6 B 21.0 ms\n"
    )


@given(
    st.text(st.characters(codec="utf-8"), max_size=120),
    st.text(max_size=20),
    st.integers(40, 160),
    st.integers(0, 10**12),
)
def test_no_row_is_wider_than_the_terminal(target: str, kind: str, width: int, size: int) -> None:
    of = connection()
    asked = request(target=target, body_bytes=size)
    answer = response(headers=[("content-type", kind)], body_bytes=size)
    shown = show(ended(of, request=asked, response=answer, pushed=True), ended(of), width=width)
    assert max(cell_len(line) for line in shown.splitlines()) <= width


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much is told early."""
    monkeypatch.setattr(tallies, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(tallies, "MAX_CHANNELS", 2)
    of = connection(id=1)
    records: list[Record] = [message(of, "websocket", "text", b"x", stream_id=number) for number in (1, 3, 5)]
    records += [Undecoded(connection(id=n), of.process, NOW, "read", 0, b"x") for n in (2, 3)]
    records.append(Lost(None, None, NOW, 1, 1, "full"))
    tags = [line.split()[1] for line in show(*records).splitlines()]
    assert tags == ["#1/1", "#1/3", "#1/5", "!", "#2", "#3"]
