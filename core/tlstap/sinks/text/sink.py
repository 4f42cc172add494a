"""Text for people: connections, and on each the messages as they come.

Every block begins with the time and the tag of its connection (#3, for a stream of HTTP/2 #3/15), so that
interleaved connections can be told apart; what belongs to a block is indented and written at once with it.
An arrow says whether the traced process sent (→) or received (←).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from tlstap.records import (
    Closed,
    Data,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    MessageEnded,
    Opened,
    ProtocolMessage,
    Record,
    Undecoded,
)
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.summary.sink import SUMMARY_KINDS, SummarySink
from tlstap.sinks.text.connections import ConnectionText
from tlstap.sinks.text.data import DataText
from tlstap.sinks.text.exchanges import ExchangeText
from tlstap.sinks.text.messages import MessageText
from tlstap.sinks.text.page import Page
from tlstap.sinks.words.parts import BodyParts

Handlers = dict[type, Callable[[Any], None]]


class TextSink(Sink):
    """Shows a trace as it happens."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        page = Page(stream, options)
        self._handlers = _handlers(page, options)

    def write(self, record: Record, seq: int) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)


def _handlers(page: Page, options: OutputOptions) -> Handlers:
    """Opened and Closed are always taken note of; raw data is shown only when asked for by name."""
    kinds = options.kinds
    connections = ConnectionText(page, kinds)
    handlers: Handlers = {Opened: connections.opened, Closed: connections.closed}
    if kinds is None or "handshake" in kinds:
        handlers[Handshake] = connections.handshake
    if kinds is None or "lost" in kinds:
        handlers[Lost] = connections.lost
    parts = BodyParts()
    if kinds is None or "http" in kinds:
        exchanges = ExchangeText(page, connections, parts, options)
        handlers |= {HeadSeen: exchanges.head, MessageEnded: exchanges.ended, ExchangeEnded: exchanges.over}
    if kinds is None or kinds & {"http", "message"}:
        only_parts = kinds is not None and "message" not in kinds
        messages = MessageText(page, connections, parts, options, only_parts=only_parts)
        handlers[ProtocolMessage] = messages.message
    data = DataText(page, connections, options)
    if kinds is None:
        handlers[Undecoded] = data.undecoded
    elif "data" in kinds:
        handlers[Data] = data.data
    return handlers


def _create(stream: TextIO, options: OutputOptions) -> Sink:
    return SummarySink(stream, options) if options.summary else TextSink(stream, options)


SINK = SinkType(
    "text", "for reading: connections, requests and responses", _create, summary_kinds=SUMMARY_KINDS
)
