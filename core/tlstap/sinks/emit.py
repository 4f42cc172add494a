"""Numbers the records and hands them to a sink."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from tlstap.convert import KIND_OF
from tlstap.records import Record
from tlstap.sinks.base import Sink


class Emitter:
    """The end of the way: every record of a run goes through `write`, in order.

    `events` is how many events there were, shown or not; `wants_messages` tells whether the sink shows
    anything that has to be decoded. Call `flush` after each batch of records, so that
    somebody who reads from a pipe has them at once.
    """

    def __init__(self, sink: Sink, stream: TextIO, *, wants_messages: bool = True) -> None:
        self.events = 0
        self.wants_messages = wants_messages
        self._sink = sink
        self._stream = stream

    def write(self, records: Iterable[Record]) -> None:
        """Give records to the sink. An event's number counts the events before it in the run."""
        write = self._sink.write
        for record in records:
            write(record, self.events)
            if KIND_OF.get(type(record)) is not None:
                self.events += 1

    def flush(self) -> None:
        """Let what was written out."""
        self._stream.flush()

    def close(self) -> None:
        """Let the sink write its end. The stream stays open: it is its opener's."""
        self._sink.close()
        self._stream.flush()
