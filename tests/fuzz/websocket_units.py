"""WebSocket as fuzzers put it together."""

from __future__ import annotations

from struct import pack

from tests.fuzz.script import Move

PRELUDE = (
    Move(
        "write",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    ),
    Move(
        "read",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    ),
)

WORDS = (
    *(b"\x81\x05hello", b"\x01\x01a", b"\x80\x00", b"\x89\x00", b"\x8a\x84\x00\x00\x00\x00ping"),
    *(b"\x88\x02\x03\xe8", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x82\x7e\x00\x80", b"\x82\x7f"),
)


def frame(payload: bytes) -> bytes:
    """A frame: its first byte is the first byte, and bit 4 of it says that the frame is a client's."""
    first, body = (payload[0] if payload else 0x81), payload[1:]
    client, first = bool(first & 0x10), first & ~0x10
    size = len(body)
    short = size if size < 126 else 126 if size < 1 << 16 else 127
    length = b"" if size < 126 else pack(">H", size) if size < 1 << 16 else pack(">Q", size)
    if not client:
        return bytes((first, short)) + length + body
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
    return bytes((first, 0x80 | short)) + length + mask + masked
