"""Cuts one direction of an HTTP/2 connection into frames; finds them again where that was lost."""

from __future__ import annotations

import enum

from tlstap.protocols.http2.frames import (
    DATA,
    END_STREAM,
    HEADER_SIZE,
    MAX_PAYLOAD,
    PADDED,
    PREFACE,
    FrameHeader,
    is_valid,
    parse_header,
)
from tlstap.protocols.http2.handler import FrameHandler
from tlstap.protocols.http2.sync import begins_frames, find_frames

MAX_SEARCHED = 128 * 1024
"""Bytes that wait while it is open whether frames begin among them."""
_LAST_KNOWN_TYPE = 9


class _State(enum.Enum):
    HEADER = enum.auto()  # at a frame's beginning, or inside its header
    PAYLOAD = enum.auto()  # of a frame that is read as a whole
    PADDING_LENGTH = enum.auto()  # of a DATA frame
    DATA = enum.auto()
    SKIP = enum.auto()  # padding, and payload that is not read
    SEARCH = enum.auto()


class FrameReader:
    """One direction. Holds at most MAX_SEARCHED bytes and the newest record's."""

    def __init__(self, handler: FrameHandler, *, at_start: bool) -> None:
        """:param at_start: the first byte is the direction's first: it begins a frame or the preface."""
        self._handler = handler
        self._state = _State.HEADER if at_start else _State.SEARCH
        self._buffer = bytearray()
        self._offset = 0
        self._since = 0
        self._now = 0
        self._lost_before = 0
        self._preface = True
        self._header = FrameHeader(0, 0, 0, 0)
        # Of the frame's payload: bytes to come that are wanted, and those behind them.
        self._left = 0
        self._padding = 0
        # In a search: how many bytes it needs, and where calls begin.
        self._needed = 0
        self._calls: set[int] = set()

    def feed(self, offset: int, payload: bytes, now: int) -> None:
        """Take the next bytes, which a call of the application moved."""
        self._now = now
        if not self._buffer:
            self._offset, self._since = offset, now
        if self._state is _State.SEARCH:
            self._calls.add(len(self._buffer))
            if self._needed and begins_frames(payload, self._handler.streams):
                # What may begin earlier is not waited for.
                self._needed = 0
        at = 0
        if not self._buffer:
            at = self._pass_through(payload)
        if at < len(payload):
            self._offset += at if not self._buffer else 0
            self._buffer += payload[at:] if at else payload
            self._advance()

    def _pass_through(self, payload: bytes) -> int:
        """Deal with payload of DATA, or that is skipped, without a copy; how much that was."""
        if self._state is _State.DATA:
            piece = payload if len(payload) <= self._left else payload[: self._left]
            self._take_data(piece, self._offset)
            return len(piece)
        if self._state is _State.SKIP:
            return self._skip(len(payload))
        return 0

    def _advance(self) -> None:
        """Understand as much of the buffer as possible."""
        more = True
        while more and len(self._buffer) >= self._wanted():
            more = self._search() if self._state is _State.SEARCH else self._frames()

    def _wanted(self) -> int:
        """How many bytes there must be in the buffer to go on."""
        match self._state:
            case _State.PAYLOAD:
                return self._left
            case _State.SEARCH:
                return max(1, min(self._needed, MAX_SEARCHED))
            case _:
                return 1

    def _frames(self) -> bool:
        """Read frames; False if more bytes are needed."""
        buffer, at = bytes(self._buffer), 0
        while at < len(buffer) and self._state is not _State.SEARCH:
            size = self._step(buffer, at)
            if size is None:
                break
            at += size
        self._drop(at)
        return self._state is _State.SEARCH

    def _drop(self, size: int) -> None:
        if size:
            del self._buffer[:size]
            self._offset += size
            self._since = self._now

    def _step(self, buffer: bytes, at: int) -> int | None:
        """Understand what begins at `at`; how many bytes that took, None if more are needed."""
        available = len(buffer) - at
        match self._state:
            case _State.PAYLOAD:
                if available < self._left:
                    return None
                size, self._left = self._left, 0
                self._state = _State.HEADER
                self._handler.frame(self._header, buffer[at : at + size], self._since)
                return size
            case _State.PADDING_LENGTH:
                self._left -= 1
                self._padding = min(buffer[at], self._left)
                self._left -= self._padding
                self._begin_data()
                return 1
            case _State.DATA:
                size = min(available, self._left)
                self._take_data(buffer[at : at + size], self._offset + at)
                return size
            case _State.SKIP:
                return self._skip(available)
            case _:
                return self._begin(buffer, at)

    def _begin(self, buffer: bytes, at: int) -> int | None:
        """Read a frame's header, or the preface."""
        if self._preface:
            if PREFACE.startswith(buffer[at : at + len(PREFACE)]):
                if len(buffer) - at < len(PREFACE):
                    return None
                self._preface = False
                self._handler.preface()
                return len(PREFACE)
            self._preface = False
        if len(buffer) - at < HEADER_SIZE:
            return None
        header = parse_header(buffer, at)
        if not is_valid(header) or not self._handler.accepts(header):
            self.lose_sync(None)
            return 0
        if at:
            self._since = self._now
        self._header, self._left, self._padding = header, header.length, 0
        if header.type == DATA:
            if header.flags & PADDED:
                self._state = _State.PADDING_LENGTH
            else:
                self._begin_data()
        elif header.type > _LAST_KNOWN_TYPE:
            self._begin_skip()
        elif header.length > MAX_PAYLOAD:
            self._handler.frame_lost(header, None)
            self._begin_skip()
        else:
            self._state = _State.PAYLOAD
            if not header.length:
                self._state = _State.HEADER
                self._handler.frame(header, b"", self._since)
        return HEADER_SIZE

    def _begin_data(self) -> None:
        self._state = _State.DATA
        if not self._left:
            self._end_data()

    def _take_data(self, piece: bytes, offset: int) -> None:
        self._left -= len(piece)
        self._handler.data(self._header.stream_id, piece, offset)
        if not self._left:
            self._end_data()

    def _end_data(self) -> None:
        self._left, self._padding = self._padding, 0
        self._begin_skip()
        header = self._header
        self._handler.data_ended(header.stream_id, end_stream=bool(header.flags & END_STREAM))

    def _begin_skip(self) -> None:
        self._state = _State.SKIP if self._left else _State.HEADER

    def _skip(self, available: int) -> int:
        size = min(available, self._left)
        self._left -= size
        if not self._left:
            self._state = _State.HEADER
        return size

    # Gaps, and bytes that are no frames

    def gap(self, size: int) -> None:
        """Bytes of the direction were not captured, right behind those that were fed last."""
        self._settle()
        self._preface = False
        behind = size
        match self._state:
            case _State.DATA:
                behind = self._gap_in_data(size)
            case _State.SKIP:
                behind = size - self._skip(size)
            case _State.PAYLOAD:
                behind = self._gap_in_payload(size)
            case _State.PADDING_LENGTH:
                # How much of the rest is padding is not known, so all of it is taken for data.
                self._state = _State.DATA
                behind = self._gap_in_data(size)
            case _:
                pass
        if behind:
            self.lose_sync(size)
            self._lost_before += size

    def _gap_in_data(self, size: int) -> int:
        stream_id, inside = self._header.stream_id, min(size, self._left)
        self._left -= inside
        self._handler.data_lost(stream_id, inside)
        if not self._left:
            self._end_data()
            return size - inside - (self._skip(size - inside) if self._state is _State.SKIP else 0)
        return 0

    def _gap_in_payload(self, size: int) -> int:
        self._handler.frame_lost(self._header, size)
        self._left -= len(self._buffer)
        self._buffer.clear()
        self._begin_skip()
        return size - self._skip(size)

    def lose_sync(self, gap: int | None) -> None:
        """From here on bytes are unknown, until frames are found."""
        self._state = _State.SEARCH
        self._calls.clear()
        self._needed = 0
        if gap is not None:
            self._unknown(len(self._buffer))
        self._handler.sync_lost(gap)

    def _search(self, *, ended: bool = False) -> bool:
        """Look for the beginning of frames; True if some were found."""
        buffer, start = bytes(self._buffer), 0
        if len(buffer) >= MAX_SEARCHED:
            # What may begin before is not waited for any longer.
            start = MAX_SEARCHED // 2 if self._needed > len(buffer) else 0
        place = find_frames(buffer, start, self._calls, self._handler.streams, ended=ended)
        known = len(buffer) if place is None else place.at
        self._unknown(known)
        if place is not None and place.certain:
            self._state = _State.HEADER
            self._preface = buffer.startswith(PREFACE, place.at)
            self._lost_before = 0
            return True
        self._calls = {call - known for call in self._calls if call >= known}
        self._needed = 0
        if place is not None:
            # With growing steps all searches together take linear time.
            left = len(self._buffer)
            self._needed = max(place.needed - known, left + left // 4 if left > MAX_SEARCHED // 128 else 0)
        return False

    def _unknown(self, size: int) -> None:
        """The first bytes of the buffer are no frames."""
        if size:
            self._handler.unknown(self._offset, bytes(self._buffer[:size]), self._lost_before)
            self._lost_before = 0
            self._drop(size)

    def _settle(self) -> None:
        """In a search, decide by what is there: a gap or the end is behind it."""
        while self._state is _State.SEARCH and self._buffer:
            if self._search(ended=True):
                self._frames()

    def finish(self) -> None:
        """No more bytes come."""
        self._settle()
        if self._state is _State.PAYLOAD:
            self._handler.frame_lost(self._header, 0)
        else:
            self._unknown(len(self._buffer))
