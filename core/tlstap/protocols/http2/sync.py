"""Finds where frames begin in bytes of HTTP/2 of which the beginning was not seen.

A place is taken for the beginning of a frame if it and what follows keep to the rules so closely that chance
is out of the question. What a frame header's bytes are, where a rule or the connection demands just that, is
counted as evidence, in bits: by how rare these bytes are in the data around, so that zeros count for nothing
among zeros. Valid HPACK counts as well, and that frames begin or end where a call of the application did.
64 bits are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from dataclasses import dataclass
from math import log2

from tlstap.protocols.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADER_SIZE,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameHeader,
    is_valid,
    parse_header,
)
from tlstap.protocols.http2.headers import HeaderDecoder

ENOUGH = 64.0
"""Bits of evidence at which a place is taken for the beginning of a frame."""
MAX_LENGTH = 64 * 1024
"""Longest payload that is believed before the connection's frames are known."""
_CALL_BEGINS = 20.0
_CALL_ENDS = 16.0
_HPACK = 24.0
_FLOOR = 4.0
"""Bits of a byte where a call begins: it is one place, not one of thousands that were tried."""
_MAX_CHAIN = 8
_MAX_STREAM = 1 << 20
"""Highest number of a stream that is believed where it is not known to be open."""
_MAX_SETTING = 0x10
_MAX_ERROR = 0x20

# What each type may set.
_FLAGS = {
    DATA: END_STREAM | PADDED,
    HEADERS: END_STREAM | END_HEADERS | PADDED | HAS_PRIORITY,
    PRIORITY: 0,
    RST_STREAM: 0,
    SETTINGS: ACK,
    PUSH_PROMISE: END_HEADERS | PADDED,
    PING: ACK,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: END_HEADERS,
}
_FIXED_LENGTH = (PRIORITY, RST_STREAM, PING, WINDOW_UPDATE)

# Where a frame header may be: length up to 64 KiB, a known type with flags that it has, no reserved bit.
_CANDIDATE = re.compile(
    rb"(?=\x00(?:"
    rb"..(?:\x00[\x00\x01\x08\x09](?!\x00{4})"
    rb"|\x01[\x00\x01\x04\x05\x08\x09\x0c\x0d\x20\x21\x24\x25\x28\x29\x2c\x2d]"
    rb"|\x05[\x00\x04\x08\x0c]|\x09[\x00\x04]|\x04\x00|\x07\x00)"
    rb"|\x00\x04[\x03\x08]\x00|\x00\x05\x02\x00|\x00\x08\x06[\x00\x01]|\x00\x00\x04\x01)"
    rb"[\x00-\x7f]...)"
    rb"|(?=PRI \* HTTP/2)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the buffer.

    `certain`: frames begin here. Else they may, and when there are `needed` bytes, counted from the buffer's
    beginning, more can be said.
    """

    at: int
    certain: bool
    needed: int = 0


def find_frames(
    data: bytes, start: int, calls: Collection[int], streams: Container[int], *, ended: bool = False
) -> Place | None:
    """The first place from `start` on where frames certainly begin, else the first where they may.

    :param calls: places where the bytes of a call of the application begin.
    :param streams: numbers of streams that are known to be open.
    :param ended: no more bytes will come.
    """
    judge = _Judge(data, frozenset(calls), streams)
    waiting: Place | None = None
    for candidate in _CANDIDATE.finditer(data, start):
        place = judge.place(candidate.start())
        if place.certain:
            return place
        if place.needed and waiting is None and not ended:
            waiting = place
    if waiting is None and not ended:
        # A header may be cut at the end.
        zero = data.find(b"\x00", max(start, len(data) - HEADER_SIZE + 1))
        preface = data.find(b"PRI", max(start, len(data) - len(PREFACE)))
        places = [place for place in (zero, preface) if place >= 0]
        if places:
            waiting = Place(min(places), False, len(data) + 1)
    return waiting


def begins_frames(data: bytes, streams: Container[int] = ()) -> bool | None:
    """Do frames begin at the beginning of a call's bytes? None: they may."""
    if PREFACE.startswith(data):
        return None
    if len(data) < HEADER_SIZE:
        return None if data.startswith(b"\x00") else False
    if not _CANDIDATE.match(data):
        return False
    place = _Judge(data, frozenset({0}), streams).place(0)
    return True if place.certain else None if place.needed else False


class _Judge:
    """How sure is it that frames begin at a place?"""

    def __init__(self, data: bytes, calls: frozenset[int], streams: Container[int]) -> None:
        self._data = data
        self._calls = calls
        self._streams = streams
        self._rarity: dict[int, float] = {}
        # Header blocks are decoded on trial: not more bytes of them than a few times the data.
        self._budget = 2 * len(data) + MAX_LENGTH

    def _worth(self, value: int, floor: float) -> float:
        """Bits that a byte of this value is worth here, at most 8."""
        bits = self._rarity.get(value)
        if bits is None:
            frequency = (self._data.count(value) + 1) / (len(self._data) + 256)
            bits = self._rarity[value] = min(8.0, -log2(frequency))
        return max(bits, floor)

    def place(self, at: int) -> Place:
        """Follow the frames that would begin at `at`, until enough speaks for them, or something against."""
        data = self._data
        if data.startswith(b"PRI", at):
            if data.startswith(PREFACE, at):
                return Place(at, True)
            return Place(at, False, at + len(PREFACE) if PREFACE.startswith(data[at:]) else 0)
        floor = _FLOOR if at in self._calls else 0.0
        bits = _CALL_BEGINS if at in self._calls else 0.0
        place, before = at, FrameHeader(0, 0, 0, 0)
        for number in range(_MAX_CHAIN):
            if len(data) - place < HEADER_SIZE:
                return Place(at, False, place + HEADER_SIZE)
            header = parse_header(data, place)
            end = place + HEADER_SIZE + header.length
            if data[place + 5] >= 0x80 or not self._believable(header, before if number else None):
                return Place(at, False)
            more = self._header_bits(header, data[place : place + HEADER_SIZE], before.stream_id, floor)
            if end <= len(data):
                by_payload = self._payload_bits(header, data[place + HEADER_SIZE : end], floor)
                if by_payload is None:
                    return Place(at, False)
                more += by_payload
                if end in self._calls or end == len(data):
                    more += _CALL_ENDS
            bits += more
            if bits >= ENOUGH:
                return Place(at, True)
            place, before = end, header
        return Place(at, False)

    def _believable(self, header: FrameHeader, before: FrameHeader | None) -> bool:
        length, kind, flags, stream = header
        if kind not in _FLAGS or flags & ~_FLAGS[kind] or length > MAX_LENGTH or not is_valid(header):
            return False
        if kind == DATA and not length and not flags & END_STREAM:
            # Allowed, but nobody sends it.
            return False
        if stream not in self._streams and (stream >= _MAX_STREAM or (kind == DATA and stream % 2 == 0)):
            # Nor is there a body on a stream of the server's, without a promise.
            return False
        if before is None:
            return True
        opens = before.type in (HEADERS, PUSH_PROMISE, CONTINUATION) and not before.flags & END_HEADERS
        continues = kind == CONTINUATION and stream == before.stream_id
        return continues if opens else kind != CONTINUATION

    def _header_bits(self, header: FrameHeader, raw: bytes, stream_before: int, floor: float) -> float:
        """What the header's nine bytes are worth."""
        length, kind, flags, stream = header

        def worth(value: int) -> float:
            return self._worth(value, floor)

        choices = 2 ** _FLAGS[kind].bit_count()
        bits = worth(kind) + worth(flags) * (8 - log2(choices)) / 8
        bits += sum(map(worth, raw[:3])) if kind in _FIXED_LENGTH or not length else worth(raw[0])
        known = kind in (SETTINGS, PING, GOAWAY) or stream == stream_before > 0 or stream in self._streams
        if known:
            return bits + sum(map(worth, raw[5:9]))
        # Numbers of streams are small.
        return bits + sum(worth(value) for value in raw[5:7] if not value)

    def _payload_bits(self, header: FrameHeader, payload: bytes, floor: float) -> float | None:
        """What a whole payload is worth; None if it shows that this is no frame."""
        length, kind, flags, _ = header
        zero = self._worth(0, floor)
        if kind == WINDOW_UPDATE:
            return 0.0 if 0 < int.from_bytes(payload, "big") < 1 << 31 else None
        if kind == SETTINGS:
            numbers = [int.from_bytes(payload[at : at + 2], "big") for at in range(0, length, 6)]
            known = [number for number in numbers if 0 < number <= _MAX_SETTING]
            # Unknown settings are allowed, and sent to keep others tolerant of them.
            return None if len(numbers) > 2 * len(known) + 1 else min(len(known), 2) * (zero + 4)
        if kind in (RST_STREAM, GOAWAY):
            code = int.from_bytes(payload[:4] if kind == RST_STREAM else payload[4:8], "big")
            return 3 * zero + 3 if code < _MAX_ERROR else 0.0
        if kind == HEADERS:
            return self._block_bits(flags, payload)
        return 0.0

    def _block_bits(self, flags: int, payload: bytes) -> float | None:
        """A whole header block must be valid HPACK."""
        if flags & PADDED:
            if payload[0] >= len(payload):
                return None
            payload = payload[1 : len(payload) - payload[0]]
        if flags & HAS_PRIORITY:
            payload = payload[5:]
        if not flags & END_HEADERS or self._budget < len(payload):
            return 0.0
        self._budget -= len(payload)
        if not payload or HeaderDecoder(from_start=False).decode(payload) is None:
            return None
        return _HPACK if len(payload) > 4 else _HPACK / 3
