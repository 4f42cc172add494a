"""Records of the ring become connections; every byte that is not there is accounted for."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from tests.unit.tracing.raw import ADDRESS, LIBRARY, MS, NO_ADDRESS, Machine, Raw, ipv4

from tlstap.records import Closed, Data, Handshake, Lost, Opened, TraceRecord
from tlstap.schema import Endpoint
from tlstap.tracing import connections
from tlstap.tracing.connections import RING_FULL, TOO_MANY, UNOPENED, ConnectionTracker
from tlstap.tracing.engine import Totals
from tlstap.tracing.layout import Flag

LOCAL = Endpoint(address="10.0.0.2", port=50000)
REMOTE = Endpoint(address="192.0.2.7", port=443)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def tracker(machine: Machine) -> ConnectionTracker:
    return ConnectionTracker(machine)


def take(tracker: ConnectionTracker, *raws: bytes) -> list[TraceRecord]:
    """What these records become."""
    return [record for raw in raws for record in tracker.take(raw)]


def kinds(records: Iterable[TraceRecord]) -> list[str]:
    return [type(record).__name__ for record in records]


def the_data(records: Iterable[TraceRecord]) -> list[tuple[str, int, bytes]]:
    return [(one.direction, one.offset, one.payload) for one in records if isinstance(one, Data)]


def the_lost(records: Iterable[TraceRecord]) -> list[tuple[int, str]]:
    return [(one.bytes, one.why) for one in records if isinstance(one, Lost)]


def the_closed(records: Iterable[TraceRecord]) -> list[tuple[int, int, int, int]]:
    """(read, written, read lost, written lost)."""
    return [
        (one.read_bytes, one.written_bytes, one.read_lost, one.written_lost)
        for one in records
        if isinstance(one, Closed)
    ]


# ---- a connection's life ----


def test_a_whole_connection(tracker: ConnectionTracker, machine: Machine) -> None:
    young = Raw(address=NO_ADDRESS, flags=Flag.FROM_START)
    raw = Raw(flags=Flag.FROM_START | Flag.CLIENT, time_ns=6000 * MS)
    assert take(tracker, young.birth()) == [], "nothing is told before there is something to tell"
    records = take(
        tracker,
        raw.handshake(20 * MS),
        raw.data("write", 0, b"request"),
        raw.data("read", 0, b"ans"),
        raw.but(time_ns=6001 * MS).data("read", 3, b"wer"),
        raw.but(time_ns=6002 * MS).end(6, 7),
    )
    opened, handshake, written, first, second, closed = records
    assert isinstance(opened, Opened)
    assert opened.from_start
    assert opened.time_ns == tracker.wall_clock(young.time_ns)
    connection = opened.connection
    assert (connection.local, connection.remote, connection.inferred) == (LOCAL, REMOTE, False)
    assert (connection.role, connection.library, connection.id) == ("client", LIBRARY, 1)
    assert connection.process.comm == "curl"
    assert handshake == Handshake(
        connection, connection.process, tracker.wall_clock(6000 * MS), 20 * MS, True
    )
    assert isinstance(written, Data)
    assert written.function == "function_1_2"
    assert written.duration_ns == 3 * MS
    assert the_data([written, first, second]) == [
        ("write", 0, b"request"),
        ("read", 0, b"ans"),
        ("read", 3, b"wer"),
    ]
    assert closed == Closed(connection, connection.process, tracker.wall_clock(6002 * MS), 6, 7, 0, 0)
    assert len(tracker) == 0
    assert tracker.pids() == set()
    assert machine.asked_libraries == [(1, 2, 100)]


def test_times_are_wall_clock(tracker: ConnectionTracker) -> None:
    now = time.monotonic_ns()
    (_, data) = take(tracker, Raw(time_ns=now).data("read", 0, b"x"))
    assert isinstance(data, Data)
    assert abs(data.time_ns - time.time_ns()) < 60_000 * MS


def test_a_connection_found_in_the_middle(tracker: ConnectionTracker) -> None:
    opened, data = take(tracker, Raw().data("write", 0, b"late"))
    assert isinstance(opened, Opened)
    assert not opened.from_start
    assert the_data([data]) == [("write", 0, b"late")]


def test_the_opening_carries_the_address_that_came_later_than_the_birth(tracker: ConnectionTracker) -> None:
    raw = Raw(address=NO_ADDRESS)
    assert take(tracker, raw.birth(), raw.but(probe=10).detail(b"example.com")) == []
    (opened, _) = take(tracker, raw.but(address=ADDRESS).data("write", 0, b"x"))
    assert isinstance(opened, Opened)
    assert opened.connection.remote == REMOTE
    assert opened.connection.sni == "example.com"


def test_a_connection_that_moved_nothing_is_still_told_of(tracker: ConnectionTracker) -> None:
    records = take(tracker, Raw().birth(), Raw().end(0, 0))
    assert kinds(records) == ["Opened", "Closed"]
    assert the_closed(records) == [(0, 0, 0, 0)]


def test_a_handle_that_was_never_used_was_no_connection(tracker: ConnectionTracker) -> None:
    model = Raw(address=NO_ADDRESS)
    assert take(tracker, model.birth(), model.end(0, 0)) == []
    assert len(tracker) == 0
    take(tracker, model.birth())
    assert tracker.finish() == []
    assert kinds(take(tracker, model.birth(), model.end(0, 0, failed_handshake_ns=1))) == [
        "Opened",
        "Handshake",
        "Closed",
    ]


def test_a_handshake_that_never_succeeded(tracker: ConnectionTracker) -> None:
    records = take(tracker, Raw().birth(), Raw().end(0, 0, failed_handshake_ns=9 * MS))
    assert kinds(records) == ["Opened", "Handshake", "Closed"]
    handshake = records[1]
    assert isinstance(handshake, Handshake)
    assert (handshake.ok, handshake.duration_ns) == (False, 9 * MS)


def test_connections_are_told_apart_by_process_handle_and_generation(tracker: ConnectionTracker) -> None:
    variants = (Raw(), Raw(handle=0x6600), Raw(pid=200))
    records = take(tracker, *(raw.data("write", 0, b"x") for raw in variants))
    assert [one.connection.id for one in records if isinstance(one, Data)] == [1, 2, 3]
    assert len(tracker) == 3
    assert tracker.pids() == {100, 200}
    (again,) = take(tracker, Raw().data("write", 1, b"y"))
    assert isinstance(again, Data)
    assert again.connection.id == 1


def test_the_thread_that_made_the_call_is_the_records_process(tracker: ConnectionTracker) -> None:
    records = take(
        tracker,
        Raw(tid=101).data("write", 0, b"a"),
        Raw(tid=102, comm=b"pool").data("write", 1, b"b"),
        Raw(tid=101).data("write", 2, b"c"),
    )
    data = [one for one in records if isinstance(one, Data)]
    assert [(one.process.tid, one.process.comm) for one in data] == [
        (101, "curl"),
        (102, "pool"),
        (101, "curl"),
    ]
    assert {one.connection.process.tid for one in data} == {101}


# ---- what is learnt ----


@pytest.mark.parametrize(
    ("flags", "role", "inferred"),
    [
        (0, None, False),
        (Flag.CLIENT, "client", False),
        (Flag.SERVER, "server", False),
        (Flag.SERVER | Flag.INFERRED, "server", True),
        (Flag.INFERRED | Flag.FROM_START, None, True),
    ],
)
def test_flags(tracker: ConnectionTracker, flags: int, role: str | None, inferred: bool) -> None:
    (_, data) = take(tracker, Raw(flags=flags).data("read", 0, b"x"))
    assert isinstance(data, Data)
    assert (data.connection.role, data.connection.inferred) == (role, inferred)


def test_no_address_is_no_guess(tracker: ConnectionTracker) -> None:
    (_, data) = take(tracker, Raw(address=NO_ADDRESS, flags=Flag.INFERRED).data("read", 0, b"x"))
    assert isinstance(data, Data)
    assert (data.connection.local, data.connection.remote, data.connection.inferred) == (None, None, False)


def test_a_better_address_replaces_a_guess(tracker: ConnectionTracker) -> None:
    guess = ipv4("127.0.0.1", 1, "127.0.0.1", 2)
    (_, data) = take(tracker, Raw(address=guess, flags=Flag.INFERRED).data("read", 0, b"x"))
    assert isinstance(data, Data)
    assert data.connection.inferred
    take(tracker, Raw().data("read", 1, b"y"))
    assert (data.connection.remote, data.connection.inferred) == (REMOTE, False)


def test_details(tracker: ConnectionTracker) -> None:
    raw = Raw()
    (_, data) = take(
        tracker,
        raw.but(probe=10).detail(b"example.com"),
        raw.but(probe=12).detail(b"unknown"),
        raw.but(probe=13).detail(b"TLS_AES_128_GCM_SHA256"),
        raw.data("read", 0, b"x"),
    )
    assert isinstance(data, Data)
    connection = data.connection
    assert (connection.sni, connection.cipher) == ("example.com", "TLS_AES_128_GCM_SHA256")
    assert (connection.alpn, connection.tls_version) == (None, None)
    take(tracker, raw.but(probe=12).detail(b"TLSv1.3"), raw.but(probe=12).detail(b"unknown"))
    assert connection.tls_version == "TLSv1.3", "what says nothing does not undo what is known"


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b"a\0rest-of-old-one", "a"),
        (b"", ""),
        (b"\x1b]0;x\x07", "\x1b]0;x\x07"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9\xff", "caf\\xe9\\xff"),
        (b"sixteen-bytes-xx", "sixteen-bytes-xx"),
        (b"cut-mid-chara\xe2\x82", "cut-mid-chara\\xe2\\x82"),
    ],
)
def test_hostile_names_of_processes(tracker: ConnectionTracker, comm: bytes, text: str) -> None:
    (opened, _) = take(tracker, Raw(comm=comm).data("read", 0, b"x"))
    assert isinstance(opened, Opened)
    assert opened.process.comm == text
    text.encode()  # no lone surrogates, which no output could write


# ---- losses ----


def test_a_jump_in_the_offsets_is_a_gap_of_that_size(tracker: ConnectionTracker) -> None:
    records = take(
        tracker,
        Raw().data("read", 0, b"12345"),
        Raw().data("read", 25, b"67890"),
        Raw().data("write", 7, b"w"),
        Raw().end(30, 8),
    )
    assert kinds(records) == ["Opened", "Data", "Lost", "Data", "Lost", "Data", "Closed"]
    assert the_lost(records) == [(20, RING_FULL), (7, RING_FULL)]
    assert the_closed(records) == [(30, 8, 20, 7)]
    assert tracker.known_lost_bytes == 27


def test_the_totals_at_the_end_tell_of_what_was_lost_last(tracker: ConnectionTracker) -> None:
    records = take(tracker, Raw().data("read", 0, b"12345"), Raw().end(12, 400))
    assert kinds(records) == ["Opened", "Data", "Lost", "Lost", "Closed"]
    assert the_lost(records) == [(7, RING_FULL), (400, RING_FULL)]
    assert the_closed(records) == [(12, 400, 7, 400)]
    assert tracker.known_lost_bytes == 407


def test_a_call_that_was_not_captured_whole(tracker: ConnectionTracker) -> None:
    """The record stands for more bytes than it carries: no gap, but lost all the same."""
    records = take(
        tracker,
        Raw().data("write", 0, b"1234", length=1000),
        Raw(flags=Flag.UNREADABLE).data("write", 1000, b"", length=50),
        Raw().data("write", 1050, b"5"),
        Raw().end(0, 1051),
    )
    assert the_lost(records) == []
    data = [one for one in records if isinstance(one, Data)]
    assert [(one.offset, one.length, one.payload) for one in data] == [
        (0, 1000, b"1234"),
        (1000, 50, b""),
        (1050, 1, b"5"),
    ]
    assert the_closed(records) == [(0, 1051, 0, 996 + 50)]


# ---- ends that were not heard ----


def test_a_handle_used_again_ends_the_connection_before(tracker: ConnectionTracker) -> None:
    take(tracker, Raw().data("read", 0, b"12345"), Raw(pid=200).data("read", 0, b"x"))
    records = take(tracker, Raw(generation=8).data("read", 0, b"new"))
    assert kinds(records) == ["Closed", "Opened", "Data"]
    assert the_closed(records) == [(5, 0, 0, 0)]
    assert isinstance(records[0], Closed) and isinstance(records[1], Opened)
    assert (records[0].connection.id, records[1].connection.id) == (1, 3)
    assert len(tracker) == 2
    assert the_closed(take(tracker, Raw(generation=8).end(3, 0))) == [(3, 0, 0, 0)]


def test_a_handle_used_again_before_anything_was_told(tracker: ConnectionTracker) -> None:
    take(tracker, Raw().birth())
    assert kinds(take(tracker, Raw(generation=8).birth())) == ["Opened", "Closed"]


@pytest.mark.parametrize("how", ["exit", "exec"])
def test_a_process_that_ends_takes_its_connections_along(
    tracker: ConnectionTracker, machine: Machine, how: str
) -> None:
    one, two, other = Raw(), Raw(handle=0x6600), Raw(pid=200)
    take(tracker, one.data("read", 0, b"12345"), two.data("write", 0, b"123"), other.data("read", 0, b"x"))
    machine.count(one, 9, 4)
    machine.count(two.but(generation=99), 1000, 1000)  # of a later connection: none of its business
    records = take(tracker, one.exit() if how == "exit" else one.exec())
    assert the_closed(records) == [(9, 4, 4, 4), (0, 3, 0, 0)]
    assert tracker.pids() == {200}
    assert machine.forgotten == [(one.handle, one.pid)], "the next program may use the same handle"
    assert take(tracker, one.exit()) == []


def test_a_connection_that_ended_while_the_ring_was_full(tracker: ConnectionTracker) -> None:
    take(tracker, Raw().data("read", 0, b"12345"))
    assert tracker.ended_unheard(Totals(0x5500, 100, 6, 50, 50)) == [], "an older connection of the handle"
    records = tracker.ended_unheard(Totals(0x5500, 100, 7, 8, 2))
    assert the_lost(records) == [(3, RING_FULL), (2, RING_FULL)]
    assert the_closed(records) == [(8, 2, 3, 2)]
    assert tracker.ended_unheard(Totals(0x5500, 100, 7, 8, 2)) == []


def test_finish_ends_what_is_left(tracker: ConnectionTracker, machine: Machine) -> None:
    take(tracker, Raw().data("read", 0, b"12345"), Raw(handle=0x6600).birth())
    machine.count(Raw(), 6, 0)
    records = tracker.finish()
    assert kinds(records) == ["Lost", "Closed", "Opened", "Closed"]
    assert the_closed(records) == [(6, 0, 1, 0), (0, 0, 0, 0)]
    assert len(tracker) == 0
    assert tracker.finish() == []


# ---- packets ----


def test_a_packet_that_is_opened_late_is_not_lost(tracker: ConnectionTracker) -> None:
    raw, waiting = Raw(), Raw(flags=Flag.UNOPENED)
    records = take(tracker, waiting.data("read", 5, b"67890"), raw.data("read", 0, b"12345"), raw.end(10, 0))
    assert the_data(records) == [("read", 5, b"67890"), ("read", 0, b"12345")]
    assert the_lost(records) == []
    assert the_closed(records) == [(10, 0, 0, 0)]


def test_what_stays_in_packets_is_lost_for_that_reason(tracker: ConnectionTracker) -> None:
    waiting = Raw(flags=Flag.UNOPENED)
    records = take(tracker, waiting.data("read", 5, b"67890"), waiting.end(14, 3))
    assert sorted(the_lost(records)) == [(3, RING_FULL), (9, UNOPENED)]
    assert the_closed(records) == [(14, 3, 9, 3)]
    assert tracker.known_lost_bytes == 3


# ---- bounds ----


def test_the_oldest_connection_makes_room(
    tracker: ConnectionTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    for number in range(3):
        take(tracker, Raw(handle=number).data("read", 0, b"12345"))
    records = take(tracker, Raw(handle=3).data("read", 0, b"x"))
    assert kinds(records) == ["Lost", "Closed", "Opened", "Data"]
    lost, closed = records[:2]
    assert isinstance(lost, Lost) and isinstance(closed, Closed)
    assert lost.connection is closed.connection
    assert (closed.connection.id, closed.read_bytes) == (1, 5)
    assert (lost.bytes, lost.why) == (0, TOO_MANY)
    assert (len(tracker), tracker.evicted) == (3, 1)


def test_what_makes_room_was_told_of_before(
    tracker: ConnectionTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection is closed, or said to be lost, that was never opened."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    take(tracker, Raw().birth())
    assert kinds(take(tracker, Raw(handle=2).birth())) == ["Opened", "Lost", "Closed"]


def test_threads_are_not_remembered_without_a_bound(
    tracker: ConnectionTracker, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_PROCESSES", 2)
    for offset, tid in enumerate((1, 2, 1, 2)):
        take(tracker, Raw(tid=tid).data("read", offset, b"x"))
    assert [asked[1] for asked in machine.asked_processes] == [1, 2]
    for offset, tid in enumerate((3, 3, 1), start=4):
        take(tracker, Raw(tid=tid).data("read", offset, b"x"))
    assert [asked[1] for asked in machine.asked_processes] == [1, 2, 3, 1]


def test_a_process_that_executes_another_program_is_asked_about_again(
    tracker: ConnectionTracker, machine: Machine
) -> None:
    take(tracker, Raw().data("read", 0, b"x"), Raw().exec(), Raw(generation=8).data("read", 0, b"x"))
    assert len(machine.asked_processes) == 2
