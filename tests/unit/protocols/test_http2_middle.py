"""HTTP/2 from the middle of a connection, and around gaps: what is shown is right, the rest is marked."""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from pathlib import Path

import brotli
import pytest
from hyperframe.frame import PingFrame, WindowUpdateFrame
from tests.unit.protocols.conversation import (
    PROCESS,
    ended,
    exchanges,
    run,
    summaries,
    undecoded,
)
from tests.unit.protocols.http2_talk import Http2Talk, data, get, ok
from wsproto.connection import Connection as WsConnection
from wsproto.connection import ConnectionType
from wsproto.events import TextMessage

from tlstap.protocols.builtin import tlstap_protocols
from tlstap.protocols.http2.sync import find_frames
from tlstap.records import Missing, Opened, Record, UnknownHeader

AGENT = ("user-agent", "a program")


def from_record(talk: Http2Talk, number: int) -> list[Record]:
    """What is seen of a conversation when tracing begins before its record of that number."""
    opened = Opened(talk.talk.connection, PROCESS, 0, from_start=False)
    return run([opened, *talk.talk.records[number:]], protocols=tlstap_protocols())


def test_a_connection_found_after_its_first_requests() -> None:
    """Their headers are in the dynamic table, and later requests only refer to them."""
    talk = Http2Talk()
    talk.exchange(1, "/1", b"one", AGENT).exchange(3, "/2", b"two", AGENT)
    attached = len(talk.talk.records)
    talk.exchange(5, "/3", b"three", AGENT, ("x-new", "v"))
    talk.exchange(7, "/4", b"four", AGENT, ("x-new", "v"))
    third, fourth = exchanges(from_record(talk, attached))
    for exchange, target, body in ((third, "/3", b"three"), (fourth, "/4", b"four")):
        request, response = exchange.request, exchange.response
        assert request is not None and response is not None
        assert (request.method, request.scheme, request.target) == ("GET", "https", target)
        # :authority was sent as a reference to an entry that was not seen.
        assert request.authority is None
        assert request.headers == [("x-new", "v")]
        assert request.unknown_headers == [UnknownHeader(0, None, None), UnknownHeader(0, None, None)]
        assert (response.status, response.headers) == (200, [("x-new", "v")])
        assert response.unknown_headers == [UnknownHeader(0, None, None)]
        assert bytes(response.body) == body
        assert exchange.missing == [
            Missing("request headers", "not seen"),
            Missing("response headers", "not seen"),
        ]


def test_the_table_recovers() -> None:
    """Once the encoder has replaced its entries, everything is known again."""
    talk = Http2Talk()
    talk.exchange(1, "/1", b"", AGENT)
    attached = len(talk.talk.records)
    for number in range(40):
        # Each request adds entries, until those from before are evicted and AGENT is sent anew.
        talk.exchange(2 * number + 3, f"/{number}", b"", ("x-filler", f"{number}" + "f" * 300), AGENT)
    found = exchanges(from_record(talk, attached))
    assert found[0].request is not None and found[0].request.unknown_headers
    last = found[-1]
    assert last.missing == []
    assert last.request is not None
    assert last.request.authority == "example.org"
    assert last.request.headers == [("x-filler", "39" + "f" * 300), AGENT]


def test_a_name_that_is_known_by_reference_only() -> None:
    talk = Http2Talk()
    talk.exchange(1, "/1", b"", ("x-id", "1"))
    attached = len(talk.talk.records)
    talk.exchange(3, "/2", b"", ("x-id", "2"))
    [exchange] = exchanges(from_record(talk, attached))
    assert exchange.request is not None
    authority, x_id = exchange.request.unknown_headers
    assert (authority, x_id) == (UnknownHeader(0, None, None), UnknownHeader(0, None, "2"))
    assert exchange.request.headers == []


def test_attached_within_a_download() -> None:
    """The frames of the running download are found at the next boundary, whatever the calls' borders are."""
    payload = random.Random(7).randbytes(200_000)
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/big"), end=True))
    talk.server.send(talk.server.headers(1, ok(("content-length", "200000"))))
    stream = b"".join(data(1, payload[at : at + 8192]).serialize() for at in range(0, len(payload), 8192))
    for at in range(0, len(stream), 4096):
        talk.server.send(stream[at : at + 4096])
        if at == 12 * 4096:
            talk.client.send(WindowUpdateFrame(0, 65535), WindowUpdateFrame(1, 65535))
    talk.server.send(data(1, b"", end=True))
    attached = 10
    talk.exchange(3, "/small", b"after")
    # The client's half is recognised by its window updates.
    records = from_record(talk, attached)
    first, second = exchanges(records)
    body = bytes(first.response.body) if first.response else b""
    assert body and payload.endswith(body)
    assert len(body) > 100_000
    assert first.missing == [
        Missing("response headers", "not seen"),
        Missing("request", "not seen"),
        Missing("response body", "not seen"),
    ]
    assert second.response is not None and bytes(second.response.body) == b"after"


def test_bytes_that_are_no_frames_are_shown_as_they_are() -> None:
    """With ALPN the connection is known to be HTTP/2, though no frame is found."""
    talk = Http2Talk(greet=False, from_start=False)
    talk.talk.connection.alpn = "h2"
    noise = random.Random(3).randbytes(10_000)
    talk.server.send(noise)
    talk.server.send(PingFrame(0, b"01234567"))
    records = talk.run()
    assert undecoded(records, "read") == noise
    assert not exchanges(records)


# Gaps


def test_a_gap_inside_data_costs_these_bytes() -> None:
    talk = Http2Talk()
    for stream in (1, 3):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}", AGENT), end=True))
    talk.server.send(talk.server.headers(1, ok(AGENT)), talk.server.headers(3, ok(AGENT)))
    # The second half of the frame is lost, and nothing else.
    talk.server.send(data(1, b"a" * 100), cut=50)
    talk.server.send(data(3, b"three", end=True), data(1, b"end", end=True))
    talk.exchange(5, "/5", b"five", AGENT)
    assert summaries(talk.run()) == [
        "GET /3 b'' -> 200 b'three'",
        f"GET /1 b'' -> 200 {b'a' * 50 + b'end'!r} [response body lost 50]",
        "GET /5 b'' -> 200 b'five'",
    ]


def test_a_gap_of_whole_frames_costs_the_streams_it_may_have_touched() -> None:
    """Stream 1 is open, so bytes of it may be lost; 3 ended before, 5 began after it."""
    talk = Http2Talk()
    for stream in (1, 3, 5):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}"), end=True))
    talk.server.send(talk.server.headers(1, ok()), data(1, b"one"))
    talk.server.send(talk.server.headers(3, ok()), data(3, b"three", end=True))
    talk.server.lose(data(1, b"lost"), data(7, b"lost"))
    talk.server.send(data(1, b"!", end=True), talk.server.headers(5, ok()), data(5, b"five", end=True))
    records = talk.run()
    assert summaries(records) == [
        "GET /3 b'' -> 200 b'three'",
        "GET /1 b'' -> 200 b'one!' [response body lost]",
        "GET /5 b'' -> 200 b'five'",
    ]
    assert [record.complete for record in ended(records)] == [True, False, True]


@pytest.mark.parametrize("proof", ["content-length", "gzip"])
def test_a_body_that_is_proven_whole_is_not_doubted(proof: str) -> None:
    talk = Http2Talk()
    body = b"whole" if proof == "content-length" else gzip.compress(b"whole")
    header = ("content-length", "5") if proof == "content-length" else ("content-encoding", "gzip")
    for stream in (1, 3):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}"), end=True))
    talk.server.send(talk.server.headers(1, ok(header)), data(1, body[:3]))
    talk.server.lose(data(3, b"some"))
    talk.server.send(PingFrame(0, bytes(8)), data(1, body[3:], end=True))
    assert summaries(talk.run())[0] == "GET /1 b'' -> 200 b'whole'"


def test_the_end_of_a_stream_in_a_gap() -> None:
    """Its length is known, so it ends where that is reached, not with the connection."""
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/1"), end=True))
    talk.server.send(talk.server.headers(1, ok(("content-length", "4"))), data(1, b"on"))
    talk.server.lose(PingFrame(0, bytes(8)))
    talk.server.send(PingFrame(0, bytes(8)), data(1, b"e!"))
    talk.server.lose(data(1, b"", end=True))
    talk.exchange(3, "/3", b"three")
    assert summaries(talk.run()) == ["GET /1 b'' -> 200 b'one!'", "GET /3 b'' -> 200 b'three'"]


def test_lost_requests() -> None:
    """Responses show that there were some; the headers that they added to the table are unknown."""
    talk = Http2Talk()
    talk.exchange(1, "/1", b"one", AGENT)
    lost = talk.client.headers(3, get("/2", ("x-lost", "v")), end=True)
    talk.talk.lose("write", len(lost))
    talk.server.send(talk.server.headers(3, ok()), data(3, b"two", end=True))
    talk.client.send(talk.client.headers(5, get("/3", AGENT, ("x-lost", "v")), end=True))
    talk.server.send(talk.server.headers(5, ok(AGENT)), data(5, b"three", end=True))
    records = talk.run()
    first, second, third = exchanges(records)
    assert first.missing == []
    assert second.request is None
    assert second.missing == [Missing("request", "not seen")] or second.missing == [
        Missing("request", "lost")
    ]
    assert third.missing == [Missing("request headers", "lost")]
    assert third.request is not None
    assert (third.request.target, third.request.headers) == ("/3", [])
    assert third.request.unknown_headers == [UnknownHeader(0, None, None)] * 3


def test_a_gap_in_a_header_block() -> None:
    talk = Http2Talk()
    head = talk.client.headers(1, get("/x", ("x-a", "1" * 40)), end=True)
    talk.client.send(head, cut=10)
    talk.server.send(talk.server.headers(1, ok()), data(1, b"x", end=True))
    talk.exchange(3, "/y", b"y")
    records = talk.run()
    assert summaries(records) == [
        "None None b'' -> 200 b'x' [request headers lost]",
        "GET /y b'' -> 200 b'y' [request headers lost]",
    ]


def test_a_response_in_a_gap() -> None:
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/1"), end=True))
    talk.talk.lose("read", len(talk.server.headers(1, ok()) + data(1, b"one", end=True).serialize()))
    talk.exchange(3, "/3", b"three")
    assert summaries(talk.run()) == [
        "GET /3 b'' -> 200 b'three'",
        "GET /1 b'' -> - [response lost]",
    ]


# Finding frames


def test_frames_are_found_at_every_place_in_noise() -> None:
    talk = Http2Talk()
    frames = talk.client.headers(9, get("/found", AGENT), end=True) + WindowUpdateFrame(0, 5).serialize()
    for seed in range(200):
        noise = random.Random(seed).randbytes(seed)
        place = find_frames(noise + frames, 0, {0}, ())
        assert place is not None
        assert (place.at, place.certain) == (seed, True)


@pytest.mark.parametrize(
    "bulk",
    [
        bytes(300_000),
        b"\x00\x01" * 100_000,
        b"\x00\x00\x00\x01" * 50_000,
        b"\x00\x00\x10" * 60_000,
        b"".join(number.to_bytes(4, "big") for number in range(60_000)),
        b"".join(number.to_bytes(8, "big") for number in range(30_000)),
        b"".join(number.to_bytes(4, "little") for number in range(60_000)),
        hashlib.shake_128(b"random").digest(1 << 20),
        Path("/usr/bin/python3").read_bytes()[: 1 << 20],
    ],
    ids=["zeros", "u16", "u32", "u24", "counter32", "counter64", "little", "random", "program"],
)
def test_nothing_is_found_in_other_data(bulk: bytes) -> None:
    place = find_frames(bulk, 0, {0}, (), ended=True)
    assert place is None


def test_drips_are_no_hazard() -> None:
    """Byte by byte, from the middle and from the start, comes the same."""
    whole = Http2Talk()
    whole.exchange(1, "/1", b"x" * 500, AGENT).exchange(3, "/2", b"y" * 500, AGENT)
    drips = Http2Talk(greet=False)
    for record in whole.talk.records[1:]:
        for byte in record.payload:  # type: ignore[union-attr]
            drips.talk.move(record.direction, bytes([byte]))  # type: ignore[union-attr]
    assert summaries(drips.run()) == summaries(whole.run())


# Found with recorded connections of browsers, of which parts were left out


def test_a_compressed_body_is_not_inflated_across_what_may_be_missing() -> None:
    """Deflate can go on behind lost bytes, with other text than was sent. Only a checksum tells."""
    text = b"".join(b"%d sheep, " % number for number in range(4000))
    coded = gzip.compress(text)
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/1"), end=True))
    talk.server.send(talk.server.headers(1, ok(("content-encoding", "gzip"))))
    third = len(coded) // 3
    talk.server.send(data(1, coded[:third]))
    talk.server.lose(data(1, coded[third : 2 * third]))
    talk.server.send(PingFrame(0, bytes(8)), data(1, coded[2 * third :], end=True))
    [exchange] = exchanges(talk.run())
    assert exchange.response is not None
    body = bytes(exchange.response.body)
    assert body and text.startswith(body)
    assert exchange.response.body_bytes == len(body)
    assert {(item.part, item.reason) for item in exchange.missing} == {("response body", "not decodable")}


@pytest.mark.parametrize("coding", ["br", "deflate"])
def test_without_a_checksum_the_length_tells(coding: str) -> None:
    text = b"text" * 1000
    if coding == "br":
        coded = brotli.compress(text)
    else:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        coded = packer.compress(text) + packer.flush()
    talk = Http2Talk()
    for stream, length in ((1, str(len(coded))), (3, "")):
        talk.client.send(talk.client.headers(stream, get(f"/{stream}"), end=True))
        more = [("content-length", length)] if length else []
        talk.server.send(talk.server.headers(stream, ok(("content-encoding", coding), *more)))
    talk.server.send(data(1, coded[:8]), data(3, coded[:8]))
    talk.server.lose(data(5, b"some"))
    talk.server.send(PingFrame(0, bytes(8)), data(1, coded[8:], end=True), data(3, coded[8:], end=True))
    known, unknown = exchanges(talk.run())
    assert known.response is not None and unknown.response is not None
    assert bytes(known.response.body) == text
    assert known.missing == []
    assert text.startswith(bytes(unknown.response.body))
    assert len(unknown.response.body) < len(text)
    assert {(item.part, item.reason) for item in unknown.missing} == {("response body", "not decodable")}


def test_only_trailers_are_seen_of_a_response() -> None:
    talk = Http2Talk()
    talk.exchange(1, "/1", b"", ("grpc-status", "0"))
    talk.client.send(talk.client.headers(3, get("/2"), end=True))
    talk.server.send(talk.server.headers(3, ok()), data(3, b"body"))
    attached = len(talk.talk.records)
    talk.server.send(talk.server.headers(3, [("grpc-status", "0"), ("grpc-message", "")], end=True))
    talk.exchange(5, "/3", b"three")
    found = exchanges(from_record(talk, attached))
    response = found[0].response
    assert response is not None
    assert (response.status, response.headers) == (None, [])
    assert response.trailers == [("grpc-message", "")]
    assert [(item.part, item.reason) for item in found[0].missing] == [
        ("request", "not seen"),
        ("response headers", "not seen"),
        ("response body", "not seen"),
    ]


def test_a_websocket_inside_is_not_the_connection() -> None:
    """A program reads headers and payloads by separate calls; the first call seen is a payload."""
    talk = Http2Talk()
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat")]
    talk.client.send(talk.client.headers(1, [*connect, (":authority", "h")]))
    talk.server.send(talk.server.headers(1, ok()))
    server = WsConnection(ConnectionType.SERVER, [])
    attached = len(talk.talk.records) + 1
    for text in ("a message of the server's", "another one"):
        frame = data(1, server.send(TextMessage(text))).serialize()
        talk.server.send(frame[:9]).send(frame[9:])
    for number in range(3, 9, 2):
        talk.exchange(number, f"/{number}", b"body")
    targets = [
        exchange.request.target
        for exchange in exchanges(from_record(talk, attached))
        if exchange.request is not None and exchange.stream_id != 1
    ]
    assert targets == ["/3", "/5", "/7"]
