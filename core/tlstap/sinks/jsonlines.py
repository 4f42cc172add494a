"""One event of the schema on each line, for programs; `tlstap replay` reads it again."""

from __future__ import annotations

from typing import TextIO

from tlstap.convert import KIND_OF, to_event, to_json
from tlstap.records import Data, Record
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.data_lines import DataLines
from tlstap.sinks.escape import escape_json


class JsonLinesSink(Sink):
    """Writes `schema` events as JSON lines."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._stream = stream
        self._data_lines = DataLines()
        self._wanted = frozenset(
            record
            for record, kind in KIND_OF.items()
            if kind is not None and (options.kinds is None or kind in options.kinds)
        )

    def write(self, record: Record, seq: int) -> None:
        if type(record) not in self._wanted:
            return
        if isinstance(record, Data):
            self._stream.write(self._data_lines.line(record, seq) + "\n")
            return
        event = to_event(record, seq)
        if event is not None:
            self._stream.write(escape_json(to_json(event)) + "\n")


SINK = SinkType("json", "one event on each line, for programs and for replay", JsonLinesSink)
