"""What comes before it is known which end of a connection is the client: held, and dealt with when it is."""

from __future__ import annotations

from collections.abc import Callable

from tlstap.protocols.http.context import Context
from tlstap.protocols.http2.streams import Streams
from tlstap.records import Direction, Undecoded

MAX_HELD = 1 << 20
"""Bytes of frames that are held."""
_OVERHEAD = 256

_Event = Callable[[Streams], object]


class Undecided:
    """The events of a connection of which the roles are not known, in order and with their times.

    What finds no room, and what waits in vain, is given out as undecoded bytes.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._events: list[tuple[int, _Event, Undecoded | None]] = []
        self._held = 0
        self._full = False

    def add(self, event: _Event, direction: Direction, offset: int = 0, payload: bytes = b"") -> None:
        """An event to come, and the bytes that stand for it if it can't be dealt with."""
        context, size = self._context, len(payload) + _OVERHEAD
        raw = None
        if payload:
            channel = context.channel
            where = (context.process, context.now, direction, offset)
            raw = Undecoded(channel.connection, *where, payload, 0, channel.stream_id)
        if not self._full and self._held + size <= MAX_HELD:
            granted = context.memory.take(size)
            self._held += granted
            self._full = granted < size
        else:
            self._full = True
        self._events.append((context.now, event, raw))
        if self._full:
            self.give_up()

    def decide(self, streams: Streams) -> None:
        """The roles are known: everything happens now, with the times of then."""
        context = self._context
        now = context.now
        for then, event, _ in self._events:
            context.now = then
            event(streams)
        context.now = now
        self._release()

    def give_up(self) -> None:
        """The roles will not be known of these."""
        self._context.out.extend([raw for _, _, raw in self._events if raw is not None])
        self._release()

    def _release(self) -> None:
        self._events.clear()
        self._context.memory.give_back(self._held)
        self._held = 0
