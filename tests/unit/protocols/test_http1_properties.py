"""HTTP/1 whatever the records' borders, whatever is lost, whatever the bytes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.conversation import Conversation, exchanges, run, summary, undecoded

from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.http1.decoder import Http1
from tlstap.records import Data, Direction, Exchange, Record, TraceRecord, Undecoded


@dataclass
class Turn:
    """A request and its response as bytes, and what each body is."""

    request: bytes
    response: bytes
    sent: bytes
    answered: bytes


def numbered(number: int, size: int) -> bytes:
    """A body of which each part tells where it belongs."""
    return b"".join(b"<%d:%d>" % (number, place) for place in range(size))


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-End: 1\r\n\r\n"


def turn(number: int, method: str, body_size: int, answer: str, answer_size: int) -> Turn:
    sent = numbered(number, body_size) if method == "POST" else b""
    head = f"{method} /{number} HTTP/1.1\r\nHost: h\r\nX-Number: {number}\r\n"
    request = head.encode() + (b"Content-Length: %d\r\n\r\n%s" % (len(sent), sent) if sent else b"\r\n")
    body = numbered(1000 + number, answer_size)
    start = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % number
    match answer:
        case "length":
            fields, wire = b"Content-Length: %d\r\n" % len(body), body
        case "gzip":
            wire = gzip.compress(body, mtime=0)
            fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(wire)
        case "chunked":
            fields, wire = b"Transfer-Encoding: chunked\r\n", chunked(body, 9)
        case "continue":
            request = request.replace(b"Host: h", b"Host: h\r\nExpect: 100-continue")
            start = b"HTTP/1.1 100 Continue\r\n\r\n" + start
            fields, wire = b"Content-Length: %d\r\n" % len(body), body
        case _:
            start = start.replace(b"200 OK", b"204 None")
            fields, wire, body = b"", b"", b""
    if method == "HEAD":
        wire = body = b""
    return Turn(request, start + fields + b"\r\n" + wire, sent, body)


TURNS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "HEAD"]),
        st.integers(0, 12),
        st.sampled_from(["length", "gzip", "chunked", "continue", "none"]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=6,
).map(lambda items: [turn(number, *item) for number, item in enumerate(items)])


def in_pieces(talk: Conversation, direction: Direction, data: bytes, sizes: list[int]) -> None:
    """Move data in calls of the given sizes, taken in turn."""
    while data:
        size = sizes.pop(0)
        sizes.append(size)
        talk.move(direction, data[:size])
        data = data[size:]


def told(found: list[Exchange]) -> list[tuple[object, ...]]:
    """All of an exchange but its times."""
    return [
        (
            summary(exchange),
            [m and m.headers for m in (exchange.request, exchange.response)],
            [m and m.trailers for m in (exchange.request, exchange.response)],
            [m.status for m in exchange.informational],
        )
        for exchange in found
    ]


def checked_run(records: list[TraceRecord], **limits: int) -> list[Record]:
    """Run; a decoder that raised, or memory that was not given back, is a failure."""
    problems: list[str] = []
    pipeline = Pipeline([Http1()], limits=Limits(**limits), on_problem=problems.append)
    out = run(records, pipeline)
    assert problems == []
    assert pipeline._toolbox.pool.left == pipeline._toolbox.pool.total
    return out


@settings(deadline=None)
@given(TURNS, st.lists(st.integers(1, 80), min_size=1, max_size=8), st.booleans())
def test_borders_of_records_do_not_matter(turns: list[Turn], sizes: list[int], pipelined: bool) -> None:
    whole, cut = Conversation(), Conversation()
    groups = [turns] if pipelined else [[item] for item in turns]
    for group in groups:
        requests = b"".join(item.request for item in group)
        responses = b"".join(item.response for item in group)
        whole.write(requests).read(responses)
        in_pieces(cut, "write", requests, sizes)
        in_pieces(cut, "read", responses, sizes)
    expected = checked_run(whole.close().records)
    found = checked_run(cut.close().records)
    assert told(exchanges(found)) == told(exchanges(expected))
    assert undecoded(found, "read") == undecoded(found, "write") == b""
    bodies = [
        (bytes(e.request.body), bytes(e.response.body)) for e in exchanges(found) if e.request and e.response
    ]
    assert bodies == [(item.sent, item.answered) for item in turns]


def number_of(headers: list[tuple[str, str]]) -> int:
    return int(dict(headers)["X-Number"])


def is_part(part: bytes, whole: bytes) -> bool:
    """Can `part` be had from `whole` by leaving bytes out?"""
    rest = iter(whole)
    return all(byte in rest for byte in part)


def check_bodies(exchange: Exchange, turns: list[Turn]) -> None:
    """Nothing invented: each body is a part of the one sent, and is said to be a part."""
    request, response = exchange.request, exchange.response
    lacks = {gap.part for gap in exchange.missing}
    if request is not None:
        sent = turns[number_of(request.headers)].sent
        assert is_part(request.body, sent)
        assert bytes(request.body) == sent or "request body" in lacks
    if response is not None:
        answered = turns[number_of(response.headers)].answered
        coded = any(gap.reason == "not decodable" for gap in exchange.missing)
        assert coded or is_part(response.body, answered)
        assert bytes(response.body) == answered or "response body" in lacks


def check_pair(exchange: Exchange) -> None:
    """The response is the one to that request."""
    request, response = exchange.request, exchange.response
    if request is not None and response is not None:
        assert number_of(request.headers) == number_of(response.headers)


def check_undecoded(out: list[Record], kept: list[TraceRecord]) -> None:
    """What is shown as not understood was captured at the offset that it is said to have."""
    captured = {
        (r.direction, r.offset + at): byte
        for r in kept
        if isinstance(r, Data)
        for at, byte in enumerate(r.payload)
    }
    for r in out:
        if isinstance(r, Undecoded):
            assert [captured[r.direction, r.offset + at] for at in range(len(r.payload))] == list(r.payload)


def turn_by_turn(turns: list[Turn], sizes: list[int]) -> list[TraceRecord]:
    """The records of a client that does not pipeline."""
    talk = Conversation()
    for item in turns:
        in_pieces(talk, "write", item.request, sizes)
        in_pieces(talk, "read", item.response, sizes)
    return talk.close().records


SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(TURNS, SIZES, st.sets(st.integers(0, 60), max_size=8))
def test_scattered_losses_invent_nothing(turns: list[Turn], sizes: list[int], lost: set[int]) -> None:
    records = turn_by_turn(turns, sizes)
    kept = [r for number, r in enumerate(records) if not (isinstance(r, Data) and number in lost)]
    out = checked_run(kept)
    for exchange in exchanges(out):
        if exchange.response is not None:
            answered = turns[number_of(exchange.response.headers)].answered
            coded = any(gap.reason == "not decodable" for gap in exchange.missing)
            assert coded or is_part(exchange.response.body, answered)
    check_undecoded(out, kept)


@settings(max_examples=300, deadline=None)
@given(TURNS, SIZES, st.sets(st.integers(0, 60), max_size=8), st.sampled_from(["read", "write"]))
def test_losses_in_one_direction_do_not_shift_the_pairs(
    turns: list[Turn], sizes: list[int], lost: set[int], direction: Direction
) -> None:
    records = turn_by_turn(turns, sizes)
    kept = [
        r
        for number, r in enumerate(records)
        if not (isinstance(r, Data) and r.direction == direction and number in lost)
    ]
    for exchange in exchanges(checked_run(kept)):
        check_pair(exchange)
        check_bodies(exchange, turns)


@settings(max_examples=300, deadline=None)
@given(TURNS, SIZES, st.integers(1, 60), st.integers(1, 30))
def test_a_burst_of_losses_does_not_shift_the_pairs(
    turns: list[Turn], sizes: list[int], first: int, count: int
) -> None:
    """What a ring buffer that is full for a while leaves behind."""
    records = turn_by_turn(turns, sizes)
    lost = range(first, first + count)
    kept = [r for number, r in enumerate(records) if not (isinstance(r, Data) and number in lost)]
    for exchange in exchanges(checked_run(kept)):
        check_pair(exchange)
        check_bodies(exchange, turns)


FRAGMENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HEAD / HTTP/1.0\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\n\r\n",
            b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            b"Connection: upgrade\r\nUpgrade: x\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 7\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Content-Encoding: gzip\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 101 Switch\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            b"\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "write"]), FRAGMENTS, st.sampled_from([0, 0, 0, 0, 1, 5, 10**12])),
        max_size=40,
    ),
    st.booleans(),
)
def test_arbitrary_bytes(pieces: list[tuple[Direction, bytes, int]], from_start: bool) -> None:
    """Nothing raises, nothing leaks, and no more is kept than the limits say."""
    talk = Conversation(from_start=from_start)
    for direction, payload, lost in pieces:
        talk.lose(direction, lost).move(direction, payload)
    out = checked_run(talk.close().records, body=20, memory=5000)
    for exchange in exchanges(out):
        for message in (exchange.request, exchange.response):
            assert message is None or len(message.body) <= 20
