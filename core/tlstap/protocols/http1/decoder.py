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

from collections.abc import Iterator

from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes, Switch
from tlstap.protocols.http.context import Context
from tlstap.protocols.http1.half import Half, State
from tlstap.protocols.http1.head import (
    MAX_LINE,
    MAX_SEARCHED_LINE,
    end_of_head,
    find_message,
    parse_head,
    start_of,
    starts_message,
)
from tlstap.protocols.http1.messages import Messages
from tlstap.protocols.memory import Allowance
from tlstap.records import DecodedRecord, Direction, Exchange, Undecoded

MAX_HEAD = 64 * 1024
MAX_HELD = 64 * 1024
"""What a client may send behind a CONNECT or upgrade before the answer is there."""
_SLICE = 64 * 1024


class Http1(Protocol):
    """Recognised by a request line or status line."""

    name = "http1"

    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        # A body of HTTP/2 may begin like that.
        return False if channel.alpn == "h2" else starts_message(start, None)

    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        return Http1Decoder(channel, memory)


class Http1Decoder(Decoder):
    """Decodes both directions of a connection; which one carries the requests is told by content."""

    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self._context = Context(channel, memory)
        self._messages = Messages(self._context)
        self._read, self._write = Half("read"), Half("write")
        # Where in the newest records the other protocol begins, if one does.
        self._switched: int | None = None

    def feed(self, data: StreamBytes) -> Iterator[DecodedRecord]:
        out = self._context.begin(data.time_ns)
        self._feed(data)
        if self._switched is not None:
            yield from out[: self._switched]
            out, self.handed_over = out[self._switched :], True
        yield from out

    def _feed(self, data: StreamBytes) -> None:
        messages = self._messages
        self._context.process = data.process
        half = self._read if data.direction == "read" else self._write
        if data.lost_before:
            self._gap(half, data.lost_before)
        payload, taken = data.payload, 0
        if half.state is State.BODY and not half.buffer and not half.doubtful:
            taken = messages.body(half, payload)
        if taken < len(payload):
            if not half.buffer:
                half.offset, half.since_ns = data.offset + taken, data.time_ns
            half.buffer += payload[taken:] if taken else payload
            self._advance(half)
        self._release()

    def _advance(self, half: Half) -> None:
        """Understand as much of the buffer as possible."""
        more = True
        while more and half.buffer:
            match half.state:
                case State.HEAD:
                    more = self._head(half)
                case State.BODY:
                    more = self._body(half)
                case State.SEARCH:
                    more = self._search(half)
                case State.HOLD:
                    more = len(half.buffer) > MAX_HELD
                    if more:
                        half.state = State.HEAD
                case State.SWITCHED:
                    self._undecoded(half, len(half.buffer))
            if not half.is_request:
                self._release()

    def _head(self, half: Half) -> bool:
        """Read a message's head; False if more bytes are needed."""
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
        head = parse_head(bytes(buffer[:end]), MAX_HEAD)
        if head is None:
            self._undecoded(half, end)
            half.lose_sync()
            return True
        since = half.since_ns
        half.drop(end, self._context.now)
        half.line_seen = False
        self._tell_apart(half, head.is_request)
        if head.is_request:
            self._messages.request(half, head, since, end)
            return True
        requests = self._requests()
        if requests.state is State.HEAD and requests.buffer and not self._messages.awaiting():
            requests.answered = True
        switched = self._messages.response(half, head, since, end)
        if switched is not None:
            self._switch(switched)
        return True

    def _start_line(self, half: Half) -> bool:
        """Is there a whole start line at the buffer's beginning?"""
        buffer = half.buffer
        if buffer[0] in b"\r\n":
            half.drop(len(buffer) - len(buffer.lstrip(b"\r\n")), self._context.now)
            if not buffer:
                return False
        short = len(buffer) <= MAX_LINE
        # Bytes that come one by one are not worth a look each.
        if half.searched > 64 and short and buffer.find(b"\n", half.searched) < 0:
            half.searched = len(buffer)
            return False
        verdict = starts_message(buffer, half.is_request)
        if verdict is None and short:
            half.searched = len(buffer)
            return False
        half.searched = 0
        if not verdict:
            half.lose_sync()
            return False
        half.line_seen = True
        return True

    def _tell_apart(self, half: Half, is_request: bool) -> None:
        if half.is_request is None:
            half.is_request, self._other(half).is_request = is_request, not is_request

    def _other(self, half: Half) -> Half:
        return self._write if half is self._read else self._read

    def _requests(self) -> Half:
        return self._read if self._read.is_request else self._write

    def _body(self, half: Half) -> bool:
        """Take the body's part of the buffer; False if more bytes are needed to know whether it is one."""
        if half.in_doubt:
            # Perhaps no body came at all, and the next message begins here.
            next_begins = starts_message(half.buffer, half.is_request)
            if next_begins is None and len(half.buffer) <= MAX_LINE:
                return False
            if next_begins:
                self._messages.cut_short(half, "not seen")
                return True
        half.doubtful = False
        size = self._messages.body(half, bytes(half.buffer[:_SLICE]))
        half.drop(size, self._context.now)
        return True

    def _flush_body(self, half: Half) -> None:
        """Deal with what is left of a body in the buffer, before a gap or the end."""
        if half.state is State.BODY and half.in_doubt:
            self._messages.cut_short(half, "not seen")
            if not half.buffer:
                half.lose_sync()
        while half.buffer and half.state is State.BODY:
            self._body(half)

    def _release(self) -> None:
        """If a request for another protocol was refused, what was held behind it is HTTP."""
        half = self._requests()
        if half.state is State.HOLD and half.pending is not None and half.pending.response_done:
            half.state = State.HEAD
            self._advance(half)

    def _switch(self, exchange: Exchange) -> None:
        """All further bytes are of another protocol, also those held behind the request for it."""
        requests = self._requests()
        self._switched = len(self._context.out)
        self.switch = Switch(exchange, _switched_to(exchange), requests.direction)
        for half in (requests, self._other(requests)):
            if half.message is None:
                half.state = State.SWITCHED
                self._undecoded(half, len(half.buffer))

    def _gap(self, half: Half, size: int) -> None:
        """Bytes of the direction were not captured."""
        if half.state is State.HOLD:
            half.state = State.HEAD
            self._advance(half)
        self._flush_body(half)
        behind = self._messages.gap(half, size) if half.state is State.BODY else size
        whole = half.state is State.HEAD and not half.buffer
        if half.state is State.HEAD and half.buffer:
            self._head_lost(half, behind)
        elif whole and behind:
            half.lose_sync(behind, boundary=True)
        else:
            self._undecoded(half, len(half.buffer))
            if half.state is State.SEARCH and behind:
                half.lose_sync(behind)
        if half.state is State.SEARCH and half.is_request:
            self._messages.requests_lost(size, whole=whole)
        if half.state is not State.BODY:
            half.lost_before = size

    def _head_lost(self, half: Half, gap: int | None) -> None:
        """The message that begins in the buffer has no head that could be read."""
        method, status = start_of(half.buffer)
        if method or status:
            self._tell_apart(half, bool(method))
        if not half.answered:
            self._messages.head_lost(half, method, status, gap)
        self._undecoded(half, len(half.buffer))
        half.lose_sync(gap)

    def _search(self, half: Half) -> bool:
        """Look for the start of a message in unknown bytes; the line at their end may become one."""
        buffer = half.buffer
        start = find_message(buffer, half.is_request)
        if start is None:
            last_line = buffer.rfind(b"\n") + 1
            self._undecoded(half, max(last_line, len(buffer) - MAX_SEARCHED_LINE))
            return False
        self._undecoded(half, start)
        half.state = State.HEAD
        return True

    def _undecoded(self, half: Half, size: int) -> None:
        if size:
            context, payload = self._context, bytes(half.buffer[:size])
            channel = context.channel
            where = (context.process, context.now, half.direction, half.offset)
            context.out.append(
                Undecoded(channel.connection, *where, payload, half.lost_before, channel.stream_id)
            )
            half.drop(size, context.now)

    def finish(self, time_ns: int, *, closed: bool) -> list[DecodedRecord]:
        messages = self._messages
        out = self._context.begin(time_ns)
        requests = self._requests()
        for half in (requests, self._other(requests)):
            self._flush_body(half)
            messages.finish(half, closed=closed)
            self._undecoded(half, len(half.buffer))
        messages.finish_all()
        return out


def _switched_to(exchange: Exchange) -> str:
    """The protocol that the server's answer names; "" for a tunnel, and where it names none."""
    response = exchange.response
    if response is None or response.status != 101:
        return ""
    named = next((value for name, value in response.headers if name.lower() == "upgrade"), "")
    return named.strip().lower()
