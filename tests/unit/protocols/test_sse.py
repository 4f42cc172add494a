"""Server-sent events: the HTML standard's examples, cases of the web platform's tests, losses, bounds."""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.conversation import PROCESS, Conversation, connection, exchanges, run

from tlstap.protocols.body_formats import BodyReader, Part
from tlstap.protocols.http.part_stream import MAX_GIVEN
from tlstap.protocols.memory import Allowance, Pool
from tlstap.protocols.sse import MAX_NAME, Sse
from tlstap.records import Exchange, Message, Missing, ProtocolMessage, Record

UNFINISHED = [Missing("message", "unfinished")]


def reader(pool: Pool | None = None, content_type: str = "text/event-stream") -> BodyReader | None:
    message = Message(False, status=200)
    message.headers = [("Content-Type", content_type)]
    exchange = Exchange(connection(), PROCESS, "HTTP/1.1", response=message)
    return Sse().reader(exchange, message, Allowance(pool or Pool()))


def read(*pieces: bytes | int | None, pool: Pool | None = None) -> list[Part]:
    """What a body of these pieces says; a number is a gap of that size, None one of unknown size."""
    pool = pool or Pool()
    events = reader(pool)
    assert events is not None
    parts: list[Part] = []
    for piece in pieces:
        parts += events.feed(piece) if isinstance(piece, bytes) else events.gap(piece)
    parts += events.finish(unfinished=False)
    assert pool.left == pool.total
    return parts


def event(
    data: bytes,
    name: str = "message",
    missing: Sequence[Missing] = (),
    size: int | None = None,
    **details: object,
) -> Part:
    return Part(name, data, len(data) if size is None else size, dict(details), list(missing))  # type: ignore[arg-type]


STANDARD: dict[str, tuple[bytes, list[Part]]] = {
    "three messages": (
        b"data: This is the first message.\n\n"
        b"data: This is the second message, it\ndata: has two lines.\n\n"
        b"data: This is the third message.\n\n",
        [
            event(b"This is the first message."),
            event(b"This is the second message, it\nhas two lines."),
            event(b"This is the third message."),
        ],
    ),
    "types": (
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [event(b"73857293", "add"), event(b"2153", "remove"), event(b"113411", "add")],
    ),
    "stocks": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [event(b"YHOO\n+2\n10")]),
    "four blocks": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [event(b"first event", id="1"), event(b"second event"), event(b" third event")],
    ),
    "empty data": (
        b"data\n\ndata\ndata\n\ndata:",
        [event(b""), event(b"\n"), event(b"", missing=UNFINISHED)],
    ),
    "the space is left out": (b"data:test\n\ndata: test\n\n", [event(b"test"), event(b"test")]),
}

WEB_PLATFORM: dict[str, tuple[bytes, list[Part]]] = {
    "bom": (
        "\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n".encode(),
        [event(b"1"), event(b"3")],
    ),
    "two boms": ("\ufeff\ufeffdata:1\n\ndata:2\n\n".encode(), [event(b"2")]),
    "comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:%s\rdata:3\n:data:fail\r:%s\ndata:4\n\n" % (b"x" * 2048, b"x" * 2048),
        [event(b"1\n2\n3\n4")],
    ),
    "fields": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n"
        b" data:32\ndata:4\n\n",
        [event(b"\0\n 2\n1\n3\n\n4")],
    ),
    "empty event name": (b"event: \ndata:data\n\n", [event(b"data")]),
    "event name counts once": (b"event:test\ndata:x\n\ndata:x\n\n", [event(b"x", "test"), event(b"x")]),
    "an event without data": (b"event: test\n\ndata: x\n\n", [event(b"x")]),
    "an id persists": (
        b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid\ndata: d\n\n",
        [event(b"a", id="1"), event(b"b", id="1"), event(b"c", id="2"), event(b"d")],
    ),
    "an id with NUL is none": (b"id: 1\nid: 2\0\ndata: a\n\n", [event(b"a", id="1")]),
    "leading space": (b"data:\ttest\rdata: \ndata:test\n\n", [event(b"\ttest\n\ntest")]),
    "newlines": (b"data:test\r\ndata\ndata:test\r\n\r", [event(b"test\n\ntest")]),
    "retry": (b"retry:3000\ndata:x\n\ndata:y\n\n", [event(b"x", retry=3000), event(b"y")]),
    "bogus retry": (b"retry:3000\nretry:1000x\ndata:x\n\n", [event(b"x", retry=3000)]),
    "empty retry": (b"retry\ndata:test\n\n", [event(b"test")]),
    "unknown field": (b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
                      [event(b"test\n\ntest")]),
    "the last block has no blank line": (
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2",
        [event(b"test1", retry=1000), event(b"test2", missing=UNFINISHED, id="test")],
    ),
    "utf-8": ("event: ö\nid: …\ndata:ok…\n\n".encode(), [event("ok…".encode(), "ö", id="…")]),
    "no utf-8": (b"event: \xf6\ndata:\xf6\n\n", [event(b"\xf6", "\ufffd")]),
}  # fmt: skip

ALL = STANDARD | WEB_PLATFORM


@pytest.mark.parametrize("case", ALL)
def test_what_the_standard_says(case: str) -> None:
    stream, expected = ALL[case]
    assert read(stream) == expected


@pytest.mark.parametrize("case", ALL)
def test_byte_by_byte(case: str) -> None:
    stream, expected = ALL[case]
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_is_given_out_with_its_blank_line(end: bytes) -> None:
    events = reader()
    assert events is not None
    assert [*events.feed(b"data: a" + end)] == []
    assert [*events.feed(end)] == [event(b"a")]
    assert [*events.feed(end + b"data: b" + end + end)] == [event(b"b")]


def test_of_cr_lf_the_cr_is_enough() -> None:
    events = reader()
    assert events is not None
    assert [*events.feed(b"data: a\r\n\r")] == [event(b"a")]
    assert [*events.feed(b"\ndata: b\r")] == []
    assert [*events.feed(b"")] == []
    # One blank line, not two: with two the line of data would be followed by one.
    assert [*events.feed(b"\n")] == []
    assert [*events.feed(b"data: c\n\n")] == [event(b"b\nc")]


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-streams", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_which_responses_it_reads(content_type: str, taken: bool) -> None:
    assert (reader(content_type=content_type) is not None) is taken


def test_requests_are_not_read() -> None:
    message = Message(True, "POST")
    message.headers = [("Content-Type", "text/event-stream")]
    exchange = Exchange(connection(), PROCESS, "HTTP/1.1", request=message)
    assert Sse().reader(exchange, message, Allowance(Pool())) is None


# Losses


def lost(size: int | None) -> list[Missing]:
    return [Missing("message", "lost", size)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # In the middle of an event: what came of it, then the next one.
        (
            (b"event: e\ndata: one\ndata: tw", 5, b"ee\n\ndata: next\n\n"),
            [event(b"one\ntw", "e", lost(5)), event(b"next")],
        ),
        # Between events, or at an event's first byte: nobody knows whether one was there.
        (
            (b"data: a\n\n", 7, b"data: b\n\ndata: c\n\n"),
            [event(b"a"), event(b"", missing=lost(7)), event(b"c")],
        ),
        # The line end behind a gap may belong to a line inside it, so it is not a blank line.
        ((b"data: a\n", 7, b"\n\ndata: b\n\n"), [event(b"a", missing=lost(7)), event(b"b")]),
        ((b"data: a\n", 7, b"\ndata: b\n\ndata: c\n\n"), [event(b"a", missing=lost(7)), event(b"c")]),
        ((b"data: a\r", 7, b"\r\n\r\ndata: b\r\n\r\n"), [event(b"a", missing=lost(7)), event(b"b")]),
        # Several gaps before the next blank line are one loss; of one that is unknown, so is all.
        ((b"data: a", 3, b"x\n", 4, b"y\n\ndata: b\n\n"), [event(b"a", missing=lost(7)), event(b"b")]),
        ((b"data: a", 3, None, b"y\n\ndata: b\n\n"), [event(b"a", missing=lost(None)), event(b"b")]),
        # An id that was lost is not known, so the one before is none.
        ((b"id: 1\ndata: a\n\n", 9, b"\n\ndata: b\n\n"),
         [event(b"a", id="1"), event(b"", missing=lost(9)), event(b"b")]),
        # The rest of the stream.
        ((b"data: a\n\ndata: b", 5), [event(b"a"), event(b"b", missing=lost(5))]),
        ((5, b"data: a\n"), [event(b"", missing=lost(5))]),
        # A gap at the beginning takes the byte order mark with it.
        ((3, b"\n\n\xef\xbb\xbfdata: a\ndata: b\n\n"), [event(b"", missing=lost(3)), event(b"b")]),
        ((b"data: a\n\n", 0, b"data: b\n\n"), [event(b"a"), event(b"b")]),
    ],
)  # fmt: skip
def test_losses(pieces: tuple[bytes | int | None, ...], expected: list[Part]) -> None:
    assert read(*pieces) == expected


def test_an_event_behind_a_gap_is_whole_wherever_the_gap_is() -> None:
    stream = b"".join(b"id: %d\nevent: e%d\ndata: %d\ndata: end\n\n" % (n, n, n) for n in range(8))
    whole = read(stream)
    for start in range(0, len(stream), 3):
        for size in (1, 2, 7, 40):
            found = read(stream[:start], size, stream[start + size :])
            spoilt = [part for part in found if part.missing]
            assert [part.missing for part in spoilt] == [lost(size)]
            assert all(part in whole for part in found if not part.missing)
            # At most the events that it touches and the one behind them are not told.
            assert len(whole) - (len(found) - 1) <= 3


# Bounds


def test_an_event_beyond_the_limit_is_cut() -> None:
    data = b"data: 0123456789\ndata: abcdef\ndata: more\n\ndata: next\n\n"
    assert read(data, pool=Pool(100, 14)) == [
        event(b"0123456789\nabc", missing=[Missing("message", "over the limit", 8)], size=22),
        event(b"next"),
    ]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_line_beyond_the_limit_is_cut(step: int) -> None:
    stream = b"data: 0123456789abcdef\ndata: more\n\ndata: next\n\n"
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    (cut, following) = read(*pieces, pool=Pool(100, 14))
    assert b"0123456789abcdef\nmore".startswith(cut.payload)
    assert 8 <= len(cut.payload) <= 14
    assert (cut.size, cut.missing) == (21, [Missing("message", "over the limit", 21 - len(cut.payload))])
    assert following == event(b"next")


def test_without_memory_events_are_told_with_nothing_in_them() -> None:
    pool = Pool(0)
    assert read(b"da", b"ta: abc\n\n", b"event: e\ndata: abc\n\n", pool=pool) == [
        event(b"", missing=[Missing("message", "over the limit", 9)], size=9),
        event(b"", "e", missing=[Missing("message", "over the limit", 3)], size=3),
    ]


def test_names_and_ids_are_bounded() -> None:
    long = b"x" * (MAX_NAME + 5)
    cut = [Missing("message", "over the limit", 10)]
    assert read(b"event: %s\nid: %s\ndata: a\n\n" % (long, long)) == [
        event(b"a", "x" * MAX_NAME, cut, id="x" * MAX_NAME)
    ]


def test_a_number_of_many_digits_is_no_retry() -> None:
    assert read(b"retry: %s\ndata: a\n\n" % (b"9" * 5000)) == [event(b"a")]


def test_memory_that_is_held_is_the_events() -> None:
    pool = Pool(1 << 20)
    events = reader(pool)
    assert events is not None
    assert [*events.feed(b"data: " + bytes(600_000))] == []
    assert 600_000 <= pool.total - pool.left <= 700_000
    assert [len(part.payload) for part in events.feed(b"\n\n")] == [600_000]
    assert pool.left == pool.total


def test_time_is_linear_in_drips() -> None:
    stream = b"data: %s\n\n" % (b"x" * 1_000_000)
    start = time.process_time()
    (found,) = read(*(stream[at : at + 1] for at in range(len(stream))))
    assert len(found.payload) == 1_000_000
    assert time.process_time() - start < 20


def test_many_small_lines_take_linear_time() -> None:
    start = time.process_time()
    (found,) = read(b"data\n" * 400_000 + b"\n")
    assert found.size == 399_999
    assert time.process_time() - start < 20


# Properties

PIECES = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b":", b" ", b"data", b"data: x", b"event: e", b"id: 1", b"id", b"retry: 1",
         b"\xef\xbb\xbf", b"\0", b"\xff", b"x"]
    )
)  # fmt: skip


@settings(deadline=None)
@given(PIECES.map(b"".join), st.lists(st.integers(1, 5), min_size=1))
def test_borders_of_pieces_do_not_matter(stream: bytes, sizes: list[int]) -> None:
    pieces: list[bytes] = []
    at = 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    assert read(*pieces) == read(stream)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=20) | PIECES.map(b"".join) | st.integers(0, 9) | st.none()),
    st.integers(0, 30),
)
def test_arbitrary_bytes_and_gaps(pieces: list[bytes | int | None], limit: int) -> None:
    parts = read(*pieces, pool=Pool(limit * 3, limit))
    assert all(len(part.payload) <= limit and part.size >= len(part.payload) for part in parts)


# Whole conversations

REQUEST = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def messages(records: list[Record]) -> list[ProtocolMessage]:
    return [record for record in records if isinstance(record, ProtocolMessage)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_conversation() -> None:
    talk = Conversation().write(REQUEST).read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    talk.read(chunk(b"event: add\nid: 7\nda")).read(chunk(b"ta: 1\n")).read(
        chunk(b"\n") + chunk(b"data: 2\n\n")
    )
    records = run(talk.read(b"0\r\n\r\n").close().records, formats=[Sse()])
    first, second = messages(records)
    assert (first.protocol, first.type, first.payload, first.size) == ("sse", "add", b"1", 1)
    assert (first.details, first.missing, first.direction, first.time_ns) == ({"id": "7"}, [], "read", 5)
    assert (second.type, second.payload, second.details) == ("message", b"2", {"id": "7"})
    (exchange,) = exchanges(records)
    assert first.exchange is second.exchange is exchange
    assert exchange.body_format == "sse"
    assert exchange.response is not None
    assert exchange.response.body == b"event: add\nid: 7\ndata: 1\n\ndata: 2\n\n"


def test_a_compressed_stream_is_read_as_it_arrives() -> None:
    packed = gzip.compress(b"data: 1\n\ndata: 2\n\n")
    talk = Conversation().write(REQUEST).read(HEAD + b"Content-Encoding: gzip\r\n\r\n")
    records = run(talk.read(packed[:12]).read(packed[12:]).close().records, formats=[Sse()])
    assert [message.payload for message in messages(records)] == [b"1", b"2"]


def test_a_loss_in_a_conversation() -> None:
    talk = Conversation().write(REQUEST).read(HEAD + b"\r\n").read(b"data: 1\n\ndata: 2")
    records = run(talk.lose("read", 11).read(b"3\n\ndata: 4\n\n").close().records, formats=[Sse()])
    assert [(message.payload, message.missing) for message in messages(records)] == [
        (b"1", []),
        (b"2", lost(11)),
        (b"4", []),
    ]


def test_a_stream_that_swells_is_not_read_on() -> None:
    """4 MB of the shortest events in a record: more records than there is traffic for."""
    count = 700_000
    packed = gzip.compress(b"data\n\n" * count)
    assert len(packed) < 16384
    talk = Conversation().write(REQUEST).read(HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed)
    # What was found in this call is over the bounds, and the body is not read on.
    records = run(talk.read(gzip.compress(b"data: more\n\n")).close().records, formats=[Sse()])
    found = messages(records)
    assert MAX_GIVEN // 2048 < len(found) < MAX_GIVEN // 1000
    assert all(message.missing == [] for message in found[:-1])
    assert found[-1].missing == [Missing("message", "over the limit")]
    (exchange,) = exchanges(records)
    assert exchange.response is not None
    assert exchange.response.body_bytes == 6 * count + 12
