"""Bytes as text: what no decoder understands, and the data of single calls."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from tlstap.records import Data, Undecoded
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import content_lines
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.text.connections import ConnectionText
from tlstap.sinks.text.page import Page


class DataText:
    """Writes bytes."""

    def __init__(self, page: Page, connections: ConnectionText, options: OutputOptions) -> None:
        self._page = page
        self._connections = connections
        self._options = options

    def undecoded(self, record: Undecoded) -> None:
        """Bytes of a stream, and the gap before them."""
        gap: list[Segment] = [("warning", f"[{count(record.lost_before, 'byte')} lost]")]
        if not record.payload:
            # A gap, of which nothing behind it was seen.
            self._bytes(record, gap[0], None, record.stream_id)
            return
        lines = content_lines(record.payload, self._options)
        size = ("note", count(len(record.payload), "byte"))
        self._bytes(record, size, chain([gap], lines) if record.lost_before else lines, record.stream_id)

    def data(self, record: Data) -> None:
        """What one call moved."""
        lines = content_lines(record.payload, self._options)
        if record.length > len(record.payload):
            missing = count(record.length - len(record.payload), "byte")
            lines = chain(lines, [[("warning", f"[{missing} not captured]")]])
        self._bytes(record, ("note", count(record.length, "byte")), lines if record.length else None)

    def _bytes(
        self,
        record: Undecoded | Data,
        what: Segment,
        lines: Iterable[list[Segment]] | None,
        stream_id: int | None = None,
    ) -> None:
        page, connection = self._page, record.connection
        self._connections.announce(connection, record.process, record.time_ns)
        page.block(record.time_ns, connection, [page.mark(record.direction), what], lines, stream_id)
