"""Numbers the records and hands them to a sink."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from tlstap.convert import KIND_OF
from tlstap.errors import PluginError
from tlstap.records import Record
from tlstap.sinks.base import Sink


class Emitter:
    """The end of the way: every record of a run goes through `write`, in order.

    `events` is how many events there were, shown or not; `wants_messages` tells whether the sink shows
    anything that has to be decoded. Call `flush` after each batch of records, so that
    somebody who reads from a pipe has them at once.

    :param third_party: whose the sink is, in words, if it is a third party's. If that raises, the run ends:
        with a PluginError from `write` or `close`, and the sink gets no more.
    """

    def __init__(
        self, sink: Sink, stream: TextIO, *, wants_messages: bool = True, third_party: str | None = None
    ) -> None:
        self.events = 0
        self.wants_messages = wants_messages
        self._sink = sink
        self._stream = stream
        self._third_party = third_party
        self._failed = False

    def write(self, records: Iterable[Record]) -> None:
        """Give records to the sink. An event's number counts the events before it in the run."""
        write = self._sink.write
        for record in () if self._failed else records:
            try:
                write(record, self.events)
            except (Exception, SystemExit) as error:
                self._blame("write", error)
                raise
            if KIND_OF.get(type(record)) is not None:
                self.events += 1

    def flush(self) -> None:
        """Let what was written out."""
        self._stream.flush()

    def close(self) -> None:
        """Let the sink write its end. The stream stays open: it is its opener's."""
        if not self._failed:
            try:
                self._sink.close()
            except (Exception, SystemExit) as error:
                self._blame("close", error)
                raise
        self._stream.flush()

    def _blame(self, method: str, error: BaseException) -> None:
        """Raise a PluginError if a third party's sink raised what it must not."""
        if self._third_party is not None and not isinstance(error, OSError):
            self._failed = True
            raise PluginError(blame_sink(self._third_party, method, error)) from error


def blame_sink(third_party: str, method: str, error: BaseException) -> str:
    """What a third party's output format did wrong, as one line."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"{third_party}: its output format failed: {method}() raised {reason}"
