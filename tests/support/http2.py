"""Just enough of HTTP/2 to say what is in a stream of bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_DATA = 0
_PADDED = 8


def frames(stream: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The frames: type, flags, stream number and payload; the bytes must end with a frame's end."""
    place = 0
    while place < len(stream):
        header = stream[place : place + 9]
        assert len(header) == 9
        length = int.from_bytes(header[:3], "big")
        payload = stream[place + 9 : place + 9 + length]
        assert len(payload) == length
        yield header[3], header[4], int.from_bytes(header[5:], "big") & 0x7FFF_FFFF, payload
        place += 9 + length


def bodies(stream: bytes) -> list[bytes]:
    """What the DATA frames carry, by streams, in their order. The client's preface may be there."""
    data: dict[int, bytes] = defaultdict(bytes)
    for kind, flags, number, payload in frames(stream.removeprefix(PREFACE)):
        if kind == _DATA:
            assert not flags & _PADDED
            data[number] += payload
    return [data[number] for number in sorted(data)]
