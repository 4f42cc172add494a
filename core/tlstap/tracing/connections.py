"""From the ring's records to the records that flow on: which connection each belongs to, and what was lost.

BPF counts each connection's bytes whether their records found room or not, so that a jump in the offsets, or
the totals at the end, tell exactly what is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from tlstap.records import Closed, Connection, Data, Handshake, Lost, Opened, TraceRecord
from tlstap.schema import LibraryInfo, Process
from tlstap.tracing import layout
from tlstap.tracing.addresses import Ends
from tlstap.tracing.engine import Totals
from tlstap.tracing.layout import DIRECTIONS, EventKind, Flag

MAX_CONNECTIONS = 65536
MAX_PROCESSES = 4096

RING_FULL = "the ring buffer was full"
UNOPENED = "in packets that the application has not opened"
NOT_WAITED_FOR = "captured, but not waited for at the end"
TOO_MANY = f"more than {MAX_CONNECTIONS} connections at once"

_NO_ADDRESS = bytes(layout.ADDRESS.size)
_DATA_BYTES = layout.DATA.size
_READ = DIRECTIONS.index("read")

Key = tuple[int, int, int]
"""(tgid, handle, generation): one connection."""


class Surroundings(Protocol):
    """What the tracker asks about the machine."""

    def process(self, pid: int, tid: int, uid: int, comm: str) -> Process:
        """The process of a record."""

    def library(self, image: int, probe: int, pid: int) -> LibraryInfo:
        """The library behind a probe of an image; image 0 means that only the process is known."""

    def function(self, image: int, probe: int) -> str:
        """The function that a probe of an image is on."""

    def describe(self, image: int, probe: int, value: bytes) -> list[tuple[str, str]]:
        """What a detail probe captured: fields of a connection, and their texts ("": says nothing)."""

    def ends(self, address: bytes, pid: int) -> Ends | None:
        """Both ends of a socket, from a struct address."""

    def totals(self, handle: int, pid: int) -> Totals | None:
        """What BPF counts for the connection that a handle has now."""

    def forget(self, handle: int, pid: int) -> None:
        """BPF shall forget the connection that a handle has now."""


@dataclass(slots=True, eq=False)
class _State:
    connection: Connection
    key: Key
    first_ns: int
    from_start: bool
    opened: bool = False
    address: bytes = _NO_ADDRESS
    flags: int = 0
    expected: list[int] = field(default_factory=lambda: [0, 0])
    missing: list[int] = field(default_factory=lambda: [0, 0])
    unopened: list[int] = field(default_factory=lambda: [0, 0])
    """Bytes, by direction, that may still be shown when their packet is opened."""


class ConnectionTracker:
    """Keeps the connections of a run. `take` is called with each record of the ring, in order."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._ask = surroundings
        self._states: dict[Key, _State] = {}
        self._handles: dict[tuple[int, int], _State] = {}
        self._by_pid: dict[int, dict[Key, _State]] = {}
        self._threads: dict[int, dict[tuple[int, int, bytes], Process]] = {}
        self._last_id = 0
        self._wall_offset = time.time_ns() - time.monotonic_ns()
        self.evicted = 0
        self.known_lost_bytes = 0
        """Bytes known to be lost in the ring, summed over the connections."""
        self.why_missing = RING_FULL
        """What gaps are put down to from now on."""

    def __len__(self) -> int:
        return len(self._states)

    def wall_clock(self, monotonic_ns: int) -> int:
        """The kernel's monotonic time as nanoseconds since the epoch."""
        return monotonic_ns + self._wall_offset

    def take(self, raw: bytes) -> list[TraceRecord]:
        """The records that one record of the ring becomes."""
        records: list[TraceRecord] = []
        match raw[layout.KIND_OFFSET]:
            case EventKind.DATA:
                self._data(raw, records)
            case EventKind.BIRTH:
                self._state(layout.HEADER.unpack_from(raw), records)
            case EventKind.HANDSHAKE:
                self._handshake(raw, records)
            case EventKind.DETAIL:
                self._detail(raw, records)
            case EventKind.END:
                self._end(raw, records)
            case EventKind.EXIT | EventKind.EXEC:
                header = layout.HEADER.unpack_from(raw)
                self.process_ended(header[3], header[0], records)
        return records

    # ---- records of the ring ----

    def _data(self, raw: bytes, records: list[TraceRecord]) -> None:
        header = layout.DATA.unpack_from(raw)
        offset, length, duration_ns, direction, captured = header[13:]
        state = self._state(header, records)
        process = self._process(header)
        time_ns = header[0] + self._wall_offset
        if not state.opened:
            self._open(state, process, records)
        expected = state.expected[direction]
        if offset > expected and direction == _READ and header[9] & Flag.UNOPENED:
            state.unopened[direction] += offset - expected
        elif offset > expected:
            self._gap(state, process, direction, offset - expected, time_ns, records, self.why_missing)
        elif offset < expected:  # of a packet that was opened late
            state.unopened[direction] = max(0, state.unopened[direction] - length)
        state.expected[direction] = max(expected, offset + length)
        state.missing[direction] += length - captured
        records.append(
            Data(
                state.connection,
                process,
                time_ns,
                DIRECTIONS[direction],
                offset,
                length,
                raw[_DATA_BYTES : _DATA_BYTES + captured],
                self._ask.function(header[7], header[6]),
                duration_ns,
            )
        )

    def _handshake(self, raw: bytes, records: list[TraceRecord]) -> None:
        header = layout.HANDSHAKE.unpack_from(raw)
        state, process = self._state(header, records), self._process(header)
        self._open(state, process, records)
        time_ns = self.wall_clock(header[0])
        records.append(Handshake(state.connection, process, time_ns, header[13], ok=True))

    def _detail(self, raw: bytes, records: list[TraceRecord]) -> None:
        header = layout.DETAIL.unpack_from(raw)
        state = self._state(header, records)
        for name, text in self._ask.describe(header[7], header[6], header[13][: header[10]]):
            if text:
                setattr(state.connection, name, text)

    def _end(self, raw: bytes, records: list[TraceRecord]) -> None:
        header = layout.END.unpack_from(raw)
        state, process = self._state(header, records), self._process(header)
        read_bytes, written_bytes, handshake_ns = header[13:]
        time_ns = self.wall_clock(header[0])
        if handshake_ns:
            self._open(state, process, records)
            records.append(Handshake(state.connection, process, time_ns, handshake_ns, ok=False))
        self._close(state, process, time_ns, (read_bytes, written_bytes), records)

    # ---- other ends ----

    def process_ended(self, pid: int, monotonic_ns: int, records: list[TraceRecord]) -> None:
        """A process ended or became another program: so did its connections."""
        for state in list(self._by_pid.get(pid, {}).values()):
            if self._end_by_totals(state, self.wall_clock(monotonic_ns), records):
                # Or the next program in this process, with the same handle, would go on with it.
                self._ask.forget(state.key[1], pid)
        self._threads.pop(pid, None)

    def ended_unheard(self, totals: Totals) -> list[TraceRecord]:
        """A connection ended while the ring was full; BPF kept its totals."""
        records: list[TraceRecord] = []
        state = self._states.get((totals.tgid, totals.handle, totals.generation))
        if state is None:
            return records
        moved = (totals.read_bytes, totals.written_bytes)
        self._close(state, state.connection.process, time.time_ns(), moved, records)
        return records

    def finish(self) -> list[TraceRecord]:
        """The trace is over: every connection that is left ends, with what is known of it."""
        records: list[TraceRecord] = []
        for state in list(self._states.values()):
            self._end_by_totals(state, time.time_ns(), records)
        return records

    def pids(self) -> set[int]:
        """The processes that have connections."""
        return set(self._by_pid)

    def _end_by_totals(self, state: _State, time_ns: int, records: list[TraceRecord]) -> bool:
        """End it with what BPF counted; whether BPF still knows it."""
        pid, handle, generation = state.key
        totals = self._ask.totals(handle, pid)
        moved = (state.expected[0], state.expected[1])
        known = totals is not None and totals.generation == generation
        if totals is not None and known:
            moved = (totals.read_bytes, totals.written_bytes)
        self._close(state, state.connection.process, time_ns, moved, records)
        return known

    # ---- state ----

    def _state(self, header: tuple[Any, ...], records: list[TraceRecord]) -> _State:
        """The connection of a record, with its address and flags brought up to date."""
        handle, generation, tgid = header[1:4]
        state = self._states.get((tgid, handle, generation))
        if state is None:
            state = self._new_state((tgid, handle, generation), header, records)
        if header[12] != state.address or header[9] != state.flags:
            self._learn(state, header[12], header[9])
        return state

    def _learn(self, state: _State, address: bytes, flags: int) -> None:
        connection = state.connection
        if address != state.address and (ends := self._ask.ends(address, state.key[0])):
            connection.local, connection.remote = ends
        state.address, state.flags = address, flags
        connection.inferred = bool(flags & Flag.INFERRED) and connection.remote is not None
        if flags & (Flag.CLIENT | Flag.SERVER):
            connection.role = "client" if flags & Flag.CLIENT else "server"

    def _new_state(self, key: Key, header: tuple[Any, ...], records: list[TraceRecord]) -> _State:
        tgid, handle, _ = key
        older = self._handles.get((tgid, handle))
        if older is not None:
            # Its end was not heard; the handle is used again.
            moved = (older.expected[0], older.expected[1])
            process = older.connection.process
            self._close(older, process, self.wall_clock(header[0]), moved, records)
        if len(self._states) >= MAX_CONNECTIONS:
            self._evict(records)
        self._last_id += 1
        library = self._ask.library(header[7], header[6], tgid)
        connection = Connection(self._last_id, self._process(header), library)
        from_start = bool(header[9] & Flag.FROM_START)
        state = _State(connection, key, self.wall_clock(header[0]), from_start)
        self._states[key] = self._handles[tgid, handle] = state
        self._by_pid.setdefault(tgid, {})[key] = state
        return state

    def _evict(self, records: list[TraceRecord]) -> None:
        state = next(iter(self._states.values()))
        self.evicted += 1
        process = state.connection.process
        moved = (state.expected[0], state.expected[1])
        self._open(state, process, records)
        records.append(Lost(state.connection, process, time.time_ns(), 0, 0, TOO_MANY))
        self._close(state, process, time.time_ns(), moved, records)

    def _open(self, state: _State, process: Process, records: list[TraceRecord]) -> None:
        """Tell of a connection once there is something to tell, so that its address is known by then."""
        if not state.opened:
            state.opened = True
            records.append(Opened(state.connection, process, state.first_ns, state.from_start))

    def _gap(
        self,
        state: _State,
        process: Process,
        direction: int,
        size: int,
        time_ns: int,
        records: list[TraceRecord],
        why: str,
    ) -> None:
        state.missing[direction] += size
        if why == RING_FULL:
            self.known_lost_bytes += size
        records.append(Lost(state.connection, process, time_ns, 0, size, why))

    def _close(
        self,
        state: _State,
        process: Process,
        time_ns: int,
        moved: tuple[int, int],
        records: list[TraceRecord],
    ) -> None:
        """The connection has ended. A handle that was never used, such as a model for others, was none."""
        if not (state.opened or any(moved) or state.connection.remote):
            self._forget(state)
            return
        self._open(state, process, records)
        for direction in (0, 1):
            tail = moved[direction] - state.expected[direction]
            if tail > 0 and direction == _READ and state.flags & Flag.UNOPENED:
                state.unopened[direction] += tail
            elif tail > 0:
                self._gap(state, process, direction, tail, time_ns, records, self.why_missing)
            if unopened := state.unopened[direction]:
                self._gap(state, process, direction, unopened, time_ns, records, UNOPENED)
        read_lost, written_lost = state.missing
        records.append(
            Closed(state.connection, process, time_ns, moved[0], moved[1], read_lost, written_lost)
        )
        self._forget(state)

    def _forget(self, state: _State) -> None:
        del self._states[state.key]
        siblings = self._by_pid[state.key[0]]
        del siblings[state.key]
        if not siblings:
            del self._by_pid[state.key[0]]
        handle = state.key[:2]
        if self._handles.get(handle) is state:
            del self._handles[handle]

    def _process(self, header: tuple[Any, ...]) -> Process:
        tgid, tid, uid, comm = header[3], header[4], header[5], header[11]
        threads = self._threads.get(tgid)
        if threads is None:
            if len(self._threads) >= MAX_PROCESSES:
                self._threads.clear()
            threads = self._threads[tgid] = {}
        process = threads.get((tid, uid, comm))
        if process is None:
            if len(threads) >= MAX_PROCESSES:
                threads.clear()
            text = comm.split(b"\0")[0].decode("utf-8", "backslashreplace")
            process = threads[tid, uid, comm] = self._ask.process(tgid, tid, uid, text)
        return process
