"""Headers of HTTP/2 frames: what they say, and whether they can be headers at all (RFC 9113, 4.1 and 6)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE = 9

DATA = DataFrame.type
HEADERS = HeadersFrame.type
PRIORITY = PriorityFrame.type
RST_STREAM = RstStreamFrame.type
SETTINGS = SettingsFrame.type
PUSH_PROMISE = PushPromiseFrame.type
PING = PingFrame.type
GOAWAY = GoAwayFrame.type
WINDOW_UPDATE = WindowUpdateFrame.type
CONTINUATION = ContinuationFrame.type

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

MAX_PAYLOAD = 64 * 1024
"""Of a frame that is read as a whole; larger ones are left out. DATA is read in pieces, whatever its size."""

_HEADER = Struct(">HBBBL")


class FrameHeader(NamedTuple):
    """The first nine bytes of a frame. `length` is the payload's, `stream_id` without the reserved bit."""

    length: int
    type: int
    flags: int
    stream_id: int


def parse_header(data: bytes | bytearray | memoryview, at: int = 0) -> FrameHeader:
    """The header at `at`, where at least nine bytes are."""
    high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
    return FrameHeader(high << 8 | low, kind, flags, stream & 0x7FFF_FFFF)


def is_valid(header: FrameHeader) -> bool:
    """Does the header keep the rules of its type? Unknown flags are valid, to be ignored, and unknown types
    too, unless they are larger than any that exists."""
    length, kind, flags, stream = header
    if kind in (DATA, HEADERS, CONTINUATION):
        return stream > 0 and (not flags & PADDED or length > 0 or kind == CONTINUATION)
    if kind == PRIORITY:
        return stream > 0 and length == 5
    if kind == RST_STREAM:
        return stream > 0 and length == 4
    if kind == SETTINGS:
        return stream == 0 and (length == 0 if flags & ACK else length % 6 == 0 and length <= 16 * 1024)
    if kind == PUSH_PROMISE:
        return stream > 0 and length >= 4
    if kind == PING:
        return stream == 0 and length == 8
    if kind == GOAWAY:
        return stream == 0 and length >= 8
    if kind == WINDOW_UPDATE:
        return length == 4
    return length <= MAX_PAYLOAD
