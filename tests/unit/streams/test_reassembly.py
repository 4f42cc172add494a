"""Reassembly: order, gaps, overlaps, hostile offsets, byte counts."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.conversation import PROCESS, connection

from tlstap.protocols.base import StreamBytes
from tlstap.records import Closed, Data, Direction
from tlstap.streams.reassembly import Reassembly

CONNECTION = connection()


def data(offset: int, payload: bytes, length: int | None = None, direction: Direction = "read") -> Data:
    size = len(payload) if length is None else length
    return Data(CONNECTION, PROCESS, offset, direction, offset, size, payload, "SSL_read", 1)


def closed(read: int, written: int) -> Closed:
    return Closed(CONNECTION, PROCESS, 99, read, written, 0, 0)


def seen(pieces: list[StreamBytes]) -> list[tuple[int, int, bytes]]:
    return [(piece.lost_before, piece.offset, piece.payload) for piece in pieces]


def feed(streams: Reassembly, *records: Data) -> list[tuple[int, int, bytes]]:
    return [item for record in records for item in seen(streams.feed(record))]


def test_in_order() -> None:
    assert feed(Reassembly(True), data(0, b"ab"), data(2, b"c")) == [(0, 0, b"ab"), (0, 2, b"c")]


def test_directions_are_apart() -> None:
    streams = Reassembly(True)
    assert feed(streams, data(0, b"ab"), data(0, b"xyz", direction="write"), data(2, b"c")) == [
        (0, 0, b"ab"),
        (0, 0, b"xyz"),
        (0, 2, b"c"),
    ]
    assert (streams.read.captured, streams.write.captured) == (3, 3)


def test_jump_is_a_gap() -> None:
    streams = Reassembly(True)
    assert feed(streams, data(0, b"ab"), data(7, b"c")) == [(0, 0, b"ab"), (5, 7, b"c")]
    assert (streams.read.captured, streams.read.lost) == (3, 5)


def test_start_of_a_known_stream_may_be_lost() -> None:
    assert feed(Reassembly(True), data(4, b"x")) == [(4, 4, b"x")]


def test_stream_found_in_the_middle_begins_anywhere() -> None:
    streams = Reassembly(False)
    assert feed(streams, data(1000, b"x"), data(1002, b"y")) == [(0, 1000, b"x"), (1, 1002, b"y")]
    assert streams.read.lost == 1


def test_uncaptured_tail_is_a_gap_at_once() -> None:
    streams = Reassembly(True)
    assert feed(streams, data(0, b"ab", 10), data(10, b"c")) == [(0, 0, b"ab"), (8, 10, b""), (0, 10, b"c")]
    assert (streams.read.captured, streams.read.lost) == (3, 8)


def test_record_without_payload_is_one_gap() -> None:
    assert feed(Reassembly(True), data(5, b"", 10), data(15, b"c")) == [(15, 15, b""), (0, 15, b"c")]


def test_duplicates_overlaps_and_late_records() -> None:
    streams = Reassembly(True)
    records = (data(0, b"abcd"), data(0, b"abcd"), data(2, b"cdef"), data(10, b"kl"), data(6, b"ghij"))
    assert feed(streams, *records) == [(0, 0, b"abcd"), (0, 4, b"ef"), (4, 10, b"kl")]
    assert (streams.read.captured, streams.read.lost, streams.read.late) == (8, 4, 10)


def test_overlap_with_an_uncaptured_tail() -> None:
    """The captured part is old; the new part was not captured."""
    assert feed(Reassembly(True), data(0, b"abcd"), data(0, b"ab", 6)) == [(0, 0, b"abcd"), (2, 6, b"")]


def test_nonsense_lengths() -> None:
    streams = Reassembly(True)
    assert feed(streams, data(0, b"abc", -5), data(0, b"abc", 2), data(-10, b"zz")) == [(0, 0, b"ab")]


def test_end_is_checked_against_the_totals() -> None:
    streams = Reassembly(True)
    feed(streams, data(0, b"abc"))
    assert seen(streams.close(closed(10, 4))) == [(7, 10, b""), (4, 4, b"")]
    assert streams.read.captured + streams.read.lost == 10
    assert streams.write.captured + streams.write.lost == 4
    assert streams.close(closed(10, 4)) == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 200), st.binary(max_size=40), st.integers(-5, 60)), max_size=30),
    st.booleans(),
)
def test_any_offsets(records: list[tuple[int, bytes, int]], from_start: bool) -> None:
    """What comes out is in order, without overlap, and adds up."""
    streams = Reassembly(from_start)
    position: int | None = 0 if from_start else None
    first: int | None = position
    for offset, payload, length in records:
        for piece in streams.feed(data(offset, payload, length)):
            if position is None:
                first = position = piece.offset - piece.lost_before
            assert piece.lost_before >= 0 and (piece.payload or piece.lost_before)
            assert piece.offset == position + piece.lost_before
            position = piece.offset + len(piece.payload)
            assert len(piece.payload) <= len(payload)
    if position is not None and first is not None:
        assert streams.read.captured + streams.read.lost == position - first


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10), st.sets(st.integers(0, 10)))
def test_what_comes_out_was_captured(stream: bytes, cuts: list[int], dropped: set[int]) -> None:
    """Records of a known stream, some lost: each byte stands where it belongs."""
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    streams = Reassembly(True)
    for number, (begin, end) in enumerate(itertools.pairwise(borders)):
        if number not in dropped:
            for piece in streams.feed(data(begin, stream[begin:end])):
                assert stream[piece.offset : piece.offset + len(piece.payload)] == piece.payload
    streams.close(closed(len(stream), 0))
    assert streams.read.captured + streams.read.lost == len(stream)
