"""One direction of a WebSocket: reads its frames, and finds its way again after a loss."""

from __future__ import annotations

from collections import deque

from tlstap.protocols.base import StreamBytes
from tlstap.protocols.websocket.evidence import frames_begin, is_masked
from tlstap.protocols.websocket.frames import FrameReader, ParseFailed
from tlstap.protocols.websocket.messages import Messages
from tlstap.protocols.websocket.shared import Shared
from tlstap.records import Direction, Undecoded

MAX_RECORDS = 256
"""Records that wait until it is clear whether a frame begins with the first. With its end at the latest it is
clear, and a length of more than 16 bits is evidence by itself, so they have hardly more than 64 KiB."""


class Half:
    """One direction.

    :param in_sync: a frame begins with its first byte.
    """

    def __init__(self, shared: Shared, direction: Direction, *, in_sync: bool) -> None:
        self._shared = shared
        self._direction: Direction = direction
        self._messages = Messages(shared, direction)
        # None while it is not known where a frame begins.
        self._reader = self._new_reader(inside=False) if in_sync else None
        # Where the bytes end that the reader was fed.
        self._end = 0
        # While there is no reader: records that may begin with a frame, and their bytes.
        self._held: deque[StreamBytes] = deque()
        self._start = bytearray()
        # The last gap.
        self._gap_size = self._gap_end = 0
        self._finished = False

    def feed(self, data: StreamBytes) -> None:
        """Take the next bytes."""
        if data.lost_before:
            self._gap(data)
        if data.payload:
            self._take(deque([data]))

    def finish(self) -> None:
        """Nothing more comes that is a frame."""
        context, messages = self._shared.context, self._messages
        now = context.now
        while not self._finished and not self._shared.over and self._look(final=True):
            self._take(self._resume())
        context.now = now
        if self._finished:
            return
        self._finished = True
        reader = self._reader
        if reader is None:
            self._drop_held(len(self._held))
            return
        missing = reader.remaining or 0
        control = reader.unfinished_control()
        if control is not None:
            messages.part(control, unfinished=missing)
        messages.finish(reader.remaining if reader.last else None)
        self._undecoded(self._end - len(reader.rest), reader.rest)

    def _take(self, waiting: deque[StreamBytes]) -> None:
        context = self._shared.context
        while waiting:
            data = waiting.popleft()
            context.now, context.process = data.time_ns, data.process
            if self._shared.over:
                self.finish()
            if self._finished:
                self._undecoded(data.offset, data.payload)
            elif self._reader is not None:
                self._frames(self._reader, data)
            elif self._hold(data) and self._look(final=False):
                waiting.extendleft(reversed(self._resume()))

    def _new_reader(self, *, inside: bool | None) -> FrameReader:
        masked = self._shared.masked(self._direction)
        assert masked is not None
        return FrameReader(masked=masked, deflate=self._shared.deflate.possible, inside=inside)

    def _frames(self, reader: FrameReader, data: StreamBytes) -> None:
        self._end = data.offset + len(data.payload)
        try:
            for part in reader.feed(data.payload):
                self._messages.part(part)
                if self._shared.over:
                    return
        except ParseFailed:
            self._shared.broken = True
            self._messages.lost(gap=False)
            self._undecoded(self._end - len(reader.rest), reader.rest)
            self._reader = None

    def _gap(self, data: StreamBytes) -> None:
        """Bytes were not captured right before `data`."""
        size, reader = data.lost_before, self._reader
        follows = data.offset - size == self._gap_end
        if reader is None:
            self._drop_held(len(self._held))
        elif not self._finished:
            remaining = reader.remaining or 0
            if remaining:
                for part in reader.skip(min(size, remaining)):
                    self._messages.part(part)
            if size > remaining:
                self._undecoded(self._end - len(reader.rest), reader.rest)
                self._messages.lost(gap=True)
                self._reader = None
        self._gap_size = size + (self._gap_size if follows else 0)
        self._end = self._gap_end = data.offset

    def _hold(self, data: StreamBytes) -> bool:
        """Keep a record until it is clear whether it begins with a frame. False if there is no room."""
        memory, size = self._shared.context.memory, len(data.payload)
        granted = memory.take(size)
        if granted < size:
            memory.give_back(granted)
            self._drop_held(len(self._held))
            self._undecoded(data.offset, data.payload)
            return False
        self._held.append(data)
        self._start += data.payload
        return True

    def _look(self, *, final: bool) -> bool:
        """Does a frame begin with the first of the records held? Those with which none does are dropped.

        :param final: there won't be more bytes.
        """
        while self._held:
            found = self._begins(bytes(self._start))
            if found:
                return True
            if final or found is False or len(self._held) > MAX_RECORDS:
                self._drop_held(1)
            elif len(self._held) > 1 and self._begins(self._held[-1].payload):
                # Better evidence than a first record that only might be a frame's beginning.
                self._drop_held(len(self._held) - 1)
            else:
                return False
        return False

    def _begins(self, start: bytes) -> bool | None:
        masked = self._shared.masked(self._direction)
        deflate = self._shared.deflate.possible
        return frames_begin(start, masked=is_masked(start) if masked is None else masked, deflate=deflate)

    def _resume(self) -> deque[StreamBytes]:
        """A frame begins with the first of the records held. They are to be taken again."""
        if self._shared.client is None:
            self._shared.tell_client(self._direction, masked=is_masked(self._start))
        self._reader = self._new_reader(inside=None)
        self._shared.context.memory.give_back(len(self._start))
        held, self._held = self._held, deque()
        self._start.clear()
        return held

    def _drop_held(self, count: int) -> None:
        """Give up on the first of the records that are held."""
        context = self._shared.context
        now, process = context.now, context.process
        for _ in range(count):
            data = self._held.popleft()
            context.now, context.process = data.time_ns, data.process
            self._undecoded(data.offset, data.payload)
            del self._start[: len(data.payload)]
            context.memory.give_back(len(data.payload))
        context.now, context.process = now, process

    def _undecoded(self, offset: int, payload: bytes) -> None:
        if not payload:
            return
        context = self._shared.context
        lost_before = self._gap_size if offset == self._gap_end else 0
        context.out.append(
            Undecoded(
                context.channel.connection,
                context.process,
                context.now,
                self._direction,
                offset,
                payload,
                lost_before,
                context.channel.stream_id,
            )
        )
