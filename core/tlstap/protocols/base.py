"""What a protocol decoder is: asked whether a connection speaks its protocol, then fed both directions."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass

from tlstap.records import Connection, DecodedRecord, Direction
from tlstap.schema import Process


@dataclass(slots=True)
class StreamBytes:
    """Bytes of one direction of a connection, in order, without gaps inside.

    `lost_before` bytes right before `offset` were never captured; they are a known gap.
    """

    direction: Direction
    offset: int
    payload: bytes
    lost_before: int
    time_ns: int
    process: Process


class Decoder(abc.ABC):
    """Decodes one connection. Bounded in memory; never raises on hostile input."""

    @abc.abstractmethod
    def feed(self, data: StreamBytes) -> Iterable[DecodedRecord]:
        """Take the next bytes of a direction."""

    @abc.abstractmethod
    def finish(self, time_ns: int) -> Iterable[DecodedRecord]:
        """The connection or the trace ended: give out what is unfinished."""


class Protocol(abc.ABC):
    """A protocol, and how a connection that speaks it is known: by content and ALPN, never by port."""

    name: str

    @abc.abstractmethod
    def recognise(self, connection: Connection, direction: Direction, start: bytes) -> bool | None:
        """Does this direction's data, from a point where bytes are known, speak the protocol?

        :param start: the first bytes captured of the direction (or after a gap), at least one.
        :return: True or False, or None if more bytes are needed to tell.
        """

    @abc.abstractmethod
    def decoder(self, connection: Connection) -> Decoder:
        """A decoder for a connection that was recognised; it gets all data from that point on."""
