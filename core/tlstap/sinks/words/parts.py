"""What was found in the bodies of exchanges that are not over."""

from __future__ import annotations

from dataclasses import dataclass, field

from tlstap.records import Direction, Exchange, ProtocolMessage
from tlstap.sinks.heading import count
from tlstap.sinks.words import grpc

MAX_EXCHANGES = 65_536
"""Exchanges of which the messages are counted; the oldest are forgotten."""


def is_part(record: ProtocolMessage) -> bool:
    """Was the message found in the body of an HTTP message?"""
    return record.exchange is not None and record.exchange.body_format == record.protocol


def parts_count(protocol: str | None, number: int) -> str:
    """A number of messages in the protocol's own word."""
    return count(number, "event" if protocol == "sse" else "message")


@dataclass(slots=True)
class Parts:
    """What was found in an exchange's bodies: messages by direction, and the status of gRPC-Web.

    A direction is there once anything was found in its body.
    """

    messages: dict[Direction, int] = field(default_factory=dict)
    grpc_status: str | None = None


class BodyParts:
    """Counts messages in bodies. What it keeps is bounded."""

    def __init__(self) -> None:
        self._exchanges: dict[Exchange, Parts] = {}

    def add(self, record: ProtocolMessage) -> None:
        """Count a message, if it is part of a body."""
        exchange = record.exchange
        if exchange is None or not is_part(record):
            return
        parts = self._exchanges.get(exchange)
        if parts is None:
            if len(self._exchanges) >= MAX_EXCHANGES:
                del self._exchanges[next(iter(self._exchanges))]
            parts = self._exchanges[exchange] = Parts()
        trailers = grpc.web_trailers(record)
        if trailers is not None:
            parts.grpc_status = grpc.find_status(trailers)
        number = parts.messages.get(record.direction, 0)
        parts.messages[record.direction] = number + (trailers is None)

    def of(self, exchange: Exchange) -> Parts:
        """What was found in the exchange's bodies."""
        return self._exchanges.get(exchange) or Parts()

    def forget(self, exchange: Exchange) -> None:
        """The exchange is over."""
        self._exchanges.pop(exchange, None)
