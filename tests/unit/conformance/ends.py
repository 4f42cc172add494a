"""What a driver says and what a trace shows, written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.samples import NOW, connection

from tlstap.conformance.scenarios import End, Stream, fnv1a64
from tlstap.conformance.traced import Collector, Traced
from tlstap.records import Closed, Data, Direction, Handshake, Lost, Opened, Record, Role

ASKED, ANSWERED = b"a question of the client", b"the server's answer"

Call = tuple[Direction, bytes, str]
"""Direction, bytes, function."""


def stream(data: bytes) -> Stream:
    return Stream(bytes=len(data), fnv1a64=fnv1a64(data))


def end(read: bytes, written: bytes, role: Role = "client", **changes: Any) -> End:
    return End(role=role, read=stream(read), written=stream(written), **changes)


CLIENT, SERVER = end(ANSWERED, ASKED), end(ASKED, ANSWERED, "server")


class Trace:
    """Records as they come from a session; each one a microsecond after the one before."""

    def __init__(self) -> None:
        self._collector = Collector()
        self._ids = iter(range(1, 1000))
        self._time = NOW

    def take(self, record: Record) -> None:
        self._collector.take(record)  # type: ignore[arg-type]

    def now(self) -> int:
        self._time += 1000
        return self._time

    def open(self, role: Role | None = "client", *, from_start: bool = True) -> Seen:
        return Seen(self, next(self._ids), role, from_start)

    @property
    def seen(self) -> list[Traced]:
        return self._collector.connections


class Seen:
    """A connection in the trace."""

    def __init__(self, trace: Trace, number: int, role: Role | None, from_start: bool) -> None:
        self._trace = trace
        self.of = connection(id=number, role=role)
        self._moved = {"read": 0, "write": 0}
        trace.take(Opened(self.of, self.of.process, trace.now(), from_start))

    def handshake(self, *, ok: bool = True) -> None:
        self._trace.take(Handshake(self.of, self.of.process, self._trace.now(), 100, ok))

    def call(self, way: Direction, data: bytes, function: str | None = None, *, unreadable: int = 0) -> None:
        """A call that took half a microsecond."""
        offset, payload = self._moved[way], data[: len(data) - unreadable]
        self._moved[way] += len(data)
        name = function or f"tls_{way}"
        now = self._trace.now()
        self._trace.take(Data(self.of, self.of.process, now, way, offset, len(data), payload, name, 500))

    def lose(self, size: int) -> None:
        self._trace.take(Lost(self.of, self.of.process, self._trace.now(), 1, size, "the ring was full"))

    def close(self) -> None:
        read, written = self._moved["read"], self._moved["write"]
        self._trace.take(Closed(self.of, self.of.process, self._trace.now(), read, written, 0, 0))


def one_exchange(trace: Trace) -> tuple[Seen, Seen]:
    """A client and a server that were seen as they should be."""
    client, server = trace.open("client"), trace.open("server")
    client.handshake()
    server.handshake()
    client.call("write", ASKED)
    server.call("read", ASKED)
    server.call("write", ANSWERED)
    client.call("read", ANSWERED)
    client.close()
    server.close()
    return client, server


def calls(*those: Call, role: Role = "client") -> list[Traced]:
    """One connection with these calls."""
    trace = Trace()
    seen = trace.open(role)
    for way, data, function in those:
        seen.call(way, data, function)
    return trace.seen


def texts(checks: Sequence[Any]) -> list[str]:
    return [f"{one.name}: {one.text}" for one in checks if one.outcome == "failed"]
