"""The streams of an HTTP/2 connection: messages from head to end, paired, and the records that tell of them."""

from __future__ import annotations

from collections import OrderedDict

from tlstap.protocols.http.body import Body
from tlstap.protocols.http.context import Context
from tlstap.protocols.http2.errors import error_name
from tlstap.protocols.http2.headers import Fields
from tlstap.protocols.http2.stream import Side, Stream
from tlstap.protocols.http2.tunnel import Tunnel
from tlstap.records import (
    Direction,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    MissingReason,
)

MAX_OPEN = 1024
"""Streams that may be open at a time; beyond that the oldest is given out as it is."""
MAX_CLOSED = 4096
"""Streams of which it is remembered that they are over."""
MAX_INFORMATIONAL = 32
_OVERHEAD = 1024
_PSEUDO_OF_REQUEST = frozenset({":method", ":scheme", ":authority", ":path", ":protocol"})


class Streams:
    """All streams of a connection. What can't be attributed is refused with False, and counted by nobody here.

    :param client: the direction in which the client's frames go.
    """

    def __init__(self, context: Context, client: Direction) -> None:
        self.open: OrderedDict[int, Stream] = OrderedDict()
        self._context = context
        self._client: Direction = client
        self._closed: OrderedDict[int, None] = OrderedDict()
        # Directions in which frames were lost since the beginning, or not seen.
        self.lossy: dict[Direction, MissingReason | None] = {"read": None, "write": None}

    def upgraded(self, exchange: Exchange) -> None:
        """The connection began with an HTTP/1.1 request for HTTP/2, which stream 1 answers (RFC 7540, 3.2)."""
        stream = self._add(1)
        stream.request.message = exchange.request
        stream.request.head_seen = stream.request.done = True
        stream.exchange.request = stream.request.message

    def _add(self, stream_id: int) -> Stream:
        while len(self.open) >= MAX_OPEN:
            self._give_up(next(iter(self.open.values())))
        context = self._context
        exchange = Exchange(context.channel.connection, context.process, "HTTP/2", stream_id)
        stream = self.open[stream_id] = Stream(exchange, self._client)
        self._closed.pop(stream_id, None)
        return stream

    def _give_up(self, stream: Stream) -> None:
        """Bounds allow no more streams."""
        for side in (stream.request, stream.response):
            if not side.done:
                part = side.body_part if side.message else side.part
                stream.exchange.missing.append(Missing(part, "over the limit"))
        self._end(stream)

    def _take(self, stream: Stream, size: int) -> None:
        """Ask for memory; older streams give theirs back for it."""
        size += _OVERHEAD
        memory = self._context.memory
        granted = memory.take(size)
        while granted < size and len(self.open) > 1:
            self._give_up(next(one for one in self.open.values() if one is not stream))
            granted += memory.take(size - granted)
        stream.held += granted

    def is_over(self, stream_id: int) -> bool:
        """Was the stream seen to its end?"""
        return stream_id in self._closed

    # Heads

    def head(
        self, stream_id: int, direction: Direction, fields: Fields, since_ns: int, *, end_stream: bool
    ) -> None:
        """A header block was read: a head, trailers, or an informational response."""
        stream = self.open.get(stream_id)
        if stream is None:
            if self.is_over(stream_id):
                return
            stream = self._add(stream_id)
        self._take(stream, fields.size)
        side = stream.side(direction)
        if side.is_request:
            self._request_fields(stream, side, fields, since_ns)
        else:
            self._response_fields(stream, side, fields, since_ns)
        if end_stream and stream_id in self.open:
            self._end_side(stream, side)

    def _request_fields(self, stream: Stream, side: Side, fields: Fields, since_ns: int) -> None:
        is_head = not _PSEUDO_OF_REQUEST.isdisjoint(fields.pseudo) or (fields.nameless and not side.message)
        if side.head_seen or not is_head:
            self._trailers(stream, side, fields)
            return
        message = _request(fields, since_ns)
        self._begin(stream, side, message, fields)
        if message.method == "CONNECT":
            stream.tunnel = Tunnel(self._context, stream.id)
        else:
            self._begin_body(stream, side, message)

    def _response_fields(self, stream: Stream, side: Side, fields: Fields, since_ns: int) -> None:
        self._request_not_seen(stream)
        text = fields.get(":status")
        status = int(text) if text and text.isdecimal() and len(text) == 3 else None
        is_head = ":status" in fields.pseudo or (fields.nameless and not side.message)
        if side.head_seen or not is_head:
            self._trailers(stream, side, fields)
            return
        message = Message(False, status=status, start_ns=since_ns)
        if status is not None and 100 <= status < 200:
            self._informational(stream, side, message, fields)
            return
        self._begin(stream, side, message, fields)
        if stream.tunnel is not None:
            if status is not None and 200 <= status < 300:
                stream.tunnel.open(stream.exchange, self._client)
                return
            stream.tunnel.finish(closed=True)
            stream.tunnel = None
        self._begin_body(stream, side, message)

    def _request_not_seen(self, stream: Stream) -> None:
        """A response is there: without its request, that is older than the trace, or lost."""
        side = stream.request
        if side.message is None and not side.done:
            side.done = side.assumed_over = True
            stream.exchange.missing.append(Missing("request", self._why(side)))

    def _why(self, side: Side) -> MissingReason:
        return self.lossy[side.direction] or "not seen"

    def _informational(self, stream: Stream, side: Side, message: Message, fields: Fields) -> None:
        exchange, context = stream.exchange, self._context
        _fill(message, fields)
        if len(exchange.informational) < MAX_INFORMATIONAL:
            exchange.informational.append(message)
        message.end_ns = context.now
        context.out.append(HeadSeen(exchange, message, side.direction, context.now))
        context.out.append(MessageEnded(exchange, message, side.direction, context.now))

    def _begin(self, stream: Stream, side: Side, message: Message, fields: Fields) -> None:
        _fill(message, fields)
        side.head_seen = True
        self._attach(stream, side, message)
        if fields.unknown or None in fields.pseudo.values():
            stream.exchange.missing.append(Missing(side.headers_part, self._why(side)))
        self._context.out.append(HeadSeen(stream.exchange, message, side.direction, self._context.now))

    def _attach(self, stream: Stream, side: Side, message: Message) -> None:
        side.message = message
        side.done = False
        if side.is_request:
            stream.exchange.request = message
        else:
            stream.exchange.response = message
        if side.assumed_over:
            side.assumed_over = False
            missing = stream.exchange.missing
            missing[:] = [item for item in missing if item.part != side.part]

    def _begin_body(self, stream: Stream, side: Side, message: Message) -> None:
        side.body = Body(self._context, stream.exchange, message, side.direction)

    def _trailers(self, stream: Stream, side: Side, fields: Fields) -> None:
        message = side.message or self._headless(stream, side, self._why(side))
        if side.done:
            return
        message.trailers = fields.headers
        if fields.unknown:
            stream.exchange.missing.append(Missing(side.headers_part, self._why(side)))

    def _headless(self, stream: Stream, side: Side, why: MissingReason, size: int | None = None) -> Message:
        """A message of which the head was not seen."""
        message = Message(side.is_request, None, None, None, None, None, start_ns=self._context.now)
        self._attach(stream, side, message)
        stream.exchange.missing.append(Missing(side.headers_part, why, size))
        if not side.is_request:
            self._request_not_seen(stream)
        self._begin_body(stream, side, message)
        return message

    def head_lost(
        self, stream_id: int, direction: Direction, why: MissingReason, size: int | None, *, end_stream: bool
    ) -> None:
        """There was a header block, but it can't be read."""
        stream = self.open.get(stream_id)
        if stream is None:
            if self.is_over(stream_id):
                return
            stream = self._add(stream_id)
        side = stream.side(direction)
        if side.message is None:
            self._headless(stream, side, why, size)
        elif not side.done:
            # Trailers.
            stream.exchange.missing.append(Missing(side.headers_part, why, size))
        if end_stream:
            self._end_side(stream, side)

    def promise(self, stream_id: int, direction: Direction, fields: Fields | None, since_ns: int) -> None:
        """The server promised the response to a request that it made up itself; it goes in `direction`."""
        if stream_id in self.open or self.is_over(stream_id):
            return
        stream = self._add(stream_id)
        stream.exchange.pushed = True
        side = stream.request
        side.direction = direction
        if fields is None:
            self._headless(stream, side, "not decodable")
        else:
            self._take(stream, fields.size)
            self._begin(stream, side, _request(fields, since_ns), fields)
        self._end_side(stream, side)

    # Bodies

    def data(self, stream_id: int, direction: Direction, payload: bytes) -> bool:
        """Bytes of a DATA frame; False if the stream is over."""
        stream = self._stream_of_data(stream_id, direction)
        if stream is None:
            return False
        side = stream.side(direction)
        if stream.tunnel is not None:
            stream.tunnel.data(direction, payload)
        elif side.body is not None and side.message is not None:
            side.body.feed(payload)
            if side.uncertain and side.message.body_wire_bytes == side.announced:
                # The end of the stream may be among what was lost.
                self._end_side(stream, side)
        return True

    def data_lost(self, stream_id: int, direction: Direction, size: int) -> None:
        """Bytes of a DATA frame that were not captured."""
        stream = self._stream_of_data(stream_id, direction)
        if stream is None:
            return
        if stream.tunnel is not None:
            stream.tunnel.gap(direction, size)
            return
        body = stream.side(direction).body
        if body is not None:
            body.gap(size)

    def _stream_of_data(self, stream_id: int, direction: Direction) -> Stream | None:
        stream = self.open.get(stream_id)
        if stream is None:
            if self.is_over(stream_id):
                return None
            stream = self._add(stream_id)
        side = stream.side(direction)
        if side.done and not side.assumed_over:
            return None
        if side.message is None:
            self._headless(stream, side, self._why(side))
            # Its beginning may have been before.
            side.uncertain = True
        return stream

    def data_ended(self, stream_id: int, direction: Direction) -> None:
        """The direction's last DATA frame of the stream."""
        stream = self._stream_of_data(stream_id, direction)
        if stream is not None:
            self._end_side(stream, stream.side(direction))

    # Ends

    def reset(self, stream_id: int, direction: Direction, code: int) -> None:
        """RST_STREAM came in `direction`."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._reset(stream, f"{error_name(code)} by the {self._who(direction)}")

    def going_away(self, direction: Direction, last_stream_id: int, code: int) -> None:
        """GOAWAY came in `direction`: streams of the other end beyond that number are not dealt with."""
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
        self.lossy[direction] = why
        for stream in self.open.values():
            side = stream.side(direction)
            if stream.tunnel is not None:
                stream.tunnel.doubt(stream.exchange, self._client)
            elif not side.done:
                side.uncertain = True
                if side.body is not None:
                    side.body.doubt()

    def finish(self, *, closed: bool) -> None:
        """The connection is over, or no longer followed."""
        for stream in list(self.open.values()):
            self._finish(stream, None, closed=closed)

    def _finish(self, stream: Stream, why: MissingReason | None, *, closed: bool) -> None:
        """End a stream of which not all halves are over."""
        if stream.tunnel is not None:
            stream.tunnel.finish(closed=closed)
            if closed and why is None:
                # A tunnel has no other end.
                stream.request.done = stream.response.done = stream.response.message is not None
        for side in (stream.request, stream.response):
            if stream.id in self.open and not side.done:
                reason: MissingReason = why or ("lost" if side.uncertain else "unfinished")
                if side.message is None:
                    unseen = why or ("lost" if side.uncertain else "not seen")
                    stream.exchange.missing.append(Missing(side.part, unseen))
                    side.done = True
                else:
                    stream.exchange.missing.append(Missing(side.body_part, reason))
                    self._end_side(stream, side, unfinished=True)
        if stream.id in self.open:
            self._end(stream)

    def _end_side(self, stream: Stream, side: Side, *, unfinished: bool = False) -> None:
        """A half is as complete as it will get."""
        if side.done:
            return
        side.done = True
        message = side.message
        if message is not None:
            message.end_ns = self._context.now
            if side.body is not None:
                self._end_body(stream, side, side.body, unfinished)
            self._context.out.append(
                MessageEnded(stream.exchange, message, side.direction, self._context.now)
            )
        if stream.request.done and stream.response.done:
            self._end(stream)

    def _end_body(self, stream: Stream, side: Side, body: Body, unfinished: bool) -> None:
        proven = body.proven
        missing = body.end("request body" if side.is_request else "response body", unfinished=unfinished)
        stream.held += body.held
        side.body = None
        message, exchange = side.message, stream.exchange
        assert message is not None
        whole = proven or side.announced == message.body_wire_bytes or not side.uncertain
        answers_head = not side.is_request and exchange.request and exchange.request.method == "HEAD"
        told = any(item.part == side.body_part for item in (*missing, *exchange.missing))
        if not (whole or told or answers_head):
            missing.append(Missing(side.body_part, self._why(side)))
        exchange.missing += missing

    def _end(self, stream: Stream) -> None:
        """The exchange is over, whatever it lacks."""
        for side in (stream.request, stream.response):
            if side.body is not None:
                side.done = False
                side_body, side.body = side.body, None
                side_body.end("request body" if side.is_request else "response body", unfinished=True)
                stream.held += side_body.held
        if stream.tunnel is not None:
            stream.tunnel.finish(closed=False)
        del self.open[stream.id]
        self._closed[stream.id] = None
        if len(self._closed) > MAX_CLOSED:
            self._closed.popitem(last=False)
        self._context.memory.give_back(stream.held)
        exchange = stream.exchange
        complete = not exchange.missing and exchange.reset is None
        self._context.out.append(ExchangeEnded(exchange, self._context.now, complete=complete))


def _request(fields: Fields, since_ns: int) -> Message:
    authority = fields.get(":authority")
    if authority == "":
        authority = next((value for name, value in fields.headers if name == "host"), "")
    return Message(
        True,
        fields.get(":method"),
        fields.get(":scheme"),
        authority,
        fields.get(":path"),
        protocol=fields.pseudo.get(":protocol"),
        start_ns=since_ns,
    )


def _fill(message: Message, fields: Fields) -> None:
    message.headers = fields.headers
    message.unknown_headers = fields.unknown
