"""Reassembly: data records of a connection become two byte streams with every gap known.

Offsets are the only authority on order. A jump forward is a gap; what arrives for a place that the stream
has passed (a duplicate, an overlap, a record that came too late) is dropped and counted, so the result is
the same however hostile the offsets are, and nothing is ever held back.
"""

from __future__ import annotations

from tlstap.protocols.base import StreamBytes
from tlstap.records import Closed, Data, Direction


class Stream:
    """One direction of a connection. All counts are bytes of the stream.

    `captured + lost` is how far the stream came from where it began; `late` counts captured bytes that were
    dropped because the stream had already passed their place.
    """

    __slots__ = ("captured", "direction", "late", "lost", "next_offset")

    def __init__(self, direction: Direction, start: int | None) -> None:
        """:param start: offset at which the stream begins; None if the first record decides."""
        self.direction: Direction = direction
        self.next_offset = start
        self.captured = 0
        self.lost = 0
        self.late = 0

    def feed(self, record: Data) -> list[StreamBytes]:
        """The record's new bytes with the gap before them, and the gap that its uncaptured tail leaves."""
        payload, length, offset = record.payload, max(0, record.length), record.offset
        if len(payload) > length:
            payload = payload[:length]
        expected = self.next_offset
        if expected is None:
            expected = offset
        elif offset < expected:
            passed = min(expected - offset, length)
            self.late += min(passed, len(payload))
            payload, length, offset = payload[passed:], length - passed, offset + passed
            if not length:
                return []
        gap, tail, end = offset - expected, length - len(payload), offset + length
        self.lost += gap + tail
        self.captured += len(payload)
        self.next_offset = end
        if not payload:
            return [self._gap(end, gap + tail, record)] if gap + tail else []
        data = StreamBytes(self.direction, offset, payload, gap, record.time_ns, record.process)
        return [data, self._gap(end, tail, record)] if tail else [data]

    def close(self, record: Closed) -> list[StreamBytes]:
        """The gap at the end of the stream, if the application moved more bytes than were seen."""
        moved = record.read_bytes if self.direction == "read" else record.written_bytes
        gap = moved - (self.next_offset or 0)
        if gap <= 0:
            return []
        self.lost += gap
        self.next_offset = moved
        return [self._gap(moved, gap, record)]

    def _gap(self, end: int, size: int, record: Data | Closed) -> StreamBytes:
        return StreamBytes(self.direction, end, b"", size, record.time_ns, record.process)


class Reassembly:
    """Both directions of one connection."""

    __slots__ = ("read", "write")

    def __init__(self, from_start: bool) -> None:
        """:param from_start: the streams begin at offset 0; otherwise where their first records are."""
        start = 0 if from_start else None
        self.read = Stream("read", start)
        self.write = Stream("write", start)

    def feed(self, record: Data) -> list[StreamBytes]:
        """What a record adds to its stream."""
        return (self.read if record.direction == "read" else self.write).feed(record)

    def close(self, record: Closed) -> list[StreamBytes]:
        """The gaps at the ends of both streams, as the connection's own byte counts tell them."""
        return self.read.close(record) + self.write.close(record)
