"""Messages of other protocols as text: WebSocket, server-sent events, gRPC, and what plugins decode."""

from __future__ import annotations

from itertools import chain

from tlstap.records import ProtocolMessage
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.text.connections import ConnectionText
from tlstap.sinks.text.contents import heading_words, is_close, lines_below
from tlstap.sinks.text.page import Page
from tlstap.sinks.words import control
from tlstap.sinks.words.http import head_seen, reference
from tlstap.sinks.words.parts import BodyParts, is_part


class MessageText:
    """Writes messages, each as a block."""

    def __init__(
        self,
        page: Page,
        connections: ConnectionText,
        parts: BodyParts,
        options: OutputOptions,
        *,
        only_parts: bool,
    ) -> None:
        """:param only_parts: write only those that are found in the bodies of HTTP."""
        self._page = page
        self._connections = connections
        self._parts = parts
        self._options = options
        self._only_parts = only_parts

    def message(self, record: ProtocolMessage) -> None:
        """A message is complete."""
        if self._only_parts and not is_part(record):
            return
        self._parts.add(record)
        page, exchange = self._page, record.exchange
        mark = page.mark(record.direction)
        self._connections.announce(record.connection, record.process, record.time_ns)
        if record.protocol == control.PROTOCOL:
            page.block(record.time_ns, record.connection, [mark, *control.words(record)])
            return
        words, rest = heading_words(record)
        what = [mark, *_heading(record, words)]
        request = exchange.request if exchange is not None else None
        if request is not None and page.exchange is not exchange and head_seen(request):
            what.append(("note", f" ({reference(request)})"))
        lines = lines_below(record, rest, self._options)
        first = next(lines, None)
        below = None if first is None else chain([first], lines)
        page.block(record.time_ns, record.connection, what, below, record.stream_id)
        page.about(exchange)


def _heading(record: ProtocolMessage, words: list[str]) -> list[Segment]:
    """Protocol and type, the size of the content, and what else there is to say."""
    if not words or (record.size and not is_close(record)):
        words = [count(record.size, "byte"), *words]
    return [
        ("request", escape(f"{record.protocol} {record.type}".rstrip())),
        ("note", "".join([f", {word}" for word in words])),
    ]
