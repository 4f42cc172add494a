"""HAR 1.2, for browsers' developer tools and whatever else reads HTTP archives."""

from __future__ import annotations

from typing import TextIO

from tlstap.records import Closed, Exchange, ExchangeEnded, HeadSeen, ProtocolMessage, Record
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.har.document import Document
from tlstap.sinks.har.entry import entry
from tlstap.sinks.har.holding import Holding
from tlstap.sinks.har.messages import message
from tlstap.sinks.heading import count
from tlstap.sinks.roles import Roles

KINDS = frozenset({"http", "message"})


class HarSink(Sink):
    """Writes an entry for each exchange, with the messages that travel in it.

    With `--only http` there are no messages, with `--only message` only entries that have some. Bodies are
    never cut. The entries are in the order in which the exchanges ended.
    """

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        kinds = KINDS if options.kinds is None else options.kinds
        self._document = Document(stream)
        self._roles = Roles()
        self._holding = Holding(self._document.add, bare="http" in kinds) if "message" in kinds else None

    def write(self, record: Record, seq: int) -> None:
        match record:
            case ExchangeEnded():
                self._exchange(record)
            case ProtocolMessage():
                self._message(record)
            case HeadSeen():
                self._roles.see(record)
            case Closed(connection):
                self._roles.forget(connection)
                if self._holding is not None:
                    self._holding.closed(connection)

    def close(self) -> None:
        comment = None
        if self._holding is not None:
            self._holding.close()
            left_out = self._holding.left_out
            if left_out:
                comment = f"{count(left_out, 'message')} came when their entry was written already"
        self._document.close(comment)

    def _exchange(self, record: ExchangeEnded) -> None:
        exchange = record.exchange
        text = entry(record, self._roles.of(exchange.connection)).json_text()
        if self._holding is None:
            self._document.add(text)
        else:
            self._holding.ended(exchange, text, goes_on=_goes_on(exchange))

    def _message(self, record: ProtocolMessage) -> None:
        if self._holding is None or record.exchange is None:
            return
        field, part = message(record, self._roles.client(record.connection))
        self._holding.message(record.exchange, field, part.json_text())


def _goes_on(exchange: Exchange) -> bool:
    """Did the exchange give its connection over to another protocol, whose messages come now?"""
    request, response = exchange.request, exchange.response
    if exchange.protocol == "HTTP/2" or response is None or response.status is None:
        return False
    tunnel = request is not None and request.method == "CONNECT" and 200 <= response.status < 300
    return response.status == 101 or tunnel


SINK = SinkType("har", "an HTTP archive (HAR 1.2), for developer tools of browsers", HarSink, KINDS)
