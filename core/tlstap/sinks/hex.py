"""Every record of data as a hex dump, with nothing decoded or left out."""

from __future__ import annotations

from typing import TextIO

from tlstap.records import Data, Lost, Record
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import arrows_for, clock, count, library_word, process_words, tag
from tlstap.sinks.hexdump import hexdump
from tlstap.sinks.layout import Layout, Segment
from tlstap.sinks.words.trace import lost_words

KINDS = frozenset({"data", "lost"})


class HexSink(Sink):
    """A header line and rows of offset, hexadecimal and ASCII for each record of data."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._stream = stream
        self._kinds = KINDS if options.kinds is None else KINDS & options.kinds
        self._layout = Layout(options.color, options.width)
        self._arrows = arrows_for(stream)

    def write(self, record: Record, seq: int) -> None:
        if isinstance(record, Data):
            if "data" in self._kinds:
                self._stream.write(self._data(record))
        elif isinstance(record, Lost) and "lost" in self._kinds:
            self._stream.write(self._lost(record))

    def _data(self, record: Data) -> str:
        connection = record.connection
        what: list[Segment] = [
            (record.direction, f"{self._arrows[record.direction]} {count(record.length, 'byte')}"),
            ("", f" at {record.offset:#x}"),
        ]
        line = self._layout.line
        head = self._layout.words(
            [
                [clock(record.time_ns)],
                [tag(connection)],
                *process_words(record.process),
                [*library_word(connection.library), ("", f" {escape(record.function)}")],
                what,
            ]
        )
        rows = [line(row) for row in hexdump(record.payload, record.offset)]
        if record.length > len(record.payload):
            missing = count(record.length - len(record.payload), "byte")
            rows.append(line([("warning", f"[{missing} not captured]")]))
        return head + "".join(rows)

    def _lost(self, record: Lost) -> str:
        words = [[clock(record.time_ns)], lost_words(record)]
        if record.connection is not None:
            words.insert(1, [tag(record.connection)])
        return self._layout.words(words)


SINK = SinkType("hex", "a hex dump of every read and write", HexSink, KINDS)
