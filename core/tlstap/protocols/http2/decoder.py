"""HTTP/2 (RFC 9113), on hyperframe for frames and hpack for headers.

h2, the state machine of the same family, was not taken: it plays one end, refuses what that end would refuse,
and can't begin in the middle. Its parts are what is used here, with frames found again (sync.py) and a header
table of which the older part may be unknown (headers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Container

from pydantic import JsonValue

from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes
from tlstap.protocols.http.context import Context
from tlstap.protocols.http2.frames import PREFACE
from tlstap.protocols.http2.half import Half
from tlstap.protocols.http2.header_block import HeaderBlock
from tlstap.protocols.http2.headers import Fields
from tlstap.protocols.http2.owner import HalfOwner
from tlstap.protocols.http2.roles import Undecided
from tlstap.protocols.http2.streams import Streams
from tlstap.protocols.http2.sync import begins_frames
from tlstap.protocols.memory import Allowance
from tlstap.records import DecodedRecord, Direction, MissingReason, ProtocolMessage, Undecoded


class Http2(Protocol):
    """Recognised by ALPN, the preface, or frames that can't be anything else."""

    name = "http2"

    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        if channel.alpn == "h2" or (channel.switch is not None and channel.switch.protocol == "h2c"):
            return True
        if start.startswith(PREFACE):
            return True
        return begins_frames(start)

    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        return Http2Decoder(channel, memory)


class Http2Decoder(Decoder, HalfOwner):
    """Decodes both directions of a connection."""

    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self._context = Context(channel, memory)
        self._channel = channel
        self._halves: dict[Direction, Half] = {
            "read": Half("read", self, memory, from_start=channel.from_start),
            "write": Half("write", self, memory, from_start=channel.from_start),
        }
        self._streams: Streams | None = None
        self._undecided = Undecided(self._context)
        if channel.client is not None:
            self.client_found(channel.client)

    def feed(self, data: StreamBytes) -> list[DecodedRecord]:
        context = self._context
        out = context.begin(data.time_ns)
        context.process = data.process
        reader = self._halves[data.direction].reader
        if data.lost_before:
            reader.gap(data.lost_before)
        if data.payload:
            reader.feed(data.offset, data.payload, data.time_ns)
        return out

    def finish(self, time_ns: int, *, closed: bool) -> list[DecodedRecord]:
        out = self._context.begin(time_ns)
        for half in self._halves.values():
            half.reader.finish()
        if self._streams is not None:
            self._streams.finish(closed=closed)
        else:
            self._undecided.give_up()
        return out

    # What the halves tell

    @property
    def streams(self) -> Container[int]:
        return self._streams.open if self._streams is not None else ()

    def client_found(self, direction: Direction) -> None:
        if self._streams is not None:
            return
        self._streams = Streams(self._context, direction)
        switch = self._channel.switch
        if switch is not None and switch.protocol == "h2c":
            self._streams.upgraded(switch.exchange)
        self._undecided.decide(self._streams)

    def _happens(
        self, event: Callable[[Streams], object], direction: Direction, offset: int = 0, payload: bytes = b""
    ) -> None:
        """Now, or when the client is known."""
        if self._streams is not None:
            event(self._streams)
        else:
            self._undecided.add(event, direction, offset, payload)

    def fields(
        self, direction: Direction, block: HeaderBlock, fields: Fields | None, reason: MissingReason
    ) -> None:
        number, since, end = block.stream_id, block.since_ns, block.end_stream
        if block.promised is not None:
            promised = block.promised
            self._happens(lambda to: to.promise(promised, direction, fields, since), direction)
        elif fields is None:
            self._happens(lambda to: to.fields_lost(number, direction, reason, end_stream=end), direction)
        else:
            self._happens(lambda to: to.fields(number, direction, fields, since, end_stream=end), direction)

    def data(self, direction: Direction, stream_id: int, payload: bytes, offset: int) -> None:
        def event(streams: Streams) -> None:
            if not streams.data(stream_id, direction, payload):
                self.unknown(direction, offset, payload, 0)

        self._happens(event, direction, offset, payload)

    def data_lost(self, direction: Direction, stream_id: int, size: int) -> None:
        self._happens(lambda to: to.data_lost(stream_id, direction, size), direction)

    def data_ended(self, direction: Direction, stream_id: int) -> None:
        self._happens(lambda to: to.data_ended(stream_id, direction), direction)

    def reset(self, direction: Direction, stream_id: int, code: int) -> None:
        self._happens(lambda to: to.reset(stream_id, direction, code), direction)

    def going_away(self, direction: Direction, last_stream_id: int, code: int) -> None:
        self._happens(lambda to: to.going_away(direction, last_stream_id, code), direction)

    def control(self, direction: Direction, kind: str, payload: bytes, details: dict[str, JsonValue]) -> None:
        context = self._context
        where = (self._channel.connection, context.process, context.now, direction)
        context.out.append(ProtocolMessage(*where, "http2", kind, payload, len(payload), details))

    def frames_lost(self, direction: Direction, gap: int | None) -> None:
        why: MissingReason = "lost" if gap is not None else "not decodable"
        self._happens(lambda to: to.doubt(direction, why), direction)

    def unknown(self, direction: Direction, offset: int, payload: bytes, lost_before: int) -> None:
        context, channel = self._context, self._channel
        if payload:
            where = (context.process, context.now, direction, offset)
            context.out.append(Undecoded(channel.connection, *where, payload, lost_before, channel.stream_id))
