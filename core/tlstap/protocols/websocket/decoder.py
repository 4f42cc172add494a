"""WebSocket: text, binary data and control frames, over HTTP/1.1's upgrade or a stream of HTTP/2."""

from __future__ import annotations

from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes
from tlstap.protocols.memory import Allowance
from tlstap.protocols.websocket.evidence import is_masked, is_websocket
from tlstap.protocols.websocket.half import Half
from tlstap.protocols.websocket.shared import Shared
from tlstap.records import DecodedRecord, Direction, ProtocolMessage

TRIAL = 16
"""Messages after which a WebSocket of which the beginning was not seen is believed to be one."""


class WebSocket(Protocol):
    """Recognised by the HTTP exchange that led to it; in the middle, by a chain of frames."""

    name = "websocket"

    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        switch, client = channel.switch, channel.client
        if switch is not None and switch.protocol:
            return switch.protocol == "websocket"
        if channel.alpn == "h2":
            return False
        masked = is_masked(start)
        if client is not None and len(start) > 1 and masked != (client == direction):
            return False
        return is_websocket(start, masked=masked)

    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        return WebSocketDecoder(channel, memory)


class WebSocketDecoder(Decoder):
    """Decodes both directions of a WebSocket."""

    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self._shared = Shared(channel, memory)
        in_sync = channel.switch is not None and channel.switch.protocol == "websocket"
        # Found by frames alone, it may be another protocol that carries some, such as HTTP/2.
        self._trial = 0 if in_sync else TRIAL
        self._read = Half(self._shared, "read", in_sync=in_sync)
        self._write = Half(self._shared, "write", in_sync=in_sync)

    def feed(self, data: StreamBytes) -> list[DecodedRecord]:
        context = self._shared.context
        out = context.begin(data.time_ns)
        context.process = data.process
        (self._read if data.direction == "read" else self._write).feed(data)
        if self._shared.over:
            self._finish()
        if self._trial:
            self._try(out)
        return out

    def _try(self, out: list[DecodedRecord]) -> None:
        """Give the channel back if frames are followed by what is none."""
        self.handed_over = self._shared.broken
        self._trial = max(0, self._trial - sum(isinstance(record, ProtocolMessage) for record in out))

    def finish(self, time_ns: int, *, closed: bool) -> list[DecodedRecord]:
        out = self._shared.context.begin(time_ns)
        self._finish()
        return out

    def _finish(self) -> None:
        self._read.finish()
        self._write.finish()
