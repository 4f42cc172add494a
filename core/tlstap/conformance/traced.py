"""Connections as the tracer saw them, for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tlstap.records import Closed, Connection, Data, Direction, Handshake, Lost, Opened, TraceRecord

MOST_BYTES = 256 << 20
"""So much content is kept; a wrong declaration may show any amount."""


@dataclass(slots=True)
class Piece:
    """Bytes that one event showed; `place` is its number in the trace, the times are those of the call."""

    place: int
    began_ns: int
    ended_ns: int
    function: str
    length: int
    payload: bytes


@dataclass(slots=True)
class Traced:
    """One traced connection."""

    connection: Connection
    pid: int
    time_ns: int
    from_start: bool | None = None
    handshakes: list[bool] = field(default_factory=list)
    pieces: dict[Direction, list[Piece]] = field(default_factory=lambda: {"read": [], "write": []})
    closed: list[Closed] = field(default_factory=list)
    closed_at: int = 0
    lost: list[str] = field(default_factory=list)

    def content(self, direction: Direction) -> bytes:
        """The captured bytes of a direction, one piece after another."""
        return b"".join(piece.payload for piece in self.pieces[direction])

    @property
    def moved(self) -> bool:
        """Whether it showed any data."""
        return bool(self.pieces["read"] or self.pieces["write"])

    def functions(self, *directions: Direction) -> list[str]:
        """The functions that showed data, without repetition."""
        return list(dict.fromkeys(piece.function for way in directions for piece in self.pieces[way]))


class Collector:
    """Takes the records of a trace; `connections` are in the order in which they were first seen."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.overflowed = False
        self._most = most_bytes
        self._bytes = 0
        self._place = 0
        self._found: dict[int, Traced] = {}

    @property
    def connections(self) -> list[Traced]:
        return list(self._found.values())

    def take_all(self, records: Iterable[TraceRecord]) -> None:
        """Take records until there are none left."""
        for record in records:
            self.take(record)

    def take(self, record: TraceRecord) -> None:
        """Take one record."""
        self._place += 1
        if record.connection is None or record.process is None:
            return
        connection = record.connection
        traced = self._found.get(connection.id)
        if traced is None:
            traced = self._found[connection.id] = Traced(connection, record.process.pid, record.time_ns)
        match record:
            case Opened():
                traced.from_start = record.from_start
            case Handshake():
                traced.handshakes.append(record.ok)
            case Data():
                self._take_data(traced, record)
            case Closed():
                traced.closed.append(record)
                traced.closed_at = self._place
            case Lost():
                traced.lost.append(f"{record.bytes} bytes lost: {record.why}")

    def _take_data(self, traced: Traced, record: Data) -> None:
        self._bytes += len(record.payload)
        if self._bytes > self._most:
            self.overflowed = True
            return
        began_ns = record.time_ns - record.duration_ns
        piece = Piece(self._place, began_ns, record.time_ns, record.function, record.length, record.payload)
        traced.pieces[record.direction].append(piece)
