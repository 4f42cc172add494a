"""What a protocol decoder is: asked whether a channel speaks its protocol, then fed both directions."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlstap.protocols.memory import Allowance
from tlstap.records import Connection, DecodedRecord, Direction, Exchange
from tlstap.schema import Process

if TYPE_CHECKING:
    from tlstap.protocols.decoding import Toolbox


@dataclass(slots=True)
class StreamBytes:
    """Bytes of one direction of a channel, in order, without gaps inside.

    `direction`: the process wrote or read them. `offset` is the first byte's place in the direction's stream,
    `payload` the bytes. `time_ns` is when the call that moved them ended, in nanoseconds since the epoch,
    `process` who made it.

    `lost_before` bytes right before `offset` were never captured; they are a known gap. `payload` is empty
    where a gap is known before the bytes behind it are (the uncaptured end of a call, a closed connection).
    """

    direction: Direction
    offset: int
    payload: bytes
    lost_before: int
    time_ns: int
    process: Process


@dataclass(frozen=True, slots=True)
class Switch:
    """An HTTP exchange that gave its connection, or its stream of HTTP/2, over to another protocol.

    `exchange` is the request that asked for it, and the response that agreed.
    `protocol` is the token with which that was asked for (of Upgrade or :protocol), in lower case; "" for a
    tunnel. `client` is the direction in which the client's bytes go.
    """

    exchange: Exchange
    protocol: str
    client: Direction


@dataclass(frozen=True, slots=True)
class Channel:
    """Two directions of bytes that speak a protocol: a connection, or what travels inside another protocol.

    `connection` is the TLS connection that carries it. `from_start` says that the first bytes that are given
    out are the first that the ends sent. `toolbox` is what decoders of protocols that carry other protocols
    need. `depth` is how many channels are around it.
    `switch` is the exchange that opened it, None for the connection itself. `stream_id` is that of the stream
    of HTTP/2 which it is, if it is one.
    """

    connection: Connection
    toolbox: Toolbox
    from_start: bool
    switch: Switch | None = None
    stream_id: int | None = None
    depth: int = 0

    @property
    def alpn(self) -> str | None:
        """What the ends of the connection agreed to speak, if that is known and holds for this channel."""
        return self.connection.alpn if self.switch is None else None

    @property
    def client(self) -> Direction | None:
        """The direction in which the client's bytes go, if that is known."""
        if self.switch is not None:
            return self.switch.client
        role = self.connection.role
        return None if role is None else "write" if role == "client" else "read"


class Decoder(abc.ABC):
    """Decodes one channel. Bounded in memory; never raises on hostile input."""

    handed_over: bool = False
    """The decoder sets this when its protocol ended in the middle of the channel (an upgrade, a tunnel).
    The Undecoded records that it gives out from then on go to recognition again, and it is fed no more."""
    switch: Switch | None = None
    """Set together with `handed_over`, if another protocol begins there: with what. None: the channel turned
    out to speak another protocol, of which this is the middle."""

    @abc.abstractmethod
    def feed(self, data: StreamBytes) -> Iterable[DecodedRecord]:
        """Take the next bytes of a direction."""

    @abc.abstractmethod
    def finish(self, time_ns: int, *, closed: bool) -> Iterable[DecodedRecord]:
        """Give out what is unfinished.

        :param closed: the connection ended; False if only the tracing of it did.
        """


class Protocol(abc.ABC):
    """A protocol, and how a channel that speaks it is known: by content and ALPN, never by port."""

    name: str
    """Short and lower-case: as `protocol` of the messages, and what no other plugin may have."""

    @abc.abstractmethod
    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        """Does this direction's data, from a point where bytes are known, speak the protocol?

        Asked again at later points of an unknown channel, so it must be cheap.

        :param start: captured bytes from the beginning of the direction, from behind a gap, or from where
            the other direction had its say; at least one, at most 16 KiB.
        :return: True or False, or None if more bytes are needed to tell.
        """

    @abc.abstractmethod
    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        """A decoder for a channel that was recognised; it gets all data from that point on.

        :param memory: what the decoder may hold; ask it before keeping bodies and the like.
        """
