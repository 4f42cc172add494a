"""The messages of an HTTP/1 connection, from head to end, and the records that tell of them."""

from __future__ import annotations

import re
from typing import Literal

from tlstap.protocols.http.body import Body
from tlstap.protocols.http.context import Context
from tlstap.protocols.http1.framing import Framing, framing
from tlstap.protocols.http1.half import Half, State
from tlstap.protocols.http1.head import Head
from tlstap.protocols.http1.pairing import Pairing, Pending
from tlstap.records import Exchange, HeadSeen, Message, MessageEnded, Missing

MAX_INFORMATIONAL = 32
"""1xx responses that are kept of one exchange; all of them are reported as they come."""
_HEAD_OVERHEAD = 1024
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")


class Messages:
    """Begins, fills and ends messages."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pairing = Pairing(context)

    def request(self, half: Half, head: Head, since: int, size: int) -> None:
        """A request's head of `size` bytes is complete; its first byte came at `since`."""
        scheme, authority = _where(head)
        message = Message(True, head.method, scheme, authority, head.target, start_ns=since)
        message.headers = head.headers
        held = size + _HEAD_OVERHEAD
        pending = self._pairing.request(head.version, head.method, held)
        pending.may_switch = head.upgrade or head.method == "CONNECT"
        pending.expects_continue = head.expects_continue
        pending.exchange.request = message
        if half.answered:
            # Its response was given out alone.
            half.answered = False
            pending.response_begun = pending.response_done = True
        body = None if head.method == "CONNECT" else framing(head.content_length, head.chunks, True)
        # The answer may be such that the body is never sent.
        half.doubtful = head.expects_continue
        self._begin(half, pending, message, body)

    def response(self, half: Half, head: Head, since: int, size: int) -> Exchange | None:
        """A response's head is complete. Its exchange, if another protocol is spoken from here on."""
        if not half.in_sync:
            self._pairing.responses_lost(half.lost, half.boundary)
        pending = self._pairing.response(head.version, in_sync=half.in_sync)
        uncertain = not pending.method or not half.in_sync
        message = Message(False, status=head.status, reason=head.reason, start_ns=since)
        message.headers = head.headers
        if head.status < 200 and head.status != 101:
            self._informational(half, pending, message)
            return None
        pending.exchange.response = message
        pending.response_begun = True
        pending.held += self._context.memory.take(size + _HEAD_OVERHEAD)
        switches = head.status == 101 or (pending.method == "CONNECT" and 200 <= head.status < 300)
        bodiless = switches or pending.method == "HEAD" or head.status in (204, 304)
        body = None if bodiless else framing(head.content_length, head.chunks, False)
        # The request may have been HEAD.
        half.doubtful = uncertain and body is not None and not body.until_close
        self._begin(half, pending, message, body)
        return pending.exchange if switches else None

    def _informational(self, half: Half, pending: Pending, message: Message) -> None:
        exchange = pending.exchange
        if len(exchange.informational) < MAX_INFORMATIONAL:
            exchange.informational.append(message)
        half.resynced()
        self._context.out.append(HeadSeen(exchange, message, half.direction, self._context.now))
        message.end_ns = self._context.now
        self._context.out.append(MessageEnded(exchange, message, half.direction, self._context.now))

    def _begin(self, half: Half, pending: Pending, message: Message, body: Framing | None) -> None:
        half.resynced()
        half.pending, half.message, half.framing = pending, message, body
        self._context.out.append(HeadSeen(pending.exchange, message, half.direction, self._context.now))
        if body is None:
            self._end(half)
        else:
            half.body = Body(self._context, pending.exchange, message, half.direction)
            half.state = State.BODY

    def body(self, half: Half, data: bytes) -> int:
        """Take the body's part of the bytes; how many that were."""
        assert half.framing is not None and half.body is not None
        taken = half.framing.take(data)
        for piece in taken.pieces:
            half.body.feed(piece)
        if taken.ended:
            self._end(half)
        elif taken.broken:
            self.cut_short(half, "unfinished")
            half.lose_sync()
        return taken.size

    def gap(self, half: Half, size: int) -> int:
        """A gap began in the body; how much of it is behind the message."""
        assert half.framing is not None and half.body is not None
        inside = half.framing.gap(size)
        half.body.gap(size if inside is None else inside)
        if inside is None:
            self._end(half)
            half.lose_sync(size)
            return 0
        if half.framing.remaining() == 0:
            self._end(half)
        return size - inside

    def cut_short(self, half: Half, reason: Literal["unfinished", "not seen"]) -> None:
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
        message.end_ns = self._context.now
        half.pending = half.message = half.body = half.framing = None
        half.state, half.doubtful = State.HEAD, False
        self._context.out.append(MessageEnded(exchange, message, half.direction, self._context.now))
        if half.is_request:
            pending.request_done = True
            if pending.may_switch and not pending.response_done:
                half.state, half.pending = State.HOLD, pending
        else:
            pending.response_done = True
        self._pairing.end_if_done(pending)

    def head_lost(self, half: Half, method: str, status: int, gap: int | None) -> None:
        """A message's head can't be read: cut by a gap of that size, or (None) over the limit.

        :param method: of a request; empty if not known.
        :param status: of a response; 0 if not known.
        """
        reason: Literal["lost", "over the limit"] = "lost" if gap is not None else "over the limit"
        if half.is_request:
            why = Missing("request", reason, gap)
            self._pairing.lost_request(method, why)
        elif half.is_request is False and not 100 <= status < 200:
            self._response_lost(Missing("response", reason, gap))

    def awaiting(self) -> bool:
        """Is there a request that no response has come to yet?"""
        return self._pairing.awaiting()

    def requests_lost(self, size: int, *, whole: bool) -> None:
        """A gap in which a request may have begun; `whole`: it began between two requests."""
        self._pairing.requests_lost(size, whole=whole)

    def _response_lost(self, why: Missing) -> None:
        pending = self._pairing.response("1.1", in_sync=False)
        pending.exchange.missing.append(why)
        pending.response_begun = pending.response_done = True
        self._pairing.end_if_done(pending)

    def finish(self, half: Half, *, closed: bool) -> None:
        """Nothing more comes of this direction."""
        if half.framing is not None:
            if half.framing.until_close and closed:
                self._end(half)
            else:
                self.cut_short(half, "unfinished")
        elif half.state is State.HEAD and half.line_seen and half.is_request is False:
            self._response_lost(Missing("response", "unfinished"))

    def finish_all(self) -> None:
        """End all exchanges that are open."""
        self._pairing.finish()


def _where(head: Head) -> tuple[str, str]:
    """Scheme and authority of a request."""
    if head.method == "CONNECT":
        return "https", head.target
    absolute = _ABSOLUTE.match(head.target)
    if absolute is not None:
        return absolute[1].lower(), absolute[2]
    return "https", next((value for name, value in head.headers if name.lower() == "host"), "")
