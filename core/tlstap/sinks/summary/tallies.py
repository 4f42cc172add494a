"""What the summary counts until it can say it in one line: messages of a channel, undecoded bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from tlstap.records import Connection, Direction, Exchange, ProtocolMessage, Undecoded
from tlstap.schema import Process

MAX_CONNECTIONS = 65_536
MAX_CHANNELS = 256
"""Streams of one connection of which messages are counted."""

_CONTROL = frozenset({"ping", "pong", "close"})
"""Types of WebSocket's messages that carry nothing of the application's."""
_CLOSE = "close"


@dataclass(slots=True)
class Tally:
    """Messages of one protocol on one channel, by direction."""

    connection: Connection
    process: Process
    protocol: str
    stream_id: int | None
    exchange: Exchange | None
    first_ns: int
    last_ns: int
    messages: dict[Direction, int] = field(default_factory=lambda: {"write": 0, "read": 0})
    bytes: dict[Direction, int] = field(default_factory=lambda: {"write": 0, "read": 0})
    closing: set[Direction] = field(default_factory=set)

    def add(self, record: ProtocolMessage) -> None:
        """Count a message."""
        self.last_ns = record.time_ns
        if self.protocol == "websocket" and record.type in _CONTROL:
            if record.type == _CLOSE:
                self.closing.add(record.direction)
            return
        self.messages[record.direction] += 1
        self.bytes[record.direction] += record.size

    @property
    def over(self) -> bool:
        """Both ends have said that nothing more comes."""
        return len(self.closing) == 2


@dataclass(slots=True)
class Bytes:
    """Bytes of one connection that no decoder understood, by direction, and how many were not captured."""

    connection: Connection
    process: Process
    undecoded: dict[Direction, int] = field(default_factory=lambda: {"write": 0, "read": 0})
    lost: int = 0

    def add(self, record: Undecoded) -> None:
        """Count bytes."""
        self.undecoded[record.direction] += len(record.payload)
        self.lost += record.lost_before


@dataclass(slots=True)
class _OfConnection:
    channels: dict[tuple[int | None, str], Tally] = field(default_factory=dict)
    bytes: Bytes | None = None

    def all(self) -> list[Tally | Bytes]:
        """What was counted, in the order in which it is to be told."""
        return [*self.channels.values(), *([self.bytes] if self.bytes else [])]


class Tallies:
    """Counts. Methods return what is over by that, and is then forgotten; what is kept is bounded."""

    def __init__(self) -> None:
        self._connections: dict[int, _OfConnection] = {}

    def message(self, record: ProtocolMessage) -> list[Tally | Bytes]:
        """Count a message."""
        known, over = self._of(record.connection)
        key = (record.stream_id, record.protocol)
        tally = known.channels.get(key)
        if tally is None:
            if len(known.channels) >= MAX_CHANNELS:
                over.append(known.channels.pop(next(iter(known.channels))))
            tally = known.channels[key] = Tally(
                record.connection,
                record.process,
                record.protocol,
                record.stream_id,
                record.exchange,
                record.time_ns,
                record.time_ns,
            )
        tally.add(record)
        if tally.over:
            over.append(known.channels.pop(key))
        return over

    def undecoded(self, record: Undecoded) -> list[Tally | Bytes]:
        """Count bytes."""
        known, over = self._of(record.connection)
        if known.bytes is None:
            known.bytes = Bytes(record.connection, record.process)
        known.bytes.add(record)
        return over

    def stream_over(self, connection: Connection, stream_id: int) -> list[Tally | Bytes]:
        """A stream of HTTP/2 is over."""
        known = self._connections.get(connection.id)
        keys = [key for key in known.channels if key[0] == stream_id] if known is not None else []
        return [known.channels.pop(key) for key in keys] if known is not None else []

    def connection_over(self, connection: Connection) -> list[Tally | Bytes]:
        """A connection is over."""
        known = self._connections.pop(connection.id, None)
        return known.all() if known is not None else []

    def trace_over(self) -> list[Tally | Bytes]:
        """The trace is over: everything that is left."""
        left = [item for known in self._connections.values() for item in known.all()]
        self._connections.clear()
        return left

    def _of(self, connection: Connection) -> tuple[_OfConnection, list[Tally | Bytes]]:
        known = self._connections.get(connection.id)
        over: list[Tally | Bytes] = []
        if known is None:
            if len(self._connections) >= MAX_CONNECTIONS:
                over = self._connections.pop(next(iter(self._connections))).all()
            known = self._connections[connection.id] = _OfConnection()
        return known, over
