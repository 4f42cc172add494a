"""HTTP/2 from the preface on: each kind of frame, pairing, bounds."""

from __future__ import annotations

import gzip

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    ExtensionFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.unit.protocols.conversation import Conversation, channel, ended, exchanges, summaries, undecoded
from tests.unit.protocols.http2_talk import Http2Talk, data, get, ok
from wsproto.connection import Connection as WsConnection
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.extensions import PerMessageDeflate

from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.http2.frames import MAX_PAYLOAD, PREFACE
from tlstap.protocols.http2.headers import MAX_BLOCK
from tlstap.protocols.http2.streams import MAX_OPEN
from tlstap.records import (
    Direction,
    ExchangeEnded,
    HeadSeen,
    MessageEnded,
    Missing,
    ProtocolMessage,
    Record,
    Undecoded,
)


def nothing_undecoded(records: list[Record]) -> bool:
    return not any(isinstance(record, Undecoded) for record in records)


def test_an_exchange() -> None:
    talk = Http2Talk()
    head = talk.client.headers(1, [*get("/x?y=1"), ("user-agent", "u"), ("cookie", "a=1"), ("cookie", "b=2")])
    talk.client.send(head, data(1, b"ping", end=True))
    talk.server.send(talk.server.headers(1, ok(("content-type", "text/plain"))))
    talk.server.send(data(1, b"po"), data(1, b"ng", end=True))
    records = talk.run()
    [exchange] = exchanges(records)
    request, response = exchange.request, exchange.response
    assert request is not None and response is not None
    assert (exchange.protocol, exchange.stream_id, exchange.missing) == ("HTTP/2", 1, [])
    assert (request.method, request.scheme, request.authority, request.target) == (
        "GET",
        "https",
        "example.org",
        "/x?y=1",
    )
    assert request.headers == [("user-agent", "u"), ("cookie", "a=1"), ("cookie", "b=2")]
    assert (bytes(request.body), request.body_wire_bytes) == (b"ping", 4)
    assert (response.status, response.headers) == (200, [("content-type", "text/plain")])
    assert bytes(response.body) == b"pong"
    # Times are those of the records: the request came in one, the response in two.
    times = [request.start_ns, request.end_ns, response.start_ns, response.end_ns]
    assert times == [4, 4, 5, 6]
    told = [type(r) for r in records if isinstance(r, HeadSeen | MessageEnded | ExchangeEnded)]
    assert told == [
        HeadSeen,
        MessageEnded,
        HeadSeen,
        MessageEnded,
        ExchangeEnded,
    ]
    assert [record.complete for record in ended(records)] == [True]
    assert nothing_undecoded(records)


def test_directions_of_a_server() -> None:
    """The traced process is the server: it reads requests."""
    client, server = Http2Talk(), Conversation()
    client.exchange(1, "/a", b"body")
    for record in client.talk.records[1:]:
        other: Direction = "read" if record.direction == "write" else "write"  # type: ignore[union-attr]
        server.move(other, record.payload)  # type: ignore[union-attr]
    records = server.run(Pipeline([Http1(), Http2()]))
    assert summaries(records) == ["GET /a b'' -> 200 b'body'"]
    heads = [record for record in records if isinstance(record, HeadSeen)]
    assert [(head.message.is_request, head.direction) for head in heads] == [(True, "read"), (False, "write")]


def test_interleaved_streams() -> None:
    talk = Http2Talk()
    for stream in (1, 3, 5):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}"), end=True))
    for stream in (5, 1, 3):
        talk.server.send(talk.server.headers(stream, ok()), data(stream, b"a"))
    talk.server.send(data(3, b"3", end=True), data(1, b"1"), data(5, b"5", end=True), data(1, b"!", end=True))
    assert summaries(talk.run()) == [
        "GET /3 b'' -> 200 b'a3'",
        "GET /5 b'' -> 200 b'a5'",
        "GET /1 b'' -> 200 b'a1!'",
    ]


def test_continuation_padding_priority_and_what_is_between() -> None:
    talk = Http2Talk()
    block = talk.client.encoder.encode(get("/padded", ("x-a", "1" * 50)))
    head = HeadersFrame(
        1,
        block[:20],
        pad_length=7,
        depends_on=0,
        stream_weight=9,
        exclusive=True,
        flags=["PADDED", "PRIORITY", "END_STREAM"],
    )
    rest = [ContinuationFrame(1, block[20:30]), ContinuationFrame(1, block[30:], flags=["END_HEADERS"])]
    grease = ExtensionFrame(type=0xBA, stream_id=1, flag_byte=0xFF, body=b"grease" * 5)
    grease.body_len = len(grease.body)
    talk.client.send(
        PriorityFrame(3, 0, 5), head, *rest, WindowUpdateFrame(0, 100), PingFrame(0, b"12345678")
    )
    talk.server.send(
        PingFrame(0, b"12345678", flags=["ACK"]),
        talk.server.headers(1, ok(), fragments=3),
        WindowUpdateFrame(1, 9),
        grease,
        data(1, b"abc", pad=200),
        data(1, b"", pad=0),
        data(1, b"def", end=True, pad=1),
    )
    records = talk.run()
    assert summaries(records) == ["GET /padded b'' -> 200 b'abcdef'"]
    [exchange] = exchanges(records)
    assert exchange.response is not None and exchange.response.body_wire_bytes == 6
    assert nothing_undecoded(records)


def test_informational_responses_and_trailers() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/t", method="POST")), data(1, b"x"))
    talk.client.send(talk.client.headers(1, [("digest", "d")], end=True))
    talk.server.send(talk.server.headers(1, ok(("link", "</a.css>"), status="103")))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"y"))
    talk.server.send(talk.server.headers(1, [("grpc-status", "0"), ("grpc-message", "")], end=True))
    [exchange] = exchanges(talk.run())
    assert exchange.request is not None and exchange.response is not None
    assert exchange.request.trailers == [("digest", "d")]
    assert [(message.status, message.headers) for message in exchange.informational] == [
        (103, [("link", "</a.css>")])
    ]
    assert exchange.response.trailers == [("grpc-status", "0"), ("grpc-message", "")]
    assert exchange.missing == []


def test_a_push_promise() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/"), end=True))
    talk.server.send(talk.server.promise(1, 2, get("/style.css")))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"page", end=True))
    talk.server.send(talk.server.headers(2, ok()), data(2, b"css", end=True))
    records = talk.run()
    assert summaries(records) == ["GET / b'' -> 200 b'page'", "GET /style.css b'' -> 200 b'css'"]
    assert [exchange.pushed for exchange in exchanges(records)] == [False, True]
    [head] = [r for r in records if isinstance(r, HeadSeen) and r.exchange.pushed and r.message.is_request]
    assert head.direction == "read"


@pytest.mark.parametrize("by", ["client", "server"])
def test_a_reset_stream(by: str) -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/gone"), end=True))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"part"))
    (talk.client if by == "client" else talk.server).send(RstStreamFrame(1, 8))
    # What is still under way then is no new exchange.
    talk.server.send(data(1, b"late", end=True))
    talk.exchange(3, "/next", b"n")
    records = talk.run()
    assert summaries(records) == [
        "GET /gone b'' -> 200 b'part' [response body unfinished]",
        "GET /next b'' -> 200 b'n'",
    ]
    assert [exchange.reset for exchange in exchanges(records)] == [f"CANCEL by the {by}", None]
    assert [record.complete for record in ended(records)] == [False, True]
    assert undecoded(records, "read") == b"late"


def test_an_early_answer_makes_the_client_stop() -> None:
    """RFC 9113, 8.1: a complete response, then RST_STREAM with NO_ERROR."""
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/up", method="POST")), data(1, b"much"))
    talk.server.send(talk.server.headers(1, ok(status="413"), end=True), RstStreamFrame(1, 0))
    assert summaries(talk.run()) == ["POST /up b'much' -> 413 b'' [request body unfinished]"]


def test_goaway() -> None:
    talk = Http2Talk()
    for stream in (1, 3):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}"), end=True))
    talk.server.send(GoAwayFrame(0, 1, 11, b"too much"))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"1", end=True))
    records = talk.run()
    assert summaries(records) == [
        "GET /3 b'' -> - [response unfinished]",
        "GET /1 b'' -> 200 b'1'",
    ]
    assert exchanges(records)[0].reset == "GOAWAY ENHANCE_YOUR_CALM by the server"
    [message] = [r for r in records if isinstance(r, ProtocolMessage) and r.type == "GOAWAY"]
    assert (message.direction, message.payload) == ("read", b"too much")
    assert message.details == {"last_stream_id": 1, "error": "ENHANCE_YOUR_CALM"}


def test_settings_are_told() -> None:
    talk = Http2Talk(greet=False)
    talk.client.send(PREFACE, SettingsFrame(settings={1: 65536, 8: 1, 42: 5}))
    [message] = [record for record in talk.run() if isinstance(record, ProtocolMessage)]
    assert (message.protocol, message.type, message.direction) == ("http2", "SETTINGS", "write")
    assert message.details == {"HEADER_TABLE_SIZE": 65536, "ENABLE_CONNECT_PROTOCOL": 1, "42": 5}


def test_bodies_are_decoded() -> None:
    talk = Http2Talk()
    coded = gzip.compress(b"text" * 1000)
    talk.client.send(talk.client.headers(1, get(), end=True))
    talk.server.send(talk.server.headers(1, ok(("content-encoding", "gzip"))))
    talk.server.send(data(1, coded[:30]), data(1, coded[30:], end=True))
    [exchange] = exchanges(talk.run())
    assert exchange.response is not None
    assert bytes(exchange.response.body) == b"text" * 1000
    assert (exchange.response.body_bytes, exchange.response.body_wire_bytes) == (4000, len(coded))


def test_upgrade_of_http1() -> None:
    """RFC 7540, 3.2: stream 1 answers the request of HTTP/1.1."""
    talk = Http2Talk(greet=False)
    talk.client.send(
        b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    )
    talk.server.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        SettingsFrame(settings={3: 10}),
    )
    talk.client.send(PREFACE, SettingsFrame())
    talk.server.send(talk.server.headers(1, ok()), data(1, b"first", end=True))
    talk.exchange(3, "/next", b"second")
    records = talk.run()
    assert summaries(records) == [
        "GET /up b'' -> 101 b''",
        "GET /up b'' -> 200 b'first'",
        "GET /next b'' -> 200 b'second'",
    ]
    assert [exchange.stream_id for exchange in exchanges(records)] == [None, 1, 3]
    assert nothing_undecoded(records)


def test_settings_of_the_server_may_come_first() -> None:
    talk = Http2Talk(greet=False)
    talk.server.send(SettingsFrame(settings={3: 100}))
    talk.client.send(PREFACE, SettingsFrame())
    talk.exchange(1, "/", b"x")
    records = talk.run()
    assert summaries(records) == ["GET / b'' -> 200 b'x'"]
    assert nothing_undecoded(records)


def test_a_tunnel() -> None:
    """CONNECT: what it carries is recognised anew; here HTTP/1.1."""
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, [(":method", "CONNECT"), (":authority", "db:5432")]))
    talk.client.send(data(1, b"GET /in HTTP/1.1\r\nHo"))
    talk.server.send(talk.server.headers(1, ok()))
    talk.client.send(data(1, b"st: inner\r\n\r\n", end=True))
    talk.server.send(data(1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), data(1, b"", end=True))
    records = talk.run()
    assert summaries(records) == ["GET /in b'' -> 200 b'hi'", "CONNECT  b'' -> 200 b''"]
    assert [record.complete for record in ended(records)] == [True, True]


def test_a_tunnel_of_unknown_bytes() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, [(":method", "CONNECT"), (":authority", "db:5432")]))
    talk.server.send(talk.server.headers(1, ok()))
    talk.client.send(data(1, b"\x01\x02query"))
    talk.server.send(data(1, b"\x03\x04row"))
    records = talk.talk.close().run(Pipeline([Http1(), Http2()]))
    found = [record for record in records if isinstance(record, Undecoded)]
    assert [(r.direction, r.stream_id, r.offset, r.payload) for r in found] == [
        ("write", 1, 0, b"\x01\x02query"),
        ("read", 1, 0, b"\x03\x04row"),
    ]
    assert summaries(records) == ["CONNECT  b'' -> 200 b''"]


def test_a_refused_tunnel() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, [(":method", "CONNECT"), (":authority", "db:5432")]))
    talk.client.send(data(1, b"early"))
    talk.server.send(talk.server.headers(1, ok(status="403")), data(1, b"no", end=True))
    talk.client.send(data(1, b"", end=True))
    records = talk.run()
    assert summaries(records) == ["CONNECT  b'' -> 403 b'no'"]
    assert undecoded(records, "write") == b"early"


def test_unfinished_at_the_end() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/a"), end=True), talk.client.headers(3, get("/b")))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"par"))
    assert summaries(talk.run()) == [
        "GET /a b'' -> 200 b'par' [response body unfinished]",
        "GET /b b'' -> - [request body unfinished; response not seen]",
    ]


# Bounds


def test_streams_are_bounded() -> None:
    talk = Http2Talk()
    for number in range(MAX_OPEN + 2):
        talk.client.send(talk.client.headers(2 * number + 1, get(f"/{number}"), end=True))
    records = talk.run()
    assert len(ended(records)) == MAX_OPEN + 2
    assert summaries(records)[:3] == [
        "GET /0 b'' -> - [response over the limit]",
        "GET /1 b'' -> - [response over the limit]",
        "GET /2 b'' -> - [response not seen]",
    ]


def test_a_header_block_that_never_ends() -> None:
    """A flood of CONTINUATION frames (CVE-2024-27316 and its like)."""
    talk = Http2Talk()
    talk.client.send(HeadersFrame(1, b"\x82", flags=["END_STREAM"]))
    for _ in range(3 * MAX_BLOCK // 16384):
        talk.client.send(ContinuationFrame(1, b"\x82" * 16384))
    talk.client.send(ContinuationFrame(1, b"", flags=["END_HEADERS"]))
    talk.exchange(3, "/next", b"n")
    assert summaries(talk.run()) == [
        "GET /next b'' -> 200 b'n'",
        "None None b'' -> - [request headers over the limit; response not seen]",
    ]


def test_an_hpack_bomb() -> None:
    """One large entry of the table, referred to thousands of times."""
    talk = Http2Talk()
    large = Encoder().encode([("x", "y" * 3000)], huffman=False)
    talk.client.send(HeadersFrame(1, large + b"\xbe" * 16000, flags=["END_HEADERS", "END_STREAM"]))
    talk.client.encoder = Encoder()
    talk.exchange(3, "/next", b"n")
    records = talk.run()
    assert summaries(records)[0] == "GET /next b'' -> 200 b'n'"
    assert exchanges(records)[1].missing[0] == Missing("request headers", "not decodable")


def test_frames_over_the_limit_are_left_out() -> None:
    talk = Http2Talk()
    talk.client.send(HeadersFrame(1, bytes(MAX_PAYLOAD + 1), flags=["END_HEADERS", "END_STREAM"]))
    talk.exchange(3, "/next", b"n")
    assert summaries(talk.run()) == [
        "GET /next b'' -> 200 b'n'",
        "None None b'' -> - [request headers over the limit; response not seen]",
    ]


def test_memory_is_given_back() -> None:
    talk = Http2Talk()
    for number in range(50):
        talk.exchange(2 * number + 1, f"/{number}", b"x" * 1000, ("x-number", str(number)))
    pipeline = Pipeline([Http1(), Http2()], limits=Limits(memory=100_000))
    records = talk.talk.run(pipeline)
    assert all(record.complete for record in ended(records))
    assert len(ended(records)) == 50
    assert pipeline._toolbox.pool.left == 100_000


def test_heads_that_find_no_room_end_older_streams() -> None:
    talk = Http2Talk()
    for number in range(50):
        talk.client.send(talk.client.headers(2 * number + 1, get(f"/{number}"), end=True))
    records = talk.run(limits=Limits(memory=20_000))
    reasons = [exchange.missing[0].reason for exchange in exchanges(records)]
    assert len(reasons) == 50
    first_kept = reasons.index("not seen")
    assert 10 < first_kept < 40
    assert reasons == ["over the limit"] * first_kept + ["not seen"] * (50 - first_kept)


@pytest.mark.parametrize(
    ("alpn", "start", "verdict"),
    [
        ("h2", b"\x00", True),
        ("h2", b"anything", True),
        (None, PREFACE, True),
        (None, PREFACE[:10], None),
        (None, PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", True),
        (None, b"PRI * HTTP/2.0\r\n\r\nXX", False),
        (None, b"\x00\x00\x12\x04\x00", None),
        (None, SettingsFrame(settings={1: 2, 3: 4}).serialize(), True),
        (None, WindowUpdateFrame(0, 100).serialize(), True),
        (None, PingFrame(0, bytes(8)).serialize(), True),
        (None, bytes(16384), False),
        (None, b"\x00" * 8 + b"\x01" + bytes(100), False),
        (None, b"GET / HTTP/1.1\r\n\r\n", False),
        # MySQL's greeting, a PostgreSQL query, an AMQP header frame, a TLS record, an MQTT CONNECT.
        (None, b"\x4a\x00\x00\x00\x0a8.0.36\x00\x0b\x00\x00\x00", False),
        (None, b"Q\x00\x00\x00\x0dSELECT 1\x00", False),
        (None, b"AMQP\x00\x00\x09\x01", False),
        (None, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", False),
        (None, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", False),
    ],
)
def test_recognition(alpn: str | None, start: bytes, verdict: bool | None) -> None:
    where = channel()
    where.connection.alpn = alpn
    assert Http2().recognise(where, "read", start) is verdict


def test_websocket_over_extended_connect() -> None:
    """RFC 8441, with permessage-deflate, beside other streams."""
    talk = Http2Talk()
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat")]
    extensions = ("sec-websocket-extensions", "permessage-deflate")
    talk.client.send(talk.client.headers(1, [*connect, (":authority", "h"), extensions]))
    talk.server.send(talk.server.headers(1, ok(extensions)))
    client = WsConnection(ConnectionType.CLIENT, [_negotiated()])
    server = WsConnection(ConnectionType.SERVER, [_negotiated()])
    talk.client.send(data(1, client.send(TextMessage("hello hello hello"))))
    talk.exchange(3, "/other", b"o")
    answer = server.send(BytesMessage(bytes(range(10))))
    talk.server.send(data(1, answer[:3]), data(1, answer[3:]))
    talk.server.send(data(1, server.send(CloseConnection(1000, "bye"))))
    talk.client.send(data(1, client.send(CloseConnection(1000, "bye")), end=True))
    talk.server.send(data(1, b"", end=True))
    records = talk.run()
    found = [r for r in records if isinstance(r, ProtocolMessage) and r.protocol == "websocket"]
    assert [(m.direction, m.type, bytes(m.payload), m.stream_id) for m in found] == [
        ("write", "text", b"hello hello hello", 1),
        ("read", "binary", bytes(range(10)), 1),
        ("read", "close", b"bye", 1),
        ("write", "close", b"bye", 1),
    ]
    assert summaries(records) == ["GET /other b'' -> 200 b'o'", "CONNECT /chat b'' -> 200 b''"]
    exchange = exchanges(records)[1]
    assert exchange.request is not None and exchange.request.protocol == "websocket"
    assert all(message.exchange is exchange for message in found)
    assert exchange.missing == []


def test_websocket_goes_on_behind_a_gap() -> None:
    """Frames of unknown streams are lost; the next message of the WebSocket is read again."""
    talk = Http2Talk()
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat")]
    talk.client.send(talk.client.headers(1, [*connect, (":authority", "h")]))
    talk.server.send(talk.server.headers(1, ok()))
    server = WsConnection(ConnectionType.SERVER, [])
    talk.server.send(data(1, server.send(TextMessage("one"))))
    talk.server.lose(data(1, server.send(TextMessage("lost"))), data(3, b"other"))
    talk.server.send(data(1, server.send(TextMessage("three is a message of some length"))))
    talk.server.send(data(1, server.send(TextMessage("four"))))
    records = talk.run()
    found = [r for r in records if isinstance(r, ProtocolMessage) and r.protocol == "websocket"]
    assert [bytes(m.payload) for m in found] == [b"one", b"three is a message of some length", b"four"]


def _negotiated() -> PerMessageDeflate:
    extension = PerMessageDeflate()
    extension.finalize("permessage-deflate")
    return extension
