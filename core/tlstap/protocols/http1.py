"""HTTP/1.0 and HTTP/1.1.

h11 was chosen over httptools after trying both on captured halves of connections. httptools can't be told
that a response answers HEAD and does not say where a message ends, so framing would have to be written
again around it; it also refuses what real programs send and accept (obsolete folding, bare line feeds,
repeated Content-Length, unknown methods), and its speed, 15 times that of h11, is not what limits here. h11
gives each message a reader of its own and hands back what it did not use. It reads header fields and chunked
bodies; start lines are read in http1_head.py, since h11 refuses requests without Host and 101 responses whose
request it did not send; bodies with Content-Length pass it by.
"""

from __future__ import annotations

import re
from typing import Literal

from tlstap.protocols.base import Decoder, Protocol, StreamBytes
from tlstap.protocols.body import Body
from tlstap.protocols.http1_framing import Framing, framing
from tlstap.protocols.http1_half import Half, State
from tlstap.protocols.http1_head import (
    MAX_LINE,
    MAX_SEARCHED_LINE,
    Head,
    end_of_head,
    find_message,
    parse_head,
    start_of,
    starts_message,
)
from tlstap.protocols.http1_pairing import Pairing, Pending
from tlstap.protocols.memory import Allowance
from tlstap.records import (
    Connection,
    DecodedRecord,
    Direction,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    Undecoded,
)
from tlstap.schema import Process

MAX_HEAD = 64 * 1024
MAX_HELD = 64 * 1024
"""What a client may send behind a CONNECT or upgrade before the answer is there."""
MAX_INFORMATIONAL = 32
_SLICE = 64 * 1024
_HEAD_OVERHEAD = 1024
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")


class Http1(Protocol):
    """Recognised by a request line or status line."""

    name = "http1"

    def recognise(self, connection: Connection, direction: Direction, start: bytes) -> bool | None:
        return starts_message(start, None)

    def decoder(self, connection: Connection, memory: Allowance) -> Decoder:
        return Http1Decoder(connection, memory)


class Http1Decoder(Decoder):
    """Decodes both directions of a connection; which one carries the requests is told by content."""

    def __init__(self, connection: Connection, memory: Allowance) -> None:
        self._connection = connection
        self._memory = memory
        self._pairing = Pairing(connection, memory)
        self._read, self._write = Half("read"), Half("write")
        self._out: list[DecodedRecord] = []
        self._now = 0
        self._process: Process = connection.process

    def feed(self, data: StreamBytes) -> list[DecodedRecord]:
        out = self._out = []
        half = self._read if data.direction == "read" else self._write
        self._now, self._process = data.time_ns, data.process
        if data.lost_before:
            self._gap(half, data.lost_before)
        payload, taken = data.payload, 0
        if payload:
            if half.state is State.BODY and not half.buffer and not half.doubtful:
                taken = self._body(half, payload)
            if taken < len(payload):
                if not half.buffer:
                    half.offset, half.since_ns = data.offset + taken, data.time_ns
                half.buffer += payload[taken:] if taken else payload
                self._advance(half)
        return out

    def _advance(self, half: Half) -> None:
        more = True
        while more and half.buffer:
            match half.state:
                case State.HEAD:
                    more = self._head(half)
                case State.BODY:
                    more = self._buffered_body(half)
                case State.SEARCH:
                    more = self._search(half)
                case State.HOLD:
                    more = len(half.buffer) > MAX_HELD
                    if more:
                        half.state = State.HEAD
                case State.SWITCHED:
                    self._undecoded(half, len(half.buffer))

    # Heads

    def _head(self, half: Half) -> bool:
        """Read a message's head from the buffer; False if more bytes are needed."""
        buffer = half.buffer
        if not half.line_seen and not self._start_line(half):
            return half.state is not State.HEAD
        end = end_of_head(buffer, half.searched)
        if end is None:
            half.searched = len(buffer)
            if len(buffer) <= MAX_HEAD:
                return False
            self._head_lost(half, None)
            return True
        raw = bytes(buffer[:end])
        head = parse_head(raw, MAX_HEAD)
        if head is None:
            self._undecoded(half, end)
            half.lose_sync()
            return True
        since = half.since_ns
        half.drop(end, self._now)
        half.line_seen = False
        if head.is_request:
            self._request(half, head, since, end)
        else:
            self._response(half, head, since, end)
        return True

    def _start_line(self, half: Half) -> bool:
        """Is there a whole start line at the buffer's beginning?"""
        buffer = half.buffer
        if buffer[0] in b"\r\n":
            blank = len(buffer) - len(buffer.lstrip(b"\r\n"))
            half.drop(blank, self._now)
            if not buffer:
                return False
        if half.searched > 64 and buffer.find(b"\n", half.searched) < 0 and len(buffer) <= MAX_LINE:
            half.searched = len(buffer)
            return False
        verdict = starts_message(buffer, half.is_request)
        if verdict is None and len(buffer) <= MAX_LINE:
            half.searched = len(buffer)
            return False
        half.searched = 0
        if not verdict:
            half.lose_sync()
            return False
        half.line_seen = True
        return True

    def _request(self, half: Half, head: Head, since: int, size: int) -> None:
        self._tell_apart(half, True)
        scheme, authority = _where(head)
        message = Message(
            True, head.method, scheme, authority, head.target, headers=head.headers, start_ns=since
        )
        pending = self._pairing.request(
            self._process, head.version, head.method, size + _HEAD_OVERHEAD, self._now, self._out
        )
        pending.may_switch = head.upgrade or head.method == "CONNECT"
        pending.exchange.request = message
        has_body = head.method != "CONNECT"
        body = framing(head.content_length, head.chunks, True) if has_body else None
        self._begin(half, pending, message, body)
        half.doubtful = head.expects_continue and body is not None

    def _response(self, half: Half, head: Head, since: int, size: int) -> None:
        self._tell_apart(half, False)
        if not half.in_sync:
            self._pairing.responses_lost(half.lost, half.boundary, self._now, self._out)
        pending = self._pairing.response(self._process, head.version, in_sync=half.in_sync)
        message = Message(False, status=head.status, reason=head.reason, headers=head.headers, start_ns=since)
        exchange = pending.exchange
        if head.status < 200 and head.status != 101:
            if len(exchange.informational) < MAX_INFORMATIONAL:
                exchange.informational.append(message)
            half.resynced()
            self._out.append(HeadSeen(exchange, message, half.direction, self._now))
            message.end_ns = self._now
            self._out.append(MessageEnded(exchange, message, half.direction, self._now))
            return
        exchange.response = message
        pending.response_begun = True
        pending.held += self._memory.take(size + _HEAD_OVERHEAD)
        switches = head.status == 101 or (pending.method == "CONNECT" and 200 <= head.status < 300)
        bodiless = switches or pending.method == "HEAD" or head.status in (204, 304)
        body = None if bodiless else framing(head.content_length, head.chunks, False)
        self.handed_over = switches
        self._begin(half, pending, message, body)
        # Without its method nobody knows whether a body follows: it may have been HEAD.
        half.doubtful = body is not None and not body.until_close and not pending.method
        if switches:
            self._switch()

    def _tell_apart(self, half: Half, is_request: bool) -> None:
        if half.is_request is None:
            half.is_request, self._other(half).is_request = is_request, not is_request

    def _other(self, half: Half) -> Half:
        return self._write if half is self._read else self._read

    def _begin(self, half: Half, pending: Pending, message: Message, body: Framing | None) -> None:
        half.resynced()
        half.pending, half.message, half.framing = pending, message, body
        self._out.append(HeadSeen(pending.exchange, message, half.direction, self._now))
        if body is None:
            self._end(half)
        else:
            half.body = Body(message, self._memory)
            half.state = State.BODY

    # Bodies

    def _body(self, half: Half, data: bytes) -> int:
        """Take the body's part of the bytes; how many that were."""
        assert half.framing is not None and half.body is not None
        taken = half.framing.take(data)
        for piece in taken.pieces:
            half.body.feed(piece)
        if taken.ended:
            self._end(half)
        elif taken.broken:
            self._cut_short(half, "unfinished")
            half.lose_sync()
        return taken.size

    def _buffered_body(self, half: Half) -> bool:
        if half.doubtful:
            # No body may have come at all, and the next message begins here.
            next_message = starts_message(half.buffer, half.is_request)
            if next_message is None:
                return False
            half.doubtful = False
            answered = half.pending is not None and half.pending.response_begun
            if next_message and (answered or not half.is_request):
                self._cut_short(half, "not seen")
                return True
        size = self._body(half, bytes(half.buffer[:_SLICE]))
        half.drop(size, self._now)
        return True

    def _cut_short(self, half: Half, reason: Literal["unfinished", "not seen"]) -> None:
        """The body ends here, though its framing said that more would come."""
        assert half.framing is not None and half.pending is not None
        half.pending.exchange.missing.append(Missing(half.part, reason, half.framing.remaining()))
        self._end(half, unfinished=True)

    def _end(self, half: Half, *, unfinished: bool = False) -> None:
        """The half's message is as complete as it will get."""
        pending, message, body = half.pending, half.message, half.body
        assert pending is not None and message is not None
        exchange = pending.exchange
        if body is not None:
            exchange.missing += body.end(half.part, unfinished=unfinished)
            pending.held += body.held
        if half.framing is not None:
            message.trailers = list(half.framing.trailers)
        message.end_ns = self._now
        half.pending = half.message = half.body = half.framing = None
        half.state, half.doubtful = State.HEAD, False
        self._out.append(MessageEnded(exchange, message, half.direction, self._now))
        if half.is_request:
            pending.request_done = True
            if pending.may_switch and not pending.response_done:
                half.state = State.HOLD
        else:
            pending.response_done = True
        self._pairing.end_if_done(pending, self._now, self._out)
        if pending.may_switch and pending.response_done and not self.handed_over:
            self._release()

    def _release(self) -> None:
        """A request for another protocol was refused: what was held behind it is HTTP."""
        half = self._read if self._read.is_request else self._write
        if half.state is State.HOLD:
            half.state = State.HEAD
            self._advance(half)

    def _switch(self) -> None:
        """All further bytes are of another protocol, also those held behind the request for it."""
        requests = self._read if self._read.is_request else self._write
        for half in (requests, self._other(requests)):
            if half.message is None:
                half.state = State.SWITCHED
                self._undecoded(half, len(half.buffer))

    # What is lost or not understood

    def _gap(self, half: Half, size: int) -> None:
        """Bytes of the direction were not captured."""
        if half.state is State.HOLD:
            half.state = State.HEAD
            self._advance(half)
        if half.state is State.BODY:
            size = self._gap_in_body(half, size)
            if not size:
                return
        if half.buffer and half.state is State.HEAD:
            self._head_lost(half, size)
        self._undecoded(half, len(half.buffer))
        if half.state is State.HEAD:
            half.lose_sync(size, boundary=True)
            if half.is_request:
                self._pairing.requests_lost(self._process, size, self._now, self._out)
        elif half.state is State.SEARCH:
            half.lose_sync(size)
        half.lost_before = size

    def _gap_in_body(self, half: Half, size: int) -> int:
        """Account for a gap that began in a body; how much of it is behind the message."""
        assert half.framing is not None and half.body is not None
        half.doubtful = False
        while half.buffer and half.state is State.BODY:
            self._buffered_body(half)
        if half.framing is None or half.body is None:
            return size
        inside = half.framing.gap(size)
        if inside is None:
            half.body.gap(size)
            self._end(half)
            half.lose_sync(size)
            half.lost_before = size
            return 0
        half.body.gap(inside)
        if half.framing.remaining() == 0:
            self._end(half)
        return size - inside

    def _head_lost(self, half: Half, gap: int | None) -> None:
        """The message whose head began in the buffer can't be read: cut by a gap, or over the limit."""
        reason: Literal["lost", "over the limit"] = "lost" if gap is not None else "over the limit"
        method, status = start_of(half.buffer)
        if method or status:
            self._tell_apart(half, bool(method))
        if half.is_request:
            why = Missing("request", reason, gap)
            self._pairing.lost_request(self._process, method, why, self._now, self._out)
        elif half.is_request is False and not 100 <= status < 200:
            pending = self._pairing.response(self._process, "1.1", in_sync=False)
            pending.exchange.missing.append(Missing("response", reason, gap))
            pending.response_begun = pending.response_done = True
            self._pairing.end_if_done(pending, self._now, self._out)
        self._undecoded(half, len(half.buffer))
        half.lose_sync(gap)

    def _search(self, half: Half) -> bool:
        """Look for the start of a message in unknown bytes; the line at their end may become one."""
        buffer = half.buffer
        start = find_message(buffer, half.is_request)
        if start is None:
            line = max(buffer.rfind(b"\n") + 1, len(buffer) - MAX_SEARCHED_LINE)
            self._undecoded(half, line)
            return False
        self._undecoded(half, start)
        half.state = State.HEAD
        return True

    def _undecoded(self, half: Half, size: int) -> None:
        if not size:
            return
        payload, gap = bytes(half.buffer[:size]), half.lost_before
        record = Undecoded(
            self._connection, self._process, self._now, half.direction, half.offset, payload, gap
        )
        self._out.append(record)
        half.drop(size, self._now)

    def finish(self, time_ns: int, *, closed: bool) -> list[DecodedRecord]:
        out = self._out = []
        self._now = time_ns
        requests = self._read if self._read.is_request else self._write
        for half in (requests, self._other(requests)):
            if half.state is State.BODY:
                self._finish_body(half, closed)
            elif half.state is State.HEAD and half.line_seen and half.is_request is False:
                pending = self._pairing.response(self._process, "1.1", in_sync=False)
                pending.exchange.missing.append(Missing("response", "unfinished"))
            self._undecoded(half, len(half.buffer))
        self._pairing.finish(time_ns, out)
        return out

    def _finish_body(self, half: Half, closed: bool) -> None:
        half.doubtful = False
        while half.buffer and half.state is State.BODY:
            self._buffered_body(half)
        if half.framing is None:
            return
        if half.framing.until_close and closed:
            self._end(half)
        else:
            self._cut_short(half, "unfinished")


def _where(head: Head) -> tuple[str, str]:
    """Scheme and authority of a request."""
    if head.method == "CONNECT":
        return "https", head.target
    absolute = _ABSOLUTE.match(head.target)
    if absolute is not None:
        return absolute[1].lower(), absolute[2]
    return "https", next((value for name, value in head.headers if name.lower() == "host"), "")
