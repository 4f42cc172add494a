"""gRPC and gRPC-Web bodies: framing, compression, losses, bounds, and whole conversations of gRPC-Web."""

from __future__ import annotations

import base64
import gzip
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.conversation import PROCESS, Conversation, connection, exchanges, run
from tests.unit.protocols.protoc import GREETER, descriptors, encoded, write

from tlstap.protocols.body_formats import BodyReader, Part
from tlstap.protocols.grpc.format import Grpc
from tlstap.protocols.grpc.reader import MAX_TRAILERS
from tlstap.protocols.memory import Allowance, Pool
from tlstap.records import Exchange, Message, Missing, ProtocolMessage

PATH = "/example.greeting.Greeter/SayHello"
NAMES = {"service": "example.greeting.Greeter", "method": "SayHello"}
MESSAGE = b"\x08\x96\x01"
FIELDS = [{"number": 1, "type": "varint", "value": 150}]


def frame(payload: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(payload).to_bytes(4, "big") + payload


def reader(
    content_type: str = "application/grpc",
    encoding: str = "",
    *,
    is_request: bool = False,
    target: str | None = PATH,
    protosets: Sequence[bytes] = (),
    pool: Pool | None = None,
) -> BodyReader | None:
    request, response = Message(True, "POST", target=target), Message(False, status=200)
    message = request if is_request else response
    message.headers = [("Content-Type", content_type), ("grpc-encoding", encoding)]
    exchange = Exchange(connection(), PROCESS, "HTTP/2", 1, request, response)
    return Grpc(protosets).reader(exchange, message, Allowance(pool or Pool()))


def read(*pieces: bytes | int | None, pool: Pool | None = None, **options: Any) -> list[Part]:
    """What a body of these pieces says; a number is a gap of that size, None one of unknown size."""
    pool = pool or Pool()
    body = reader(pool=pool, **options)
    assert body is not None
    parts: list[Part] = []
    for piece in pieces:
        parts += body.feed(piece) if isinstance(piece, bytes) else body.gap(piece)
    parts += body.finish(unfinished=False)
    assert pool.left == pool.total
    for part in parts:
        # Only an estimate, which has its own test.
        part.weight = 0
    return parts


def part(
    payload: bytes,
    *missing: Missing,
    type: str = "response",  # noqa: A002
    size: int | None = None,
    names: dict[str, Any] = NAMES,
    **details: Any,
) -> Part:
    return Part(type, payload, len(payload) if size is None else size, names | details, list(missing))


# Which bodies


@pytest.mark.parametrize(
    "content_type",
    ["application/grpc", "application/grpc+proto", "Application/GRPC ; charset=x", "application/grpc+json",
     "application/grpc+thrift", "application/grpc-web", "application/grpc-web+proto",
     "application/grpc-web-text", "application/grpc-web-text+proto"],
)  # fmt: skip
@pytest.mark.parametrize("is_request", [True, False])
def test_bodies_that_are_grpc(content_type: str, is_request: bool) -> None:
    assert reader(content_type, is_request=is_request) is not None


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/grpcs", "application/grpc-status", "application/grpc-web-texts",
     "text/application/grpc"],
)  # fmt: skip
def test_bodies_that_are_not(content_type: str) -> None:
    assert reader(content_type) is None


# Messages


def test_messages() -> None:
    assert read(frame(MESSAGE) + frame(b"") + frame(b"\x12\x01x")) == [
        part(MESSAGE, fields=FIELDS),
        part(b"", fields=[]),
        part(b"\x12\x01x", fields=[{"number": 2, "type": "len", "value": "x"}]),
    ]


def test_requests() -> None:
    assert read(frame(MESSAGE), is_request=True) == [part(MESSAGE, type="request", fields=FIELDS)]


def test_a_message_is_given_out_with_its_last_byte() -> None:
    body = reader()
    assert body is not None
    stream = frame(MESSAGE)
    for at in range(len(stream) - 1):
        assert [*body.feed(stream[at : at + 1])] == []
    assert [found.payload for found in body.feed(stream[-1:])] == [MESSAGE]
    # One of no length ends with its prefix.
    assert [*body.feed(b"\0\0\0\0")] == []
    assert [found.payload for found in body.feed(b"\0")] == [b""]


def test_what_is_no_protocol_buffers_has_no_fields() -> None:
    assert read(frame(b"hello")) == [part(b"hello")]


def test_another_codec() -> None:
    assert read(frame(MESSAGE), content_type="application/grpc+thrift") == [part(MESSAGE)]
    assert read(frame(b'{"a":1}'), content_type="application/grpc+json") == [part(b'{"a":1}')]


def test_many_fields_are_cut() -> None:
    (found,) = read(frame(b"\x08\x01" * 1001))
    assert found == part(
        b"\x08\x01" * 1001, fields=[{"number": 1, "type": "varint", "value": 1}] * 1000, fields_cut=True
    )


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("/a.B/C", {"service": "a.B", "method": "C"}),
        ("/api/v1/a.B/C?x=/y/z", {"service": "a.B", "method": "C"}),
        ("https://example.com/a.B/C", {"service": "a.B", "method": "C"}),
        ("/C", {}),
        ("C", {}),
        ("/a.B/", {}),
        ("", {}),
        (None, {}),
    ],
)
def test_service_and_method(target: str | None, names: dict[str, Any]) -> None:
    assert read(frame(b"hello"), target=target) == [part(b"hello", names=names)]


def test_a_request_that_is_not_known_yet() -> None:
    response = Message(False, status=200)
    response.headers = [("content-type", "application/grpc")]
    exchange = Exchange(connection(), PROCESS, "HTTP/2", 1, None, response)
    body = Grpc().reader(exchange, response, Allowance(Pool()))
    assert body is not None
    assert [found.details for found in body.feed(frame(b"hello"))] == [{}]
    exchange.request = Message(True, target=PATH)
    assert [found.details for found in body.feed(frame(b"hello"))] == [NAMES]


# Compression


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), (" GZIP ", gzip.compress)]
)
def test_compressed_messages(encoding: str, pack: Any) -> None:
    stream = frame(pack(MESSAGE), 1) + frame(MESSAGE) + frame(pack(b""), 1) + frame(b"", 1)
    assert read(stream, encoding=encoding) == [
        part(MESSAGE, compressed=True, fields=FIELDS),
        part(MESSAGE, fields=FIELDS),
        part(b"", compressed=True, fields=[]),
        part(b"", compressed=True, fields=[]),
    ]


NOT_DECODABLE = Missing("message", "not decodable")


@pytest.mark.parametrize("encoding", ["", "identity", "snappy", "gzip, gzip"])
def test_an_unknown_compression_leaves_the_message_as_it_is(encoding: str) -> None:
    assert read(frame(MESSAGE, 1), encoding=encoding) == [part(MESSAGE, NOT_DECODABLE, compressed=True)]


def test_what_is_not_compressed_as_it_says() -> None:
    assert read(frame(b"no gzip", 1), encoding="gzip") == [part(b"no gzip", NOT_DECODABLE, compressed=True)]
    packed = gzip.compress(MESSAGE)
    (found,) = read(frame(packed[:-1], 1), encoding="gzip")
    assert found == part(MESSAGE, NOT_DECODABLE, compressed=True)


# Bounds


def test_a_message_beyond_the_limit_is_cut_and_the_next_one_is_whole() -> None:
    over = Missing("message", "over the limit", 990)
    for step in (1, 7, 5000):
        stream = frame(b"x" * 1000) + frame(MESSAGE)
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        assert read(*pieces, pool=Pool(100, 10)) == [
            part(b"x" * 10, over, size=1000),
            part(MESSAGE, fields=FIELDS),
        ]


def test_without_memory_messages_are_told_with_nothing_in_them() -> None:
    assert read(frame(MESSAGE), pool=Pool(0)) == [part(b"", Missing("message", "over the limit", 3), size=3)]


def test_a_length_alone_takes_no_memory() -> None:
    pool = Pool()
    body = reader(pool=pool)
    assert body is not None
    assert [*body.feed(b"\0\xff\xff\xff\xff" + b"x" * 10)] == []
    assert pool.total - pool.left <= 4096
    assert [found.missing for found in body.finish(unfinished=True)] == [
        [Missing("message", "unfinished", 2**32 - 11)]
    ]
    assert pool.left == pool.total


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_cut(encoding: str) -> None:
    packed = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(100 << 20))
    start = time.process_time()
    found, following = read(
        frame(packed, 1) + frame(MESSAGE), encoding=encoding, pool=Pool(256 << 20, 1 << 20)
    )
    assert found.payload == bytes(1 << 20)
    # Noticed while it unfolds.
    assert 1 << 20 < found.size <= (1 << 20) + 65536
    assert found.missing == [Missing("message", "over the limit")]
    assert following == part(MESSAGE, fields=FIELDS)
    assert time.process_time() - start < 5


def test_time_is_linear_in_drips() -> None:
    stream = frame(b"\x12\xc0\x84\x3d" + b"x" * 1_000_000)
    start = time.process_time()
    (found,) = read(*(stream[at : at + 1] for at in range(len(stream))))
    assert found.size == 1_000_004
    assert time.process_time() - start < 20


def test_weight_is_about_what_the_details_take() -> None:
    body = reader()
    assert body is not None
    (small,) = body.feed(frame(MESSAGE))
    (large,) = body.feed(frame(b"\x08\x01" * 900 + b"\x12\x90\x4e" + b"x" * 10_000))
    assert 500 < small.weight < 1500
    assert 200_000 < large.weight < 1_000_000


# Losses


def lost(size: int | None) -> Missing:
    return Missing("message", "lost", size)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # Inside a message: its end is known.
        ((frame(b"hello world")[:10], 3, b"rld" + frame(MESSAGE)),
         [part(b"hello", lost(3), size=11), part(MESSAGE, fields=FIELDS)]),
        ((frame(b"hello world")[:5], 11, frame(MESSAGE)),
         [part(b"", lost(11), size=11), part(MESSAGE, fields=FIELDS)]),
        ((frame(b"hello world")[:7], 3, b" w", 2, b"ld" + frame(MESSAGE)),
         [part(b"he", lost(5), size=11), part(MESSAGE, fields=FIELDS)]),
        # Beyond its end: nobody knows where a message begins.
        ((frame(b"hello world")[:10], 7, frame(MESSAGE)), [part(b"hello", lost(7), size=11)]),
        ((frame(b"hello world")[:10], 1, 6, frame(MESSAGE)), [part(b"hello", lost(7), size=11)]),
        # Between messages, and in a prefix.
        ((frame(MESSAGE), 8, frame(MESSAGE)), [part(MESSAGE, fields=FIELDS), part(b"", lost(8))]),
        ((frame(MESSAGE)[:3], 1, frame(MESSAGE)), [part(b"", lost(1))]),
        ((frame(MESSAGE), 0, frame(MESSAGE)), [part(MESSAGE, fields=FIELDS)] * 2),
        # Of unknown size: one loss, whatever comes then.
        ((frame(MESSAGE) + b"\0\0", None, frame(MESSAGE), 5, None),
         [part(MESSAGE, fields=FIELDS), part(b"", lost(None))]),
        ((frame(b"hello world")[:7], 3, None, frame(MESSAGE)), [part(b"he", lost(None), size=11)]),
        # The end.
        ((frame(MESSAGE)[:4],), [part(b"", Missing("message", "unfinished"))]),
        ((frame(b"hello")[:7],), [part(b"he", Missing("message", "unfinished", 3), size=5)]),
        ((frame(b"hello")[:7], 1),
         [part(b"he", Missing("message", "unfinished", 2), lost(1), size=5)]),
    ],
)  # fmt: skip
def test_losses(pieces: tuple[bytes | int | None, ...], expected: list[Part]) -> None:
    assert read(*pieces) == expected


def test_a_compressed_message_with_a_gap_is_decoded_up_to_there() -> None:
    data = bytes(range(256)) * 64
    packed = gzip.compress(data, 0)
    stream = frame(packed, 1)
    found, following = read(stream[:5000], 100, stream[5100:] + frame(MESSAGE), encoding="gzip")
    assert found.payload == data[: len(found.payload)]
    assert 4000 < len(found.payload) < 5000
    assert (found.missing, following) == ([lost(100)], part(MESSAGE, fields=FIELDS))


@pytest.mark.parametrize("flags", [2, 0x80, 0x81, 0xFF])
def test_what_is_no_grpc_ends_the_reading(flags: int) -> None:
    assert read(frame(MESSAGE) + frame(MESSAGE, flags) + frame(MESSAGE)) == [
        part(MESSAGE, fields=FIELDS),
        part(b"", NOT_DECODABLE),
    ]


# gRPC-Web

TRAILERS = b"grpc-status: 0\r\ngrpc-message:\r\nX-Id:a:b\r\n"
PAIRS = [["grpc-status", "0"], ["grpc-message", ""], ["X-Id", "a:b"]]


def trailers(payload: bytes = TRAILERS, pairs: list[list[str]] = PAIRS, **details: Any) -> Part:
    return part(payload, type="trailers", names={}, trailers=pairs, **details)


def test_trailers() -> None:
    stream = frame(MESSAGE) + frame(TRAILERS, 0x80)
    assert read(stream, content_type="application/grpc-web") == [part(MESSAGE, fields=FIELDS), trailers()]


def test_compressed_trailers() -> None:
    stream = frame(gzip.compress(TRAILERS), 0x81)
    assert read(stream, content_type="application/grpc-web+proto", encoding="gzip") == [trailers()]


def test_odd_trailers() -> None:
    block = b"a\r\n\r\n:b\r\nc:\xe9\r\nd:\xc3\xa9"
    expected = [["a", ""], ["c", "é"], ["d", "é"]]
    assert read(frame(block, 0x80), content_type="application/grpc-web") == [trailers(block, expected)]
    many = b"a\r\n" * MAX_TRAILERS
    (found,) = read(frame(many, 0x80), content_type="application/grpc-web")
    assert found.payload == many
    assert found.details == {
        "trailers": [["a", ""]] * (MAX_TRAILERS // 3) + [["a", ""]],
        "trailers_cut": True,
    }


def test_trailers_with_a_gap() -> None:
    stream = frame(TRAILERS, 0x80)
    assert read(stream[:9], 5, stream[14:], content_type="application/grpc-web") == [
        part(b"grpc", lost(5), type="trailers", names={}, size=len(TRAILERS), trailers=[["grpc", ""]])
    ]


TEXT = "application/grpc-web-text"


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_web_text(step: int) -> None:
    whole = base64.b64encode(frame(MESSAGE) + frame(TRAILERS, 0x80))
    # Envoy and others encode what they have: padding stands in the middle.
    several = b"".join(
        base64.b64encode(piece) for piece in (frame(MESSAGE)[:1], frame(MESSAGE)[1:], frame(TRAILERS, 0x80))
    )
    assert several.count(b"=") > 2
    for text in (whole, several, whole[:10] + b"\r\n" + whole[10:]):
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        assert read(*pieces, content_type=TEXT) == [part(MESSAGE, fields=FIELDS), trailers()]


@pytest.mark.parametrize("text", [b"====", b"A===", b"AA=A", b"????", b"AAA\xff", b"AAAA="])
def test_what_is_no_base64(text: bytes) -> None:
    good = base64.b64encode(frame(b"hello world"))
    found = read(good, text + b"AAAA", good, content_type=TEXT)
    assert found[0] == part(b"hello world")
    assert found[1:] == [part(b"", NOT_DECODABLE)]


def test_web_text_that_ends_early() -> None:
    text = base64.b64encode(frame(b"hello"))
    unfinished = Missing("message", "unfinished", 1)
    assert read(text[:-4], content_type=TEXT) == [part(b"hell", unfinished, size=5)]
    assert read(b"AA", content_type=TEXT) == [part(b"", Missing("message", "unfinished"))]


def test_a_gap_in_web_text_ends_the_reading() -> None:
    text = base64.b64encode(frame(b"hello"))
    assert read(text[:12], 4, text * 2, content_type=TEXT) == [part(b"hell", lost(None), size=5)]


# Schemas


@pytest.fixture(scope="module")
def greeter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("greeter")
    write(folder, {"greeter.proto": GREETER})
    return folder, descriptors(folder, "greeter.proto")


def test_messages_with_a_schema(greeter: tuple[Path, bytes]) -> None:
    folder, schema = greeter
    request = encoded(folder, "greeter.proto", "example.greeting.HelloRequest", 'name: "Ada" count: 3')
    reply = encoded(folder, "greeter.proto", "example.greeting.HelloReply", 'text: "hi" to { name: "Ada" }')
    asked = {"name": "Ada", "count": "3"}
    assert read(frame(request), is_request=True, protosets=[schema]) == [
        part(request, type="request", message=asked)
    ]
    assert read(frame(gzip.compress(reply), 1), encoding="gzip", protosets=[schema]) == [
        part(reply, compressed=True, message={"text": "hi", "to": [{"name": "Ada"}]})
    ]
    names = {"service": "example.greeting.Greeter", "method": "Chat"}
    assert (
        read(frame(request) * 2, is_request=True, target="/example.greeting.Greeter/Chat", protosets=[schema])
        == [part(request, type="request", names=names, message=asked)] * 2
    )


def test_messages_that_the_schema_does_not_fit(greeter: tuple[Path, bytes]) -> None:
    (found,) = read(frame(b"\x0a\x01\xff"), protosets=[greeter[1]])
    assert found == part(
        b"\x0a\x01\xff",
        schema_error="Error parsing message with type 'example.greeting.HelloReply': "
        "String field had bad UTF-8",
        fields=[{"number": 1, "type": "len", "value": {"base64": "/w=="}}],
    )


def test_methods_that_the_schema_does_not_have(greeter: tuple[Path, bytes]) -> None:
    names = {"service": "a.B", "method": "C"}
    assert read(frame(MESSAGE), target="/a.B/C", protosets=[greeter[1]]) == [
        part(MESSAGE, names=names, fields=FIELDS)
    ]


def test_a_schema_that_is_none() -> None:
    assert read(frame(MESSAGE), protosets=[b"nonsense"]) == [part(MESSAGE, fields=FIELDS)]


# Properties

FRAMES = st.lists(
    st.builds(frame, st.binary(max_size=12), st.sampled_from([0, 1]))
    | st.binary(max_size=12).map(lambda data: frame(gzip.compress(data), 1))
    | st.just(frame(TRAILERS, 0x80)),
    max_size=5,
).map(b"".join)
TYPES = st.sampled_from(["application/grpc", "application/grpc-web+proto", TEXT])


@settings(deadline=None)
@given(FRAMES | st.binary(max_size=40), TYPES, st.lists(st.integers(1, 9), min_size=1))
def test_borders_of_pieces_do_not_matter(stream: bytes, content_type: str, sizes: list[int]) -> None:
    if content_type == TEXT:
        stream = base64.b64encode(stream)
    pieces: list[bytes] = []
    at = 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    options: dict[str, Any] = {"content_type": content_type, "encoding": "gzip"}
    assert read(*pieces, **options) == read(stream, **options)


@settings(deadline=None)
@given(
    st.lists(FRAMES | st.binary(max_size=20) | st.integers(0, 9) | st.none()),
    TYPES,
    st.sampled_from(["", "gzip", "deflate", "br", "zstd", "x"]),
    st.integers(0, 50),
)
def test_arbitrary_bytes_and_gaps(
    pieces: list[bytes | int | None], content_type: str, encoding: str, limit: int
) -> None:
    parts = read(*pieces, content_type=content_type, encoding=encoding, pool=Pool(3 * limit, limit))
    assert all(len(found.payload) <= limit and found.size >= len(found.payload) for found in parts)


# Whole conversations


def test_a_conversation(greeter: tuple[Path, bytes]) -> None:
    folder, schema = greeter
    asked = frame(encoded(folder, "greeter.proto", "example.greeting.HelloRequest", 'name: "Ada"'))
    answer = encoded(folder, "greeter.proto", "example.greeting.HelloReply", 'text: "hi"')
    answered = [frame(answer), frame(TRAILERS, 0x80)]
    head = f"POST /api{PATH} HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web+proto\r\n"
    talk = Conversation().write(f"{head}Content-Length: {len(asked)}\r\n\r\n".encode() + asked)
    talk.read(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for piece in answered:
        talk.read(b"%x\r\n%s\r\n" % (len(piece), piece))
    records = run(talk.read(b"0\r\n\r\n").close().records, formats=[Grpc([schema])])
    request, response, end = [record for record in records if isinstance(record, ProtocolMessage)]
    assert (request.protocol, request.type, request.direction, request.payload) == (
        "grpc",
        "request",
        "write",
        asked[5:],
    )
    assert request.details == NAMES | {"message": {"name": "Ada"}}
    assert (response.type, response.direction, response.payload, response.time_ns) == (
        "response",
        "read",
        answer,
        3,
    )
    assert response.details == NAMES | {"message": {"text": "hi"}}
    assert (end.type, end.payload, end.details, end.time_ns) == ("trailers", TRAILERS, {"trailers": PAIRS}, 4)
    (exchange,) = exchanges(records)
    assert request.exchange is response.exchange is end.exchange is exchange
    assert (exchange.body_format, exchange.missing) == ("grpc", [])
    assert exchange.response is not None
    assert exchange.response.body == b"".join(answered)


def test_a_loss_in_a_conversation() -> None:
    body = frame(b"hello world") + frame(MESSAGE)
    talk = Conversation().write(b"GET /a.B/C HTTP/1.1\r\nHost: h\r\n\r\n")
    talk.read(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    records = run(talk.read(body[:8]).lose("read", 4).read(body[12:]).close().records, formats=[Grpc()])
    found = [record for record in records if isinstance(record, ProtocolMessage)]
    assert [(message.payload, message.size, message.missing) for message in found] == [
        (b"hel", 11, [lost(4)]),
        (MESSAGE, 3, []),
    ]


def test_bombs_in_a_bomb_are_not_all_unpacked() -> None:
    """A compressed body of compressed messages: a record of 16 KiB could stand for gigabytes."""
    bomb = frame(gzip.compress(bytes(8 << 20)), 1)
    packed = gzip.compress(bomb * 200)
    assert len(packed) < 16384
    talk = Conversation().write(b"GET /a.B/C HTTP/1.1\r\nHost: h\r\n\r\n")
    talk.read(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Encoding: gzip\r\n"
        b"grpc-encoding: gzip\r\n\r\n" + packed
    )
    records = run(talk.close().records, formats=[Grpc()])
    found = [record for record in records if isinstance(record, ProtocolMessage)]
    assert [len(message.payload) for message in found] == [8 << 20] * 9 + [0]
    assert found[-1].missing == [Missing("message", "over the limit")]
