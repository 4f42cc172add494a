"""The messages of a stream of HTTP/2, from head to end, and the records that tell of them."""

from __future__ import annotations

from tlstap.protocols.http.body import Body
from tlstap.protocols.http.context import Context
from tlstap.protocols.http2.headers import Fields
from tlstap.protocols.http2.stream import Side, Stream
from tlstap.protocols.http2.tunnel import Tunnel
from tlstap.records import (
    Direction,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    MissingReason,
)

MAX_INFORMATIONAL = 32
"""1xx responses that are kept of one exchange; all of them are reported as they come."""
_PSEUDO_OF_REQUEST = frozenset({":method", ":scheme", ":authority", ":path", ":protocol"})


class Messages:
    """Begins, fills and ends the messages of all streams. A stream that came to its end is `over`.

    `lossy` has the directions of which frames are missing, and why.
    """

    def __init__(self, context: Context) -> None:
        self.lossy: dict[Direction, MissingReason] = {}
        self._context = context

    # Heads

    def request_fields(self, stream: Stream, fields: Fields, since_ns: int) -> None:
        """A header block in the direction of requests: a head, or trailers."""
        side = stream.request
        is_head = not _PSEUDO_OF_REQUEST.isdisjoint(fields.pseudo) or fields.may_be_head
        if side.message is not None or not is_head:
            self._trailers(stream, side, fields)
            return
        message = _request(fields, since_ns)
        self._begin(stream, side, message, fields)
        if message.method == "CONNECT":
            stream.tunnel = Tunnel(self._context, stream.id)
        else:
            self._begin_body(stream, side, message)

    def response_fields(self, stream: Stream, fields: Fields, since_ns: int, *, end_stream: bool) -> None:
        """A header block in the direction of responses: a head, an informational response, or trailers.

        :param end_stream: it is the stream's last.
        """
        side = stream.response
        # Where all of the response before may be missing, the last block rather is its trailers.
        rest = end_stream and (side.uncertain or stream.request.message is None)
        self._request_not_seen(stream)
        is_head = ":status" in fields.pseudo or (fields.may_be_head and not rest)
        if side.head_seen or not is_head or (side.message is not None and ":status" not in fields.pseudo):
            self._trailers(stream, side, fields)
            return
        message = Message(False, status=_status(fields), start_ns=since_ns)
        if 100 <= (message.status or 0) < 200:
            self._informational(stream, message, fields)
            return
        self._begin(stream, side, message, fields)
        if stream.tunnel is not None:
            if 200 <= (message.status or 0) < 300:
                stream.tunnel.open(stream.exchange, stream.request.direction)
                return
            stream.tunnel.finish(closed=True)
            stream.tunnel = None
        self._begin_body(stream, side, message)

    def promised_request(
        self, stream: Stream, direction: Direction, fields: Fields | None, since_ns: int
    ) -> None:
        """A request that the server made up itself; it goes in `direction`."""
        side = stream.request
        side.direction = direction
        stream.exchange.pushed = True
        if fields is None:
            self.headless(stream, side, "not decodable")
        else:
            self._begin(stream, side, _request(fields, since_ns), fields)
        self.end_side(stream, side)

    def _request_not_seen(self, stream: Stream) -> None:
        """A response is there: without its request, that is older than the trace, or lost."""
        side = stream.request
        if side.message is None and not side.done:
            side.done = side.assumed_over = True
            stream.exchange.missing.append(Missing("request", self._why(side)))

    def _why(self, side: Side) -> MissingReason:
        return self.lossy.get(side.direction, "not seen")

    def _informational(self, stream: Stream, message: Message, fields: Fields) -> None:
        exchange, context, direction = stream.exchange, self._context, stream.response.direction
        _fill(message, fields)
        if len(exchange.informational) < MAX_INFORMATIONAL:
            exchange.informational.append(message)
        message.end_ns = context.now
        context.out.append(HeadSeen(exchange, message, direction, context.now))
        context.out.append(MessageEnded(exchange, message, direction, context.now))

    def _begin(self, stream: Stream, side: Side, message: Message, fields: Fields) -> None:
        _fill(message, fields)
        side.head_seen = True
        # What was lost before was not of this message.
        side.uncertain = False
        self._attach(stream, side, message)
        self._note_unknown(stream, side, fields)
        self._context.out.append(HeadSeen(stream.exchange, message, side.direction, self._context.now))

    def _note_unknown(self, stream: Stream, side: Side, fields: Fields) -> None:
        missing = Missing(side.headers_part, self._why(side))
        if (fields.unknown or None in fields.pseudo.values()) and missing not in stream.exchange.missing:
            stream.exchange.missing.append(missing)

    @staticmethod
    def _attach(stream: Stream, side: Side, message: Message) -> None:
        exchange = stream.exchange
        side.message = message
        side.done = False
        if side.is_request:
            exchange.request = message
        else:
            exchange.response = message
        if side.assumed_over:
            side.assumed_over = False
            exchange.missing = [item for item in exchange.missing if item.part != side.part]

    def _begin_body(self, stream: Stream, side: Side, message: Message) -> None:
        side.body = Body(self._context, stream.exchange, message, side.direction)

    def _trailers(self, stream: Stream, side: Side, fields: Fields) -> None:
        message = side.message
        if message is None:
            message = self.headless(stream, side, self._why(side))
            # Its body may have been before.
            side.uncertain = True
        if not side.done:
            message.trailers = fields.headers
            self._note_unknown(stream, side, fields)

    def headless(self, stream: Stream, side: Side, why: MissingReason) -> Message:
        """A message of which the head was not seen."""
        message = Message(side.is_request, None, None, None, None, None, start_ns=self._context.now)
        self._attach(stream, side, message)
        stream.exchange.missing.append(Missing(side.headers_part, why))
        if not side.is_request:
            self._request_not_seen(stream)
        self._begin_body(stream, side, message)
        return message

    def head_lost(self, stream: Stream, side: Side, why: MissingReason) -> None:
        """There was a header block, but it can't be read."""
        if side.message is None:
            self.headless(stream, side, why)
        elif not side.done:
            # Trailers.
            stream.exchange.missing.append(Missing(side.headers_part, why))

    # Bodies

    def expect_data(self, stream: Stream, side: Side) -> bool:
        """DATA is there for this half; False if it is over already."""
        if side.done and not side.assumed_over:
            return False
        if side.message is None:
            self.headless(stream, side, self._why(side))
            # Its beginning may have been before.
            side.uncertain = True
        return True

    def data(self, stream: Stream, direction: Direction, payload: bytes) -> None:
        """Bytes of a DATA frame."""
        side = stream.side(direction)
        if stream.tunnel is not None:
            stream.tunnel.data(direction, payload)
        elif side.body is not None and side.message is not None:
            side.body.feed(payload)
            if side.uncertain and side.message.body_wire_bytes == side.announced:
                # The end of the stream may be among what was lost.
                self.end_side(stream, side)

    @staticmethod
    def data_lost(stream: Stream, direction: Direction, size: int) -> None:
        """Bytes of a DATA frame that were not captured."""
        body = stream.side(direction).body
        if stream.tunnel is not None:
            stream.tunnel.gap(direction, size)
        elif body is not None:
            body.gap(size)

    @staticmethod
    def doubt(stream: Stream, direction: Direction) -> None:
        """Frames were lost that may have been of this stream."""
        side = stream.side(direction)
        if stream.tunnel is not None:
            stream.tunnel.doubt(stream.exchange, stream.request.direction)
        elif not side.done:
            side.uncertain = True
            if side.body is not None:
                side.body.doubt()

    # Ends

    def end_side(self, stream: Stream, side: Side, *, unfinished: bool = False) -> None:
        """A half is as complete as it will get."""
        if side.done:
            return
        side.done = True
        message = side.message
        if message is not None:
            message.end_ns = self._context.now
            self._end_body(stream, side, message, unfinished)
            ended = MessageEnded(stream.exchange, message, side.direction, self._context.now)
            self._context.out.append(ended)
        if stream.request.done and stream.response.done:
            self._end(stream)

    def _end_body(self, stream: Stream, side: Side, message: Message, unfinished: bool) -> None:
        body, side.body = side.body, None
        if body is None:
            return
        missing = stream.exchange.missing
        whole = body.proven or not side.uncertain or side.announced == message.body_wire_bytes
        whole = whole or self._answers_head(stream, side)
        missing += body.end(side.body_part, unfinished=unfinished, whole=whole)
        stream.held += body.held
        if not whole and all(item.part != side.body_part for item in missing):
            missing.append(Missing(side.body_part, self._why(side)))

    @staticmethod
    def _answers_head(stream: Stream, side: Side) -> bool:
        request = stream.exchange.request
        return not side.is_request and request is not None and request.method == "HEAD"

    def finish(self, stream: Stream, why: MissingReason | None, *, closed: bool) -> None:
        """End a stream of which not all halves are over.

        :param why: what they lack, they lack for this reason.
        """
        if stream.tunnel is not None:
            stream.tunnel.finish(closed=closed)
            if closed and why is None and stream.response.message is not None:
                # A tunnel may end with its connection.
                self.end_side(stream, stream.request)
                self.end_side(stream, stream.response)
        for side in (stream.request, stream.response):
            if side.done or stream.over:
                continue
            if side.message is None:
                unseen = why or ("lost" if side.uncertain else "not seen")
                stream.exchange.missing.append(Missing(side.part, unseen))
                side.done = True
            else:
                unfinished = why or ("lost" if side.uncertain else "unfinished")
                stream.exchange.missing.append(Missing(side.body_part, unfinished))
                self.end_side(stream, side, unfinished=True)
        if not stream.over:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        """The exchange is over, whatever it lacks."""
        if stream.tunnel is not None:
            stream.tunnel.finish(closed=False)
        stream.over = True
        self._context.memory.give_back(stream.held)
        exchange = stream.exchange
        complete = not exchange.missing and exchange.reset is None
        self._context.out.append(ExchangeEnded(exchange, self._context.now, complete=complete))


def _status(fields: Fields) -> int | None:
    text = fields.get(":status")
    return int(text) if text is not None and len(text) == 3 and text.isascii() and text.isdecimal() else None


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
