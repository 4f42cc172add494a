"""What the program in the kernel loses is known: where, and how much."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.bpf import own_library
from tests.bpf.own_library import PENDING, Program, payload
from tests.bpf.own_traces import rest, the_closed, the_data, the_lost, tracing

from tlstap.records import Opened
from tlstap.tracing.connections import NOT_WAITED_FOR, RING_FULL
from tlstap.tracing.kernel import Attachment

PAGE = 4096


def test_what_was_not_waited_for_is_told_apart(program: Program) -> None:
    """A second stop leaves out what was captured: nobody's ring was full."""
    with tracing(program) as session:
        program.do("write", 1, 100, 1)
        records = session.records()
        seen = [next(records)]  # the opening; the generator waits in the middle
        program.do("write", 1, 100, 30)
        session.stop()
        session.stop()
        seen += records
    assert isinstance(seen[0], Opened)
    captured = sum(len(data.payload) for data in the_data(seen))
    (closed,) = the_closed(seen)
    (lost,) = the_lost(seen)
    assert closed.written_bytes == 31 * 100
    assert captured < closed.written_bytes
    assert (lost.why, lost.bytes) == (NOT_WAITED_FOR, closed.written_bytes - captured)
    assert closed.written_lost == lost.bytes
    assert session.summary.left_out_records > 0
    assert (session.summary.lost_records, session.summary.lost_bytes) == (0, 0)


def test_pending_bytes_that_can_not_be_read_are_a_known_gap(program: Program) -> None:
    with tracing(program, own_library.registry(PENDING)) as session:
        program.do("pend", 1, 500, 1)
        program.do("write", 1, 100, 1)
        records = rest(session)
    assert [(data.function, data.offset, data.length, data.payload) for data in the_data(records)] == [
        ("own_pend", 0, 500, b""),
        ("own_write", 500, 100, payload(100)),
    ]
    (closed,) = the_closed(records)
    assert (closed.written_bytes, closed.written_lost) == (600, 500)
    assert (session.summary.unreadable_bytes, session.summary.implausible) == (500, 0)


@pytest.mark.parametrize("attachment", [None, Attachment.SINGLE])
def test_what_was_lost_is_known_to_the_byte(program: Program, attachment: Attachment | None) -> None:
    """A ring of one page has no room for large records at all, and for few of the small ones."""
    with tracing(program, attachment=attachment, buffer_bytes=PAGE) as session:
        program.do("write", 1, 100, 3)
        program.do("write", 1, 20_000, 1)
        program.do("read", 1, 10_000, 2)
        program.do("write", 1, 100, 50)
        program.do("read", 2, 5000, 1)
        records = rest(session)
    moved = {(1, "write"): 53 * 100 + 20_000, (1, "read"): 20_000, (2, "read"): 5000}
    captured: Counter[tuple[int, str]] = Counter()
    for data in the_data(records):
        captured[data.connection.id, data.direction] += len(data.payload)
        assert data.payload == payload(100)
    assert 3 * 100 <= captured[1, "write"] < 53 * 100
    of_connection = sum(lost.bytes for lost in the_lost(records) if lost.connection is not None)
    (overall,) = [lost for lost in the_lost(records) if lost.connection is None]
    assert session.summary.lost_bytes == sum(moved.values()) - captured.total()
    assert of_connection + overall.bytes == session.summary.lost_bytes
    assert overall.count == session.summary.lost_records > 4
    assert {lost.why for lost in the_lost(records)} == {RING_FULL}
    closed = {one.connection.id: one for one in the_closed(records)}
    assert (closed[1].written_bytes, closed[1].read_bytes) == (moved[1, "write"], moved[1, "read"])
    assert closed[1].written_lost == moved[1, "write"] - captured[1, "write"]
    assert closed[1].read_lost == moved[1, "read"]
    assert overall.bytes == moved[2, "read"], "of a connection of which nothing was captured"


def test_an_end_that_was_lost_is_told_later(program: Program) -> None:
    with tracing(program, buffer_bytes=PAGE) as session:
        program.do("write", 1, 100, 1)
        program.do("write", 2, 100, 100)  # and the ring is full
        program.do("write", 1, 70, 1)
        program.do("free", 1)
        records = rest(session)
    closed = {one.connection.id: one for one in the_closed(records)}
    assert (closed[1].written_bytes, closed[1].written_lost) == (170, 70)
    assert closed[2].written_bytes == 10_000
    assert closed[2].written_lost == 10_000 - 100 * sum(data.connection.id == 2 for data in the_data(records))


def test_large_calls_within_the_bound_are_whole(program: Program) -> None:
    with tracing(program) as session:
        program.do("write", 1, 1 << 20, 4)
        records = rest(session)
    assert sum(len(data.payload) for data in the_data(records)) == 4 << 20
    assert session.summary.beyond_bound_bytes == session.summary.unreadable_bytes == 0


def test_a_call_beyond_the_bound_says_so(program: Program) -> None:
    size = 5 << 20
    with tracing(program) as session:
        program.do("write", 1, size, 1)
        program.do("write", 1, 5, 1)
        records = rest(session)
    *_, cut, last = the_data(records)
    captured = sum(len(data.payload) for data in the_data(records))
    assert 4 << 20 <= captured < size
    assert b"".join(data.payload for data in the_data(records)) == payload(size)[: captured - 5] + payload(5)
    assert cut.offset + cut.length == last.offset == size
    assert session.summary.beyond_bound_bytes == size + 5 - captured
    assert [(one.written_bytes, one.written_lost) for one in the_closed(records)] == [
        (size + 5, size + 5 - captured)
    ]


def test_bytes_that_cannot_be_read_are_counted(program: Program) -> None:
    with tracing(program) as session:
        program.do("bad", 1, 20_000, 1)
        program.do("write", 1, 5, 1)
        records = rest(session)
    assert [(one.offset, one.length, one.payload) for one in the_data(records)] == [
        (0, 16384, b""),
        (16384, 20_000 - 16384, b""),
        (20_000, 5, payload(5)),
    ]
    assert session.summary.unreadable_bytes == 20_000
    assert [(one.written_bytes, one.written_lost) for one in the_closed(records)] == [(20_005, 20_000)]
