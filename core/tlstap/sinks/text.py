"""Text for people: connections, and on each the messages as they come.

Every block begins with the time and the tag of its connection (#3, for a stream of HTTP/2 #3/15), so that
interleaved connections can be told apart; what belongs to a block is indented and written at once with it.
An arrow says whether the traced process sent (→) or received (←).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TextIO

from tlstap.records import (
    Closed,
    Connection,
    Data,
    Direction,
    Exchange,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    Message,
    MessageEnded,
    Opened,
    Record,
    Undecoded,
)
from tlstap.schema import Process
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.content import content_lines
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import (
    arrows_for,
    clock,
    connection_words,
    count,
    duration,
    library_word,
    process_words,
    tag,
)
from tlstap.sinks.http_text import body_title, header, incomplete, request_line, status_line
from tlstap.sinks.layout import Layout, Segment

MAX_CONNECTIONS = 65_536
"""Connections of which it is remembered that their line was shown; a forgotten one is shown again."""

_Shape = Literal["line", "block", "connection"]
_FOLLOWED = frozenset({"handshake", "data", "http", "close"})


@dataclass(slots=True)
class _Known:
    """What a connection's line has told so far."""

    from_start: bool = True
    shown: bool = False
    remote: bool = False
    sni: bool = False


class TextSink(Sink):
    """Shows a trace as it happens."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._stream = stream
        self._options = options
        self._layout = Layout(options.color, options.width)
        self._arrows = arrows_for(stream)
        self._known: dict[int, _Known] = {}
        self._last: Message | None = None
        self._last_exchange: Exchange | None = None
        self._shape: _Shape | None = None
        self._handlers = self._choose_handlers(options.kinds)

    def write(self, record: Record, seq: int) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def _choose_handlers(self, kinds: frozenset[str] | None) -> dict[type, Callable[[Any], None]]:
        """Opened and Closed are always taken note of; raw data is shown only when asked for by name."""
        handlers: dict[type, Callable[[Any], None]] = {Opened: self._opened, Closed: self._closed}
        if kinds is None or "handshake" in kinds:
            handlers[Handshake] = self._handshake
        if kinds is None or "http" in kinds:
            handlers |= {HeadSeen: self._head, MessageEnded: self._body, ExchangeEnded: self._exchange}
        if kinds is None or "lost" in kinds:
            handlers[Lost] = self._lost
        if kinds is None:
            handlers[Undecoded] = self._undecoded
        elif "data" in kinds:
            handlers[Data] = self._data
        return handlers

    def _wants(self, kind: str) -> bool:
        return self._options.kinds is None or kind in self._options.kinds

    # Connections

    def _opened(self, record: Opened) -> None:
        connection = record.connection
        self._remember(connection).from_start = record.from_start
        # The addresses are often known only later: then the line waits until there is something to show.
        nothing_follows = self._options.kinds is not None and not self._options.kinds & _FOLLOWED
        if self._wants("open") and (connection.remote is not None or nothing_follows):
            self._announce(connection, record.process, record.time_ns)

    def _remember(self, connection: Connection) -> _Known:
        known = self._known.get(connection.id)
        if known is None:
            if len(self._known) >= MAX_CONNECTIONS:
                del self._known[next(iter(self._known))]
            known = self._known[connection.id] = _Known()
        return known

    def _announce(self, connection: Connection, process: Process, time_ns: int) -> None:
        """Write the connection's line, unless it was and nothing that it lacked became known."""
        known = self._remember(connection)
        has_remote, has_sni = connection.remote is not None, bool(connection.sni)
        if known.shown and known.remote >= has_remote and known.sni >= has_sni:
            return
        words: list[list[Segment]] = [[clock(time_ns)], [tag(connection)]]
        if known.shown:
            words.append([("note", "is")])
        else:
            words += [*process_words(process), library_word(connection.library)]
        words += connection_words(connection, self._arrows["write"], known.from_start)
        known.shown, known.remote, known.sni = True, has_remote, has_sni
        self._put(self._layout.words(words), "connection")

    def _handshake(self, record: Handshake) -> None:
        connection = record.connection
        self._announce(connection, record.process, record.time_ns)
        if record.ok:
            alpn = f"alpn {connection.alpn}" if connection.alpn else None
            details = [text for text in (connection.tls_version, connection.cipher, alpn) if text]
            text = escape(" ".join(["handshake", *details]))
            what = [("note", f"{text} ({duration(record.duration_ns)})")]
        else:
            what = [("warning", "handshake failed"), ("note", f" ({duration(record.duration_ns)})")]
        self._block(record.time_ns, connection, what)

    def _closed(self, record: Closed) -> None:
        connection = record.connection
        if self._wants("close"):
            self._announce(connection, record.process, record.time_ns)
            what: list[Segment] = [
                (
                    "note",
                    f"closed: {count(record.written_bytes, 'byte')} sent, "
                    f"{count(record.read_bytes, 'byte')} received",
                )
            ]
            if record.written_lost or record.read_lost:
                lost = f"{count(record.written_lost, 'byte')} sent and {record.read_lost:,} received"
                what.append(("warning", f"; of them lost: {lost}"))
            self._block(record.time_ns, connection, what)
        self._known.pop(connection.id, None)

    def _lost(self, record: Lost) -> None:
        what = f"{count(record.count, 'record')} lost, {count(record.bytes, 'byte')}: {escape(record.why)}"
        segments: list[Segment] = [("warning", f"! {what}")]
        if record.connection is None:
            self._put(self._layout.line([clock(record.time_ns), ("", " "), *segments], 0), "line")
            return
        process = record.process or record.connection.process
        self._announce(record.connection, process, record.time_ns)
        self._block(record.time_ns, record.connection, segments)

    # HTTP

    def _head(self, record: HeadSeen) -> None:
        exchange, message = record.exchange, record.message
        self._announce(exchange.connection, exchange.process, record.time_ns)
        if message.is_request:
            what = request_line(exchange, message)
        else:
            what = status_line(exchange, message, follows_request=self._last_exchange is exchange)
        headers = [header(name, value) for name, value in message.headers]
        self._http_block(record, [self._mark(record.direction), *what], headers or None)
        self._last, self._last_exchange = message, exchange

    def _body(self, record: MessageEnded) -> None:
        exchange, message = record.exchange, record.message
        content_type = next((v for name, v in message.headers if name.lower() == "content-type"), "")
        if not message.body and not message.trailers:
            return
        lines = chain(content_lines(message.body, self._options, content_type), _trailers(message))
        if self._last is message:
            # Right below its headers: an empty line, as on the wire.
            self._stream.write("\n")
            self._put_lines(lines)
            return
        self._announce(exchange.connection, exchange.process, record.time_ns)
        self._http_block(record, [self._mark(record.direction), *body_title(exchange, message)], lines)
        self._last_exchange = exchange

    def _exchange(self, record: ExchangeEnded) -> None:
        exchange = record.exchange
        if not record.complete or exchange.missing:
            self._announce(exchange.connection, exchange.process, record.time_ns)
            self._http_block(record, incomplete(exchange))
        if self._last_exchange is exchange:
            self._last = self._last_exchange = None

    def _http_block(
        self,
        record: HeadSeen | MessageEnded | ExchangeEnded,
        what: list[Segment],
        lines: Iterable[list[Segment]] | None = None,
    ) -> None:
        exchange = record.exchange
        self._block(record.time_ns, exchange.connection, what, lines, exchange.stream_id)

    # Other data

    def _undecoded(self, record: Undecoded) -> None:
        gap: list[Segment] = [("warning", f"[{count(record.lost_before, 'byte')} lost]")]
        if not record.payload:
            # A gap, of which nothing behind it was seen.
            self._bytes(record, gap[0], None)
            return
        lines = content_lines(record.payload, self._options)
        size = ("note", count(len(record.payload), "byte"))
        self._bytes(record, size, chain([gap], lines) if record.lost_before else lines)

    def _data(self, record: Data) -> None:
        lines = content_lines(record.payload, self._options)
        if record.length > len(record.payload):
            missing = count(record.length - len(record.payload), "byte")
            lines = chain(lines, [[("warning", f"[{missing} not captured]")]])
        self._bytes(record, ("note", count(record.length, "byte")), lines if record.length else None)

    def _bytes(self, record: Undecoded | Data, what: Segment, lines: Iterable[list[Segment]] | None) -> None:
        self._announce(record.connection, record.process, record.time_ns)
        self._block(record.time_ns, record.connection, [self._mark(record.direction), what], lines)

    # Layout

    def _mark(self, direction: Direction) -> Segment:
        return (direction, f"{self._arrows[direction]} ")

    def _block(
        self,
        time_ns: int,
        connection: Connection,
        what: list[Segment],
        lines: Iterable[list[Segment]] | None = None,
        stream_id: int | None = None,
    ) -> None:
        """Write a line with the connection's tag, and what belongs below it: None for nothing."""
        head = [clock(time_ns), ("", " "), tag(connection, stream_id), ("", " "), *what]
        self._put(self._layout.line(head, 0), "line" if lines is None else "block")
        if lines is not None:
            self._put_lines(lines)

    def _put(self, line: str, shape: _Shape) -> None:
        """Write a block's first line, with an empty line above where it helps the eye."""
        previous = self._shape
        apart = previous == "block" or (previous == "line" and shape != "line")
        self._stream.write("\n" + line if apart or (previous and shape == "connection") else line)
        self._shape = shape
        self._last = self._last_exchange = None

    def _put_lines(self, lines: Iterable[list[Segment]]) -> None:
        # One by one: with no limit a body may have millions.
        for line in lines:
            self._stream.write(self._layout.line(line))
        self._shape = "block"


def _trailers(message: Message) -> list[list[Segment]]:
    return [[], *[header(name, value) for name, value in message.trailers]] if message.trailers else []


SINK = SinkType("text", "for reading: connections, requests and responses", TextSink)
