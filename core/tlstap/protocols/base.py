"""What a protocol decoder is: asked whether a connection speaks its protocol, then fed both directions."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass

from tlstap.protocols.memory import Allowance
from tlstap.records import Connection, DecodedRecord, Direction
from tlstap.schema import Process


@dataclass(slots=True)
class StreamBytes:
    """Bytes of one direction of a connection, in order, without gaps inside.

    `lost_before` bytes right before `offset` were never captured; they are a known gap. `payload` is empty
    where a gap is known before the bytes behind it are (the uncaptured end of a call, a closed connection).
    """

    direction: Direction
    offset: int
    payload: bytes
    lost_before: int
    time_ns: int
    process: Process


class Decoder(abc.ABC):
    """Decodes one connection. Bounded in memory; never raises on hostile input."""

    handed_over: bool = False
    """The decoder sets this when its protocol ended in the middle of the connection (an upgrade, a tunnel).
    The Undecoded records that it gives out from then on go to recognition again, and it is fed no more."""

    @abc.abstractmethod
    def feed(self, data: StreamBytes) -> Iterable[DecodedRecord]:
        """Take the next bytes of a direction."""

    @abc.abstractmethod
    def finish(self, time_ns: int, *, closed: bool) -> Iterable[DecodedRecord]:
        """Give out what is unfinished.

        :param closed: the connection ended; False if only the tracing of it did.
        """


class Protocol(abc.ABC):
    """A protocol, and how a connection that speaks it is known: by content and ALPN, never by port."""

    name: str

    @abc.abstractmethod
    def recognise(self, connection: Connection, direction: Direction, start: bytes) -> bool | None:
        """Does this direction's data, from a point where bytes are known, speak the protocol?

        Asked again at later points of an unknown connection, so it must be cheap.

        :param start: captured bytes from the beginning of the direction, from behind a gap, or from where
            the other direction had its say; at least one, at most 16 KiB.
        :return: True or False, or None if more bytes are needed to tell.
        """

    @abc.abstractmethod
    def decoder(self, connection: Connection, memory: Allowance) -> Decoder:
        """A decoder for a connection that was recognised; it gets all data from that point on.

        :param memory: what the decoder may hold; ask it before keeping bodies and the like.
        """
