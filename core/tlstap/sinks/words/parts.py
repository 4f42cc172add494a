"""How many messages were found in the bodies of exchanges that are not over."""

from __future__ import annotations

from tlstap.records import Direction, Exchange, ProtocolMessage
from tlstap.sinks.heading import count

MAX_EXCHANGES = 65_536
"""Exchanges of which the messages are counted; the oldest are forgotten."""


def is_part(record: ProtocolMessage) -> bool:
    """Was the message found in the body of an HTTP message?"""
    return record.exchange is not None and record.exchange.body_format == record.protocol


def parts_count(protocol: str | None, number: int) -> str:
    """A number of messages in the protocol's own word."""
    return count(number, "event" if protocol == "sse" else "message")


class BodyParts:
    """Counts messages in bodies, for each exchange and direction. What it keeps is bounded."""

    def __init__(self) -> None:
        self._counts: dict[Exchange, dict[Direction, int]] = {}

    def add(self, record: ProtocolMessage) -> None:
        """Count a message, if it is part of a body."""
        exchange = record.exchange
        if exchange is None or not is_part(record):
            return
        counts = self._counts.get(exchange)
        if counts is None:
            if len(self._counts) >= MAX_EXCHANGES:
                del self._counts[next(iter(self._counts))]
            counts = self._counts[exchange] = {"write": 0, "read": 0}
        counts[record.direction] += 1

    def of(self, exchange: Exchange, direction: Direction) -> int:
        """How many messages were found in the exchange's body of that direction."""
        counts = self._counts.get(exchange)
        return 0 if counts is None else counts[direction]

    def forget(self, exchange: Exchange) -> None:
        """The exchange is over."""
        self._counts.pop(exchange, None)
