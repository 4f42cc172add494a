"""HTTP exchanges as text: heads as they come, bodies when they are complete, what lacks in the end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from tlstap.records import Exchange, ExchangeEnded, HeadSeen, Message, MessageEnded
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import content_lines
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.text.connections import ConnectionText
from tlstap.sinks.text.page import Page
from tlstap.sinks.words.http import (
    body_title,
    head_seen,
    header_lines,
    reference,
    request_line,
    status_line,
    trailer_lines,
    whose,
)
from tlstap.sinks.words.missing import trouble
from tlstap.sinks.words.parts import BodyParts, parts_count


class ExchangeText:
    """Writes HTTP exchanges."""

    def __init__(
        self, page: Page, connections: ConnectionText, parts: BodyParts, options: OutputOptions
    ) -> None:
        """:param parts: knows of which bodies the messages were shown, so that these are not shown again."""
        self._page = page
        self._connections = connections
        self._parts = parts
        self._options = options

    def head(self, record: HeadSeen) -> None:
        """The head of a message is complete."""
        page, exchange, message = self._page, record.exchange, record.message
        self._announce(record)
        if message.is_request:
            what = request_line(exchange, message)
        else:
            what = status_line(exchange, message, follows_request=page.exchange is exchange)
        has_headers = message.headers or message.unknown_headers
        self._block(
            record, [page.mark(record.direction), *what], header_lines(message) if has_headers else None
        )
        page.about(exchange, message)

    def ended(self, record: MessageEnded) -> None:
        """A message is complete: its body, unless the messages in it were shown, and its trailers."""
        page, exchange, message = self._page, record.exchange, record.message
        parts = self._parts.of(exchange).messages.get(record.direction)
        if parts is not None:
            self._parts_ended(record, parts)
            return
        if not message.body and not message.trailers:
            return
        content_type = next((v for name, v in message.headers if name.lower() == "content-type"), "")
        lines = content_lines(message.body, self._options, content_type)
        if message.trailers:
            lines = chain(lines, [[]] if message.body else [], trailer_lines(message))
        if page.message is message:
            # Right below its headers: an empty line, as on the wire.
            page.below(lines)
            return
        self._announce(record)
        title = body_title(exchange, message) if message.body else _trailers_title(exchange, message)
        self._block(record, [page.mark(record.direction), *title], lines)
        page.about(exchange)

    def _parts_ended(self, record: MessageEnded, parts: int) -> None:
        exchange, message = record.exchange, record.message
        if message.is_request and parts == 1 and not message.trailers:
            # Most requests of gRPC: one message, which stands there with its size.
            return
        size = f"{parts_count(exchange.body_format, parts)}, {count(message.body_bytes, 'byte')}"
        title: Segment = ("note", f"end of {whose(exchange, message)}: {size}")
        lines = trailer_lines(message) if message.trailers else None
        self._announce(record)
        self._block(record, [self._page.mark(record.direction), title], lines)
        self._page.about(exchange)

    def over(self, record: ExchangeEnded) -> None:
        """An exchange is over: what lacks, if anything does."""
        exchange = record.exchange
        what = trouble(exchange, complete=record.complete)
        if what:
            self._announce(record)
            request = exchange.request
            subject = f"{reference(request)} " if request is not None and head_seen(request) else ""
            self._block(record, [("warning", f"! {subject}{what}")])
        self._parts.forget(exchange)
        if self._page.exchange is exchange:
            self._page.about(None)

    def _announce(self, record: HeadSeen | MessageEnded | ExchangeEnded) -> None:
        exchange = record.exchange
        self._connections.announce(exchange.connection, exchange.process, record.time_ns)

    def _block(
        self,
        record: HeadSeen | MessageEnded | ExchangeEnded,
        what: list[Segment],
        lines: Iterable[list[Segment]] | None = None,
    ) -> None:
        exchange = record.exchange
        self._page.block(record.time_ns, exchange.connection, what, lines, exchange.stream_id)


def _trailers_title(exchange: Exchange, message: Message) -> list[Segment]:
    return [("note", f"trailers of {whose(exchange, message)}")]
