"""Which response answers which request on an HTTP/1 connection, also when parts of it were lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from tlstap.protocols.memory import Allowance
from tlstap.records import Connection, DecodedRecord, Exchange, ExchangeEnded, Missing
from tlstap.schema import Process

MAX_PENDING = 256
"""Exchanges of one connection that may be open at a time: requests beyond that go unanswered."""

_PART = Literal["request", "response"]


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
    held: int = 0


class Pairing:
    """The open exchanges of a connection, in the order of their requests.

    Responses come in that order too. After a loss nobody knows how many responses were in the gap. A client
    that was never seen to pipeline sends a request only when the one before was answered, so then the next
    response belongs to the newest request; with one that pipelines, at least one response is gone.
    """

    def __init__(self, connection: Connection, memory: Allowance) -> None:
        self._connection = connection
        self._memory = memory
        self._open: deque[Pending] = deque()
        self._pipelines = False

    def request(
        self, process: Process, version: str, method: str, held: int, time_ns: int, out: list[DecodedRecord]
    ) -> Pending:
        """A request began: its exchange. Those that don't fit any more are ended into `out`."""
        granted = self._memory.take(held)
        while self._open and (granted < held or len(self._open) >= MAX_PENDING):
            self.end(self._open[0], time_ns, out, "over the limit")
            granted += self._memory.take(held - granted)
        pending = self._append(process, version)
        pending.method, pending.held = method, granted
        return pending

    def lost_request(
        self, process: Process, method: str, why: Missing, time_ns: int, out: list[DecodedRecord]
    ) -> None:
        """There was a request, but its head can't be read. `method` is empty if not even that is known."""
        pending = self.request(process, "1.1", method, 0, time_ns, out)
        pending.request_done = True
        pending.exchange.missing.append(why)

    def requests_lost(self, process: Process, size: int, time_ns: int, out: list[DecodedRecord]) -> None:
        """A gap between two requests. Only a pipelining client has sent one that still awaits its answer."""
        if self._pipelines:
            self.lost_request(process, "", Missing("request", "lost", size), time_ns, out)

    def responses_lost(self, size: int | None, whole: bool, time_ns: int, out: list[DecodedRecord]) -> None:
        """A response is about to begin after a loss.

        :param whole: the loss began between two responses, so that at least one is gone.
        """
        waiting = [pending for pending in self._open if not pending.response_begun]
        gone = (waiting[:1] if whole else []) if self._pipelines else waiting[:-1]
        for pending in gone:
            pending.exchange.missing.append(Missing("response", "lost", size))
            self.end(pending, time_ns, out, "lost")
            size = None

    def response(self, process: Process, version: str, *, in_sync: bool) -> Pending:
        """A response began: the exchange that it belongs to, a new one if its request was never seen."""
        waiting = [pending for pending in self._open if not pending.response_begun]
        if in_sync and len(waiting) > 1:
            self._pipelines = True
        if waiting:
            return waiting[0]
        pending = self._append(process, version)
        pending.request_done = True
        pending.exchange.missing.append(Missing("request", "not seen"))
        return pending

    def _append(self, process: Process, version: str) -> Pending:
        pending = Pending(Exchange(self._connection, process, f"HTTP/{version}"))
        self._open.append(pending)
        return pending

    def end_if_done(self, pending: Pending, time_ns: int, out: list[DecodedRecord]) -> None:
        """End the exchange if both halves have ended."""
        if pending.request_done and pending.response_done:
            self.end(pending, time_ns, out, "not seen")

    def end(
        self,
        pending: Pending,
        time_ns: int,
        out: list[DecodedRecord],
        unanswered: Literal["lost", "not seen", "over the limit"],
    ) -> None:
        """The exchange is over, whatever it lacks. `unanswered` says why, if it has no response."""
        exchange = pending.exchange
        if exchange.response is None and not any(gap.part == "response" for gap in exchange.missing):
            exchange.missing.append(Missing("response", unanswered))
        self._open.remove(pending)
        self._memory.give_back(pending.held)
        out.append(ExchangeEnded(exchange, time_ns, complete=not exchange.missing))

    def finish(self, time_ns: int, out: list[DecodedRecord]) -> None:
        """End all that is open."""
        while self._open:
            self.end(self._open[0], time_ns, out, "not seen")

    def is_open(self, pending: Pending) -> bool:
        """Is the exchange still open? One that went over the limit is not, while its messages go on."""
        return pending in self._open
