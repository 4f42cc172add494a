"""A saved capture's events back to records, for `tlstap replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pydantic import ValidationError

from tlstap import schema
from tlstap.errors import CaptureError
from tlstap.records import Closed, Connection, Data, Handshake, Lost, Opened, TraceRecord

MAX_CONNECTIONS = 65_536
"""Connections of a capture that are remembered at the same time; the oldest is forgotten first."""


MAX_LINE = 1 << 30
"""Bytes of a line: an exchange with the largest bodies that are kept, in base64, is smaller."""


def read_lines(read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """Split what `read` returns, until it returns nothing, into lines with their ends.

    A line is given out before `read` is called again, so that a capture can be followed as it is written.

    :raises CaptureError: a line is longer than MAX_LINE.
    """
    pending = bytearray()
    while chunk := read():
        pending += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(pending).split(b"\n")
            pending = bytearray(rest)
            for line in lines:
                yield line + b"\n"
        if len(pending) > MAX_LINE:
            raise CaptureError(f"{name} has a line of more than {MAX_LINE:,} bytes; is it a capture?")
    if pending:
        yield bytes(pending)


class CaptureReader:
    """Reads a capture saved with `-f json`: iterate over it once for the records it was made of.

    The events of a connection share one `records.Connection`, which later events bring up to date, as in
    the live trace. `http` and `secret` events are not given out: the former are decoded anew.
    `last_time_ns` is the time of the latest line read, for `Pipeline.finish`: a replay then ends as the
    trace did.
    """

    def __init__(self, lines: Iterable[bytes], name: str = "<capture>") -> None:
        """:param lines: one event each, with or without the line's end. `name` is for messages."""
        self.last_time_ns = 0
        self._lines = lines
        self._name = name
        self._connections: dict[int, Connection] = {}

    def __iter__(self) -> Iterator[TraceRecord]:
        """:raises CaptureError: a line is not an event; it names file and line. Stop there."""
        for number, line in enumerate(self._lines, 1):
            if not line.strip():
                continue
            try:
                event = schema.event_adapter.validate_json(line)
                record = self._record(event)
            except ValidationError as error:
                cut = not line.endswith(b"\n") and error.errors()[0]["type"] == "json_invalid"
                reason = "is cut off" if cut else f"is not an event of tlstap ({_first_reason(error)})"
                raise self._error(number, reason) from None
            except ValueError as error:
                raise self._error(number, f"contradicts itself ({error})") from None
            self.last_time_ns = event.time_ns
            if record is not None:
                yield record

    def _error(self, number: int, reason: str) -> CaptureError:
        return CaptureError(
            f"{self._name}, line {number} {reason}; expected lines as tlstap -f json writes them"
        )

    def _record(self, event: schema.Event) -> TraceRecord | None:
        if isinstance(event, schema.LostEvent):
            return self._lost(event)
        connection = self._connection(event.process, event.library, event.connection)
        process, time_ns = event.process, event.time_ns
        match event:
            case schema.DataEvent():
                return _data(event, connection)
            case schema.OpenEvent():
                return Opened(connection, process, time_ns, event.from_start)
            case schema.HandshakeEvent():
                return Handshake(connection, process, time_ns, event.duration_ns, event.ok)
            case schema.CloseEvent():
                self._connections.pop(connection.id, None)
                return Closed(
                    connection,
                    process,
                    time_ns,
                    event.read_bytes,
                    event.written_bytes,
                    event.read_lost,
                    event.written_lost,
                )
            case _:
                return None

    def _lost(self, event: schema.LostEvent) -> Lost:
        connection = None
        if event.connection is not None:
            if event.process is None or event.library is None:
                raise ValueError("a connection without process or library")
            connection = self._connection(event.process, event.library, event.connection)
        return Lost(connection, event.process, event.time_ns, event.count, event.bytes, event.why)

    def _connection(
        self, process: schema.Process, library: schema.LibraryInfo, seen: schema.Connection
    ) -> Connection:
        connection = self._connections.get(seen.id)
        if connection is None:
            if len(self._connections) >= MAX_CONNECTIONS:
                del self._connections[next(iter(self._connections))]
            connection = self._connections[seen.id] = Connection(seen.id, process, library)
        connection.library = library
        connection.local = seen.local
        connection.remote = seen.remote
        connection.inferred = seen.inferred
        connection.role = seen.role
        connection.sni = seen.sni
        connection.alpn = seen.alpn
        connection.tls_version = seen.tls_version
        connection.cipher = seen.cipher
        return connection


def from_events(lines: Iterable[bytes], name: str = "<capture>") -> Iterator[TraceRecord]:
    """The records of a saved capture; see CaptureReader."""
    return iter(CaptureReader(lines, name))


def _data(event: schema.DataEvent, connection: Connection) -> Data:
    if event.captured != len(event.data) or event.captured > event.length or event.offset < 0:
        raise ValueError(
            f"offset {event.offset}, length {event.length}, captured {event.captured}, "
            f"but {len(event.data)} bytes of data"
        )
    return Data(
        connection,
        event.process,
        event.time_ns,
        event.direction,
        event.offset,
        event.length,
        event.data,
        event.function,
        event.duration_ns,
    )


def _first_reason(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    # The first part of a place is the union's tag, which repeats the kind.
    place = ".".join(str(part) for part in detail["loc"][1:])
    if place == "schema_version":
        return f"schema_version: this tlstap reads version {schema.SCHEMA_VERSION}; a newer one may be needed"
    return f"{place}: {detail['msg']}" if place else detail["msg"]
