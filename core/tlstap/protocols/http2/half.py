"""One direction of an HTTP/2 connection: its frames, put together to header blocks, and what each means."""

from __future__ import annotations

from collections.abc import Container

from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    FRAMES,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)
from pydantic import JsonValue

from tlstap.protocols.http2.errors import error_name, setting_name
from tlstap.protocols.http2.frames import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PUSH_PROMISE,
    FrameHeader,
)
from tlstap.protocols.http2.handler import FrameHandler
from tlstap.protocols.http2.header_block import HeaderBlock
from tlstap.protocols.http2.headers import HeaderDecoder
from tlstap.protocols.http2.owner import HalfOwner
from tlstap.protocols.http2.reader import FrameReader
from tlstap.protocols.memory import Allowance
from tlstap.records import Direction, MissingReason

MAX_SETTINGS = 64


class Half(FrameHandler):
    """Reads one direction's frames. Besides the reader's buffer it holds a header block and a table."""

    def __init__(
        self, direction: Direction, owner: HalfOwner, memory: Allowance, *, from_start: bool
    ) -> None:
        self.direction: Direction = direction
        self.reader = FrameReader(self, at_start=from_start)
        self._owner = owner
        self._memory = memory
        self._headers = HeaderDecoder(from_start=from_start)
        self._table_held = 0
        self._block: HeaderBlock | None = None

    @property
    def streams(self) -> Container[int]:
        return self._owner.streams

    def preface(self) -> None:
        self._owner.client_found(self.direction)

    def accepts(self, header: FrameHeader) -> bool:
        block = self._block
        return block is None or (header.type == CONTINUATION and header.stream_id == block.stream_id)

    def frame(self, header: FrameHeader, payload: bytes, since_ns: int) -> None:
        frame = FRAMES[header.type](header.stream_id)
        frame.parse_flags(header.flags)
        try:
            frame.parse_body(memoryview(payload))
        except HyperframeError:
            self.frame_lost(header, None)
            return
        if header.type == CONTINUATION:
            self._continuation(header, payload)
        else:
            self._known_frame(header, frame, payload, since_ns)

    def _known_frame(self, header: FrameHeader, frame: Frame, payload: bytes, since_ns: int) -> None:
        stream_id = header.stream_id
        match frame:
            case HeadersFrame(data=fragment):
                block = HeaderBlock(stream_id, bool(header.flags & END_STREAM), since_ns)
                self._begin_block(block, fragment, header)
            case PushPromiseFrame(data=fragment, promised_stream_id=promised):
                self._owner.client_found("read" if self.direction == "write" else "write")
                self._begin_block(HeaderBlock(stream_id, False, since_ns, promised), fragment, header)
            case RstStreamFrame(error_code=code):
                self._owner.reset(self.direction, stream_id, code)
            case GoAwayFrame(last_stream_id=last, error_code=code, additional_data=debug_data):
                last &= 0x7FFF_FFFF
                details: dict[str, JsonValue] = {"last_stream_id": last, "error": error_name(code)}
                self._owner.control(self.direction, "GOAWAY", debug_data, details)
                self._owner.going_away(self.direction, last, code)
            case SettingsFrame() if not header.flags & ACK:
                self._owner.control(self.direction, "SETTINGS", b"", _settings(payload))
            case _:
                pass

    # Header blocks

    def _begin_block(self, block: HeaderBlock, fragment: bytes, header: FrameHeader) -> None:
        block.add(fragment)
        if header.flags & END_HEADERS:
            self._end_block(block)
        else:
            self._block = block

    def _continuation(self, header: FrameHeader, payload: bytes) -> None:
        block = self._block
        if block is None:
            # The block's beginning was lost.
            self._headers.forget()
            return
        block.add(payload)
        if header.flags & END_HEADERS:
            self._block = None
            self._end_block(block)

    def _end_block(self, block: HeaderBlock) -> None:
        if block.too_large:
            self._lose_block(block, "over the limit")
            return
        fields = self._headers.decode(b"".join(block.fragments))
        self._hold_table()
        if fields is not None and ":status" in fields.pseudo:
            self._owner.client_found("read" if self.direction == "write" else "write")
        elif fields is not None and ":method" in fields.pseudo and block.promised is None:
            self._owner.client_found(self.direction)
        self._owner.fields(self.direction, block, fields, "not decodable")

    def _lose_block(self, block: HeaderBlock, reason: MissingReason) -> None:
        self._headers.forget()
        self._owner.fields(self.direction, block, None, reason)

    def _hold_table(self) -> None:
        """The dynamic table counts as held memory; if there is none, nothing is kept."""
        more = self._headers.table_size - self._table_held
        if more > 0:
            self._table_held += self._memory.take(more)
            if self._table_held < self._headers.table_size:
                self._headers.forget()
        excess = self._table_held - self._headers.table_size
        if excess > 0:
            self._memory.give_back(excess)
            self._table_held -= excess

    def frame_lost(self, header: FrameHeader, gap: int | None) -> None:
        if header.type not in (HEADERS, PUSH_PROMISE, CONTINUATION):
            return
        reason: MissingReason = "over the limit" if gap is None else "lost" if gap else "unfinished"
        block, self._block = self._block, None
        if block is None and header.type == HEADERS:
            block = HeaderBlock(header.stream_id, bool(header.flags & END_STREAM), 0)
        if block is None:
            self._headers.forget()
        else:
            self._lose_block(block, reason)

    # DATA

    def data(self, stream_id: int, payload: bytes, offset: int) -> None:
        self._owner.data(self.direction, stream_id, payload, offset)

    def data_lost(self, stream_id: int, size: int) -> None:
        self._owner.data_lost(self.direction, stream_id, size)

    def data_ended(self, stream_id: int, *, end_stream: bool) -> None:
        if end_stream:
            self._owner.data_ended(self.direction, stream_id)

    # What can't be read

    def sync_lost(self, gap: int | None) -> None:
        block, self._block = self._block, None
        if block is not None:
            self._lose_block(block, "lost")
        self._headers.forget()
        self._owner.frames_lost(self.direction, gap)

    def unknown(self, offset: int, payload: bytes, lost_before: int) -> None:
        self._owner.unknown(self.direction, offset, payload, lost_before)


def _settings(payload: bytes) -> dict[str, JsonValue]:
    """The settings, in their order."""
    settings: dict[str, JsonValue] = {}
    for at in range(0, min(len(payload), 6 * MAX_SETTINGS), 6):
        number, value = payload[at : at + 2], payload[at + 2 : at + 6]
        settings[setting_name(int.from_bytes(number, "big"))] = int.from_bytes(value, "big")
    return settings
