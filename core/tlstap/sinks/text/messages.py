"""Messages of other protocols as text: WebSocket, server-sent events, gRPC, and what plugins decode."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from tlstap.records import ProtocolMessage
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import content_lines
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.text.connections import ConnectionText
from tlstap.sinks.text.page import Page
from tlstap.sinks.words import control, protobuf
from tlstap.sinks.words.details import Details, json_lines, split
from tlstap.sinks.words.http import head_seen, reference
from tlstap.sinks.words.missing import missing_words
from tlstap.sinks.words.parts import BodyParts, is_part

GRPC = "grpc"
"""The protocol of which a message may be decoded in the details."""


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
        self._connections.announce(record.connection, record.process, record.time_ns)
        lines: chain[list[Segment]] | None = None
        if record.protocol == control.PROTOCOL:
            what = control.words(record)
        else:
            words, rest = split(_shown_as_words(record))
            what = _heading(record, words)
            request = exchange.request if exchange is not None else None
            if request is not None and page.exchange is not exchange and head_seen(request):
                what.append(("note", f" ({reference(request)})"))
            if rest or record.payload or record.details or record.missing:
                lines = chain(json_lines(rest, self._options) if rest else (), self._content(record))
        what.insert(0, page.mark(record.direction))
        page.block(record.time_ns, record.connection, what, lines, record.stream_id)
        if exchange is not None:
            page.about(exchange)

    def _content(self, record: ProtocolMessage) -> Iterator[list[Segment]]:
        details = record.details if record.protocol == GRPC else {}
        if "message" in details:
            yield from json_lines(details["message"], self._options)
        elif "fields" in details:
            yield from protobuf.field_lines(details["fields"], self._options)
        else:
            yield from content_lines(record.payload, self._options)
        for item in record.missing:
            yield [("warning", f"[{missing_words(item)}]")]


def _shown_as_words(record: ProtocolMessage) -> Details:
    """The details, apart from those that are the content."""
    if record.protocol != GRPC:
        return record.details
    return {name: value for name, value in record.details.items() if name not in ("message", "fields")}


def _heading(record: ProtocolMessage, words: list[str]) -> list[Segment]:
    what: list[Segment] = [
        ("request", escape(f"{record.protocol} {record.type}".rstrip())),
        ("note", f", {count(record.size, 'byte')}"),
    ]
    if words:
        what.append(("", f" {' '.join(words)}"))
    return what
