"""Which response answers which request on an HTTP/1 connection, also when parts of it were lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from tlstap.protocols.http.context import Context
from tlstap.records import Exchange, ExchangeEnded, Missing

MAX_PENDING = 256
"""Exchanges of one connection that may be open at a time: requests beyond that go unanswered."""
_CONTINUE = 64
"""Bytes of a "100 Continue" at most, as servers send it."""


@dataclass(slots=True, eq=False)
class Pending:
    """An exchange that is not over. `held` are the bytes that it took from the allowance."""

    exchange: Exchange
    method: str = ""
    request_done: bool = False
    response_begun: bool = False
    response_done: bool = False
    may_switch: bool = False
    """The request asks for another protocol: CONNECT or an upgrade."""
    after_loss: bool = False
    """Requests before this one may have been lost."""
    expects_continue: bool = False
    held: int = 0


class Pairing:
    """The open exchanges of a connection, in the order of their requests.

    Responses come in that order too. After a loss nobody knows how many responses were in the gap. A client
    that was never seen to pipeline sends a request only when the one before was answered, so then the next
    response belongs to the newest request, unless that may have been lost as well. With a client that
    pipelines, at least one response is gone. So pairs stay right whatever is lost in one direction, and
    through any one burst of losses in both.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: deque[Pending] = deque()
        self._pipelines = False
        self._requests_lost = False

    def request(self, version: str, method: str, held: int) -> Pending:
        """A request began: its exchange. Those that don't fit any more are ended."""
        granted = self._context.memory.take(held)
        while self._open and (granted < held or len(self._open) >= MAX_PENDING):
            self.end(self._open[0], "over the limit")
            granted += self._context.memory.take(held - granted)
        pending = self._append(version)
        pending.method, pending.held, pending.after_loss = method, granted, self._requests_lost
        self._requests_lost = False
        return pending

    def lost_request(self, method: str, why: Missing) -> None:
        """There was a request, but its head can't be read. `method` is empty if not even that is known."""
        pending = self.request("1.1", method, 0)
        pending.request_done = True
        pending.exchange.missing.append(why)

    def requests_lost(self, size: int, *, whole: bool) -> None:
        """A gap in which a request may have begun.

        :param whole: the gap began between two requests, so that the head of at least one is gone.
        """
        if whole and self._pipelines:
            self.lost_request("", Missing("request", "lost", size))
        else:
            self._requests_lost = True

    def responses_lost(self, size: int | None, whole: bool) -> None:
        """A response is about to begin after a loss.

        :param whole: the loss began between two responses, so that the head of at least one is gone.
        """
        waiting = self._waiting()
        gone = waiting[:-1]
        if self._pipelines:
            gone = waiting[:1] if whole else []
        elif self._requests_lost or (whole and len(waiting) == 1 and self._must_be_gone(waiting[0], size)):
            gone = waiting
        for pending in gone:
            pending.exchange.missing.append(Missing("response", "lost", size))
            self.end(pending, "lost")
            size = None

    @staticmethod
    def _must_be_gone(pending: Pending, size: int | None) -> bool:
        """Was it this request's final response that is gone?"""
        informational = pending.expects_continue and not pending.exchange.informational
        return not pending.after_loss and not (informational and size is not None and size <= _CONTINUE)

    def response(self, version: str, *, in_sync: bool) -> Pending:
        """A response began: the exchange that it belongs to, a new one if its request was never seen."""
        waiting = self._waiting()
        if in_sync and len(waiting) > 1:
            self._pipelines = True
        if waiting:
            return waiting[0]
        pending = self._append(version)
        pending.request_done = True
        pending.exchange.missing.append(Missing("request", "not seen"))
        return pending

    def awaiting(self) -> bool:
        """Is there a request without a response?"""
        return bool(self._waiting())

    def _waiting(self) -> list[Pending]:
        return [pending for pending in self._open if not pending.response_begun]

    def _append(self, version: str) -> Pending:
        channel, process = self._context.channel, self._context.process
        pending = Pending(Exchange(channel.connection, process, f"HTTP/{version}", channel.stream_id))
        self._open.append(pending)
        return pending

    def end_if_done(self, pending: Pending) -> None:
        """End the exchange if both halves have ended."""
        if pending.request_done and pending.response_done:
            self.end(pending, "not seen")

    def end(self, pending: Pending, unanswered: Literal["lost", "not seen", "over the limit"]) -> None:
        """The exchange is over, whatever it lacks. `unanswered` says why, if it has no response.

        One that was ended for being over the limit may come again when its messages end.
        """
        self._context.memory.give_back(pending.held)
        pending.held = 0
        if pending not in self._open:
            return
        exchange = pending.exchange
        if exchange.response is None and not any(gap.part == "response" for gap in exchange.missing):
            exchange.missing.append(Missing("response", unanswered))
        self._open.remove(pending)
        self._context.out.append(ExchangeEnded(exchange, self._context.now, complete=not exchange.missing))

    def finish(self) -> None:
        """End all that is open."""
        while self._open:
            self.end(self._open[0], "not seen")
