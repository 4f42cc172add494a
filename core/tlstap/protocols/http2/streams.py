"""The streams of an HTTP/2 connection: which are open, which are over, and how many there may be."""

from __future__ import annotations

from collections import OrderedDict

from tlstap.protocols.http.context import Context
from tlstap.protocols.http2.errors import error_name
from tlstap.protocols.http2.headers import Fields
from tlstap.protocols.http2.messages import Messages
from tlstap.protocols.http2.stream import Stream
from tlstap.records import Direction, Exchange, MissingReason

MAX_OPEN = 1024
"""Streams that may be open at a time; beyond that the oldest is given out as it is."""
MAX_CLOSED = 4096
"""Streams of which it is remembered that they are over."""
_OVERHEAD = 1024


class Streams:
    """All streams of a connection.

    :param client: the direction in which the client's frames go.
    """

    def __init__(self, context: Context, client: Direction) -> None:
        self.open: OrderedDict[int, Stream] = OrderedDict()
        self._closed: OrderedDict[int, None] = OrderedDict()
        self._context = context
        self._client: Direction = client
        self._messages = Messages(context)
        self._last_stream: dict[Direction, int] = {}

    def upgraded(self, exchange: Exchange) -> None:
        """An HTTP/1.1 request asked for HTTP/2, and is answered on stream 1 (RFC 7540, 3.2)."""
        stream = self._add(1)
        stream.request.message = stream.exchange.request = exchange.request
        stream.request.head_seen = stream.request.done = True

    # Which streams there are

    def _find(self, stream_id: int) -> Stream | None:
        """The stream, a new one if it was not seen before; None if it is over."""
        stream = self.open.get(stream_id)
        if stream is None and stream_id not in self._closed:
            stream = self._add(stream_id)
        return stream

    def _add(self, stream_id: int) -> Stream:
        while len(self.open) >= MAX_OPEN:
            self._finish(next(iter(self.open.values())), "over the limit", closed=False)
        context = self._context
        exchange = Exchange(context.channel.connection, context.process, "HTTP/2", stream_id)
        stream = self.open[stream_id] = Stream(exchange, self._client)
        return stream

    def _finish(self, stream: Stream, why: MissingReason | None, *, closed: bool) -> None:
        self._messages.finish(stream, why, closed=closed)
        self._sweep(stream)

    def _sweep(self, stream: Stream) -> None:
        """Forget the stream if it is over."""
        if stream.over and self.open.pop(stream.id, None) is not None:
            self._closed[stream.id] = None
            if len(self._closed) > MAX_CLOSED:
                self._closed.popitem(last=False)

    def _take(self, stream: Stream, size: int) -> None:
        """Ask for memory for the head; older streams give theirs back for it."""
        size += _OVERHEAD
        memory = self._context.memory
        granted = memory.take(size)
        while granted < size and len(self.open) > 1:
            oldest = next(one for one in self.open.values() if one is not stream)
            self._finish(oldest, "over the limit", closed=False)
            granted += memory.take(size - granted)
        stream.held += granted

    # What frames say

    def fields(
        self, stream_id: int, direction: Direction, fields: Fields, since_ns: int, *, end_stream: bool
    ) -> None:
        """A header block was read."""
        stream = self._find(stream_id)
        if stream is None:
            return
        self._take(stream, fields.size)
        if direction == self._client:
            self._messages.request_fields(stream, fields, since_ns)
        else:
            self._messages.response_fields(stream, fields, since_ns, end_stream=end_stream)
        self._end_stream(stream, direction, end_stream)

    def fields_lost(
        self, stream_id: int, direction: Direction, why: MissingReason, *, end_stream: bool
    ) -> None:
        """There was a header block, but it can't be read."""
        self._messages.lossy[direction] = why
        stream = self._find(stream_id)
        if stream is not None:
            self._messages.head_lost(stream, stream.side(direction), why)
            self._end_stream(stream, direction, end_stream)

    def _end_stream(self, stream: Stream, direction: Direction, end_stream: bool = True) -> None:
        if end_stream:
            self._messages.end_side(stream, stream.side(direction))
        self._sweep(stream)

    def promise(self, stream_id: int, direction: Direction, fields: Fields | None, since_ns: int) -> None:
        """The server promised, in `direction`, the response to a request that it made up itself."""
        if stream_id not in self.open and stream_id not in self._closed:
            stream = self._add(stream_id)
            self._take(stream, fields.size if fields else 0)
            self._messages.promised_request(stream, direction, fields, since_ns)

    def data(self, stream_id: int, direction: Direction, payload: bytes) -> bool:
        """Bytes of a DATA frame; False if the stream is over."""
        stream = self._find(stream_id)
        if stream is None or not self._messages.expect_data(stream, stream.side(direction)):
            return False
        self._messages.data(stream, direction, payload)
        self._sweep(stream)
        return True

    def data_lost(self, stream_id: int, direction: Direction, size: int) -> None:
        """Bytes of a DATA frame that were not captured."""
        stream = self._find(stream_id)
        if stream is not None and self._messages.expect_data(stream, stream.side(direction)):
            self._messages.data_lost(stream, direction, size)

    def data_ended(self, stream_id: int, direction: Direction) -> None:
        """The direction's last DATA frame of the stream."""
        stream = self._find(stream_id)
        if stream is not None and self._messages.expect_data(stream, stream.side(direction)):
            self._end_stream(stream, direction)

    def reset(self, stream_id: int, direction: Direction, code: int) -> None:
        """RST_STREAM came in `direction`."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._reset(stream, f"{error_name(code)} by the {self._who(direction)}")

    def going_away(self, direction: Direction, last_stream_id: int, code: int) -> None:
        """GOAWAY came in `direction`: streams of the other end beyond that number are not dealt with."""
        if last_stream_id >= self._last_stream.get(direction, 1 << 31):
            return
        self._last_stream[direction] = last_stream_id
        parity = 0 if direction == self._client else 1
        for stream in list(self.open.values()):
            if stream.id > last_stream_id and stream.id % 2 == parity:
                self._reset(stream, f"GOAWAY {error_name(code)} by the {self._who(direction)}")

    def _who(self, direction: Direction) -> str:
        return "client" if direction == self._client else "server"

    def _reset(self, stream: Stream, why: str) -> None:
        stream.exchange.reset = why
        self._finish(stream, "unfinished", closed=True)

    def doubt(self, direction: Direction, why: MissingReason) -> None:
        """Frames of the direction were lost, of whatever streams."""
        self._messages.lossy[direction] = why
        for stream in self.open.values():
            self._messages.doubt(stream, direction)

    def finish(self, *, closed: bool) -> None:
        """The connection is over, or no longer followed."""
        for stream in list(self.open.values()):
            self._finish(stream, None, closed=closed)
