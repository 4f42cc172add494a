"""The bytes of a stream behind CONNECT: another protocol inside HTTP/2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tlstap.protocols.base import StreamBytes, Switch
from tlstap.protocols.decoding import Decoding
from tlstap.protocols.http.context import Context
from tlstap.records import DecodedRecord, Direction, Exchange, Undecoded

MAX_HELD = 64 * 1024
"""Bytes that a client may send behind a CONNECT before the answer is there."""
MAX_HELD_PIECES = 1024


class Tunnel:
    """Decodes both directions of a stream as a channel of its own, once the server has accepted."""

    __slots__ = ("_context", "_decoding", "_held", "_held_bytes", "_offsets", "_skipped", "_stream_id")

    def __init__(self, context: Context, stream_id: int) -> None:
        self._context = context
        self._stream_id = stream_id
        self._decoding: Decoding | None = None
        self._held: list[StreamBytes] = []
        self._held_bytes = 0
        self._offsets: dict[Direction, int] = {"read": 0, "write": 0}
        self._skipped: dict[Direction, int] = {"read": 0, "write": 0}

    def open(self, exchange: Exchange, client: Direction) -> None:
        """The server accepted: from here on, and in what is held, the other protocol is spoken."""
        request = exchange.request
        switch = Switch(exchange, (request.protocol or "").lower() if request else "", client)
        self._start(switch, from_start=True)
        for data in self._held:
            self._feed(data)
        self._held.clear()
        for direction, size in self._skipped.items():
            if size:
                self._move(direction, b"", size)

    def _start(self, switch: Switch, *, from_start: bool) -> None:
        channel = self._context.channel
        self._decoding = Decoding(
            replace(
                channel,
                from_start=from_start,
                switch=switch,
                stream_id=self._stream_id,
                depth=channel.depth + 1,
            )
        )

    def data(self, direction: Direction, payload: bytes) -> None:
        """Bytes of a DATA frame."""
        self._move(direction, payload, 0)

    def gap(self, direction: Direction, size: int) -> None:
        """Bytes of a DATA frame were not captured."""
        self._offsets[direction] += size
        self._move(direction, b"", size)

    def doubt(self, exchange: Exchange, client: Direction) -> None:
        """Nobody knows how many bytes are missing here: the protocol is found anew."""
        if self._decoding is not None:
            self._give_out(self._decoding.finish(self._context.now, closed=False))
            request = exchange.request
            protocol = (request.protocol or "").lower() if request else ""
            self._start(Switch(exchange, protocol, client), from_start=False)

    def _move(self, direction: Direction, payload: bytes, lost: int) -> None:
        context = self._context
        offset = self._offsets[direction]
        self._offsets[direction] += len(payload)
        data = StreamBytes(direction, offset, payload, lost, context.now, context.process)
        if self._decoding is not None:
            self._feed(data)
        elif len(self._held) < MAX_HELD_PIECES and self._held_bytes + len(payload) <= MAX_HELD:
            self._held.append(data)
            self._held_bytes += len(payload)
        else:
            self._skipped[direction] += len(payload) + lost
            self._undecoded(data)

    def _feed(self, data: StreamBytes) -> None:
        assert self._decoding is not None
        self._give_out(self._decoding.feed(data))

    def _give_out(self, records: Iterable[DecodedRecord]) -> None:
        self._context.out.extend(records)

    def finish(self, *, closed: bool) -> None:
        """The stream is over."""
        if self._decoding is not None:
            self._give_out(self._decoding.finish(self._context.now, closed=closed))
            self._decoding = None
        for data in self._held:
            # The server never answered.
            self._undecoded(data)
        self._held.clear()

    def _undecoded(self, data: StreamBytes) -> None:
        connection = self._context.channel.connection
        where = (data.process, data.time_ns, data.direction, data.offset, data.payload, data.lost_before)
        self._context.out.append(Undecoded(connection, *where, self._stream_id))
