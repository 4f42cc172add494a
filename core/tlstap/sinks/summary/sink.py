"""The summary: one line for each request with its response, when both are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TextIO

from tlstap.records import (
    Closed,
    Connection,
    Direction,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    ProtocolMessage,
    Record,
    Undecoded,
)
from tlstap.schema import Process
from tlstap.sinks.base import OutputOptions, Sink
from tlstap.sinks.layout import Segment
from tlstap.sinks.roles import Roles
from tlstap.sinks.summary.cells import bytes_words, pair_cells, tally_words
from tlstap.sinks.summary.rows import Rows, Subject
from tlstap.sinks.summary.tallies import Bytes, Tallies, Tally
from tlstap.sinks.words import control
from tlstap.sinks.words.parts import BodyParts, is_part
from tlstap.sinks.words.trace import handshake_words, lost_words

SUMMARY_KINDS = frozenset({"handshake", "http", "message", "lost"})


class SummarySink(Sink):
    """Writes rows. Connections are not shown, but failed handshakes, losses and what was not decoded."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._stream = stream
        self._rows = Rows(stream, options)
        self._parts = BodyParts()
        self._tallies = Tallies()
        self._roles = Roles()
        self._now = 0
        self._handlers = self._choose_handlers(options.kinds)

    def _choose_handlers(self, kinds: frozenset[str] | None) -> dict[type, Callable[[Any], None]]:
        handlers: dict[type, Callable[[Any], None]] = {Closed: self._closed}
        if kinds is None or "handshake" in kinds:
            handlers[Handshake] = self._handshake
        if kinds is None or "lost" in kinds:
            handlers[Lost] = self._lost
        self._shows_pairs = kinds is None or "http" in kinds
        self._shows_messages = kinds is None or "message" in kinds
        if self._shows_pairs:
            handlers[HeadSeen] = self._roles.see
        if kinds is None or kinds & {"http", "message"}:
            handlers |= {ExchangeEnded: self._exchange, ProtocolMessage: self._message}
        if kinds is None:
            handlers[Undecoded] = self._undecoded
        return handlers

    def write(self, record: Record, seq: int) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            self._now = record.time_ns
            handler(record)

    def close(self) -> None:
        self._tell(self._tallies.trace_over())

    def _exchange(self, record: ExchangeEnded) -> None:
        exchange = record.exchange
        if self._shows_pairs:
            self._pair(record)
        self._parts.forget(exchange)
        if exchange.stream_id is not None and exchange.protocol == "HTTP/2":
            self._tell(self._tallies.stream_over(exchange.connection, exchange.stream_id))

    def _pair(self, record: ExchangeEnded) -> None:
        exchange = record.exchange
        cells = pair_cells(exchange, self._parts, complete=record.complete)
        subject = self._subject(exchange.connection, exchange.process, exchange.stream_id)
        self._stream.write(self._rows.pair(record.time_ns, subject, cells))

    def _message(self, record: ProtocolMessage) -> None:
        if is_part(record):
            self._parts.add(record)
        elif not self._shows_messages:
            return
        elif record.protocol == control.PROTOCOL:
            if control.is_error(record):
                subject = Subject(record.connection, record.process, None, record.direction)
                self._row(record.time_ns, subject, [control.words(record)])
        else:
            self._tell(self._tallies.message(record))

    def _undecoded(self, record: Undecoded) -> None:
        self._tell(self._tallies.undecoded(record))

    def _handshake(self, record: Handshake) -> None:
        if not record.ok:
            subject = self._subject(record.connection, record.process, None)
            self._row(record.time_ns, subject, [handshake_words(record)])

    def _lost(self, record: Lost) -> None:
        connection = record.connection
        if connection is None:
            self._stream.write(self._rows.line(record.time_ns, [lost_words(record)]))
        else:
            subject = Subject(connection, record.process or connection.process, None, None)
            self._row(record.time_ns, subject, [lost_words(record)])

    def _closed(self, record: Closed) -> None:
        self._tell(self._tallies.connection_over(record.connection))
        self._roles.forget(record.connection)

    def _tell(self, items: Iterable[Tally | Bytes]) -> None:
        """Write what was counted."""
        for item in items:
            if isinstance(item, Tally):
                words, stream_id = tally_words(item), item.stream_id
            else:
                words, stream_id = bytes_words(item), None
            subject = self._subject(item.connection, item.process, stream_id)
            self._row(self._now, subject, words)

    def _row(self, time_ns: int, subject: Subject, words: list[list[Segment]]) -> None:
        self._stream.write(self._rows.text(time_ns, subject, words))

    def _subject(self, connection: Connection, process: Process, stream_id: int | None) -> Subject:
        """With the arrow of a client or a server."""
        role = self._roles.of(connection)
        way: Direction | None = None if role is None else "write" if role == "client" else "read"
        return Subject(connection, process, stream_id, way)
