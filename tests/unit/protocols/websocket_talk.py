"""A WebSocket written down as what its ends sent, and what the decoder makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from tests.unit.protocols.conversation import PROCESS, connection
from wsproto.frame_protocol import XorMaskerSimple

from tlstap.protocols.base import Channel, Protocol, StreamBytes, Switch
from tlstap.protocols.decoding import Decoding, Toolbox
from tlstap.protocols.memory import Pool
from tlstap.protocols.websocket.decoder import WebSocket
from tlstap.records import DecodedRecord, Direction, Exchange, Message, ProtocolMessage, Undecoded

KEY = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, key: bytes | None = None, rsv1: bool = False
) -> bytes:
    """A frame as RFC 6455 describes it; masked with `key`, if one is given."""
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    size, masked = len(payload), 0 if key is None else 0x80
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if key is None:
        return head + payload
    return head + key + bytes(XorMaskerSimple(key).process(bytearray(payload)))


def switch(extensions: str | None = None) -> Switch:
    """The exchange that led to a WebSocket, the client being the traced process."""
    exchange = Exchange(connection(), PROCESS, "HTTP/1.1")
    exchange.request = Message(True, "GET", "https", "h", "/chat")
    exchange.response = Message(False, status=101)
    if extensions is not None:
        exchange.response.headers.append(("Sec-WebSocket-Extensions", extensions))
    return Switch(exchange, "websocket", "write")


class Talk:
    """Records of one channel, with offsets and times (1, 2, ... ns) counted on.

    :param led_to: the switch that led to it; None for a connection of which nothing is known.
    """

    def __init__(self, led_to: Switch | None, *, stream_id: int | None = None) -> None:
        self.led_to = led_to
        self.stream_id = stream_id
        self.connection = connection() if led_to is None else led_to.exchange.connection
        self.pieces: list[StreamBytes] = []
        self.offsets: dict[Direction, int] = {"read": 0, "write": 0}
        self._lost: dict[Direction, int] = {"read": 0, "write": 0}

    def client(self, payload: bytes) -> Talk:
        return self.move("write", payload)

    def server(self, payload: bytes) -> Talk:
        return self.move("read", payload)

    def move(self, direction: Direction, payload: bytes) -> Talk:
        lost, self._lost[direction] = self._lost[direction], 0
        offset = self.offsets[direction]
        self.pieces.append(StreamBytes(direction, offset, payload, lost, len(self.pieces) + 1, PROCESS))
        self.offsets[direction] += len(payload)
        return self

    def split(self, direction: Direction, payload: bytes, sizes: Sequence[int]) -> Talk:
        """Move it in pieces of these sizes, taken in turn."""
        at = 0
        for size in itertools.cycle(sizes):
            if at >= len(payload):
                return self
            self.move(direction, payload[at : at + size])
            at += size
        raise ValueError("no sizes")

    def lose(self, direction: Direction, size: int) -> Talk:
        """Bytes that were not captured, right before what is moved next."""
        self.offsets[direction] += size
        self._lost[direction] += size
        return self

    def told(self, direction: Direction) -> Talk:
        """The gap before what comes next is known before that comes."""
        return self.move(direction, b"")

    def run(
        self, *, pool: Pool | None = None, protocols: Sequence[Protocol] = (), closed: bool = True
    ) -> list[DecodedRecord]:
        """All records that come out. A decoder that raised, or kept memory, is a failure."""
        problems: list[str] = []
        pool = pool or Pool()
        toolbox = Toolbox(protocols or [WebSocket()], pool=pool, on_problem=problems.append)
        decoding = Decoding(Channel(self.connection, toolbox, True, self.led_to, self.stream_id))
        out = [record for piece in self.pieces for record in decoding.feed(piece)]
        out += decoding.finish(len(self.pieces) + 1, closed=closed)
        assert problems == []
        assert pool.left == pool.total
        return out


def messages(records: Iterable[DecodedRecord]) -> list[ProtocolMessage]:
    return [record for record in records if isinstance(record, ProtocolMessage)]


def summary(message: ProtocolMessage) -> str:
    """Who said what, and what is missing, in one line."""
    details = "".join(f" {name}={value!r}" for name, value in message.details.items())
    missing = "; ".join(
        f"{item.reason}{'' if item.bytes is None else f' {item.bytes}'}" for item in message.missing
    )
    size = "" if message.size == len(message.payload) else f" of {message.size}"
    return f"{message.direction} {message.type} {message.payload!r}{size}{details}" + (
        f" [{missing}]" if missing else ""
    )


def summaries(records: Iterable[DecodedRecord]) -> list[str]:
    return [summary(message) for message in messages(records)]


def undecoded(records: Iterable[DecodedRecord], direction: Direction) -> list[tuple[int, bytes, int]]:
    """Offset, payload and gap before it of what was not understood."""
    return [
        (record.offset, record.payload, record.lost_before)
        for record in records
        if isinstance(record, Undecoded) and record.direction == direction
    ]
