"""Finds where frames begin in bytes of HTTP/2 of which the beginning was not seen.

A place is taken for the beginning of a frame if it and what follows keep to the rules so closely that chance
is out of the question: each frame header is counted as evidence, in bits (how many bits of it are as the
rules, or what is known of the connection, demand), and 64 bits are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from dataclasses import dataclass

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

ENOUGH = 64
"""Bits of evidence at which a place is taken for the beginning of a frame."""
MAX_LENGTH = 64 * 1024
"""Longest payload that is believed before the connection's frames are known."""
_RECORD_BITS = 20
"""That a frame begins where the application's call did, as most do."""
_KNOWN_STREAM_BITS = 22
_HPACK_BITS = 24
_MAX_CHAIN = 8
_MAX_SETTING = 0x10
_MAX_ERROR = 0x20

# What each type may set, and how many of the eight flags it must leave clear.
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
    """A place in the buffer. `certain`: frames begin here; else they may, which `needed` bytes will tell more
    of (counted from the buffer's beginning)."""

    at: int
    certain: bool
    needed: int = 0


def find_frames(
    data: bytes, start: int, records: Collection[int], streams: Container[int], *, ended: bool = False
) -> Place | None:
    """The first place from `start` on where frames certainly begin, else the first where they may.

    :param records: places where calls of the application began.
    :param streams: numbers of streams that are known to be open.
    :param ended: no more bytes will come.
    """
    waiting: Place | None = None
    budget = [2 * len(data) + MAX_LENGTH]
    for candidate in _CANDIDATE.finditer(data, start):
        at = candidate.start()
        verdict = _judge(data, at, at in records, streams, budget)
        if verdict.certain:
            return verdict
        if verdict.needed and waiting is None and not ended:
            waiting = verdict
    if waiting is None and not ended:
        # A header may be cut at the end.
        tail = max(start, len(data) - HEADER_SIZE + 1)
        zero = data.find(b"\x00", tail)
        preface = data.find(b"PRI", max(start, len(data) - len(PREFACE)))
        places = [place for place in (zero, preface) if place >= 0]
        if places:
            waiting = Place(min(places), False, len(data) + 1)
    return waiting


def begins_frames(data: bytes, streams: Container[int] = ()) -> bool | None:
    """Do frames begin at the beginning of a call's bytes? None: they may."""
    if len(data) < HEADER_SIZE:
        return None if data.startswith(b"\x00") or PREFACE.startswith(data) else False
    if not _CANDIDATE.match(data):
        return False
    place = _judge(data, 0, True, streams, [2 * len(data) + MAX_LENGTH])
    return True if place.certain else None if place.needed else False


def _judge(data: bytes, at: int, at_record: bool, streams: Container[int], budget: list[int]) -> Place:
    """How sure is it that frames begin at `at`?"""
    if data.startswith(b"PRI", at):
        if data.startswith(PREFACE, at):
            return Place(at, True)
        return Place(at, False, at + len(PREFACE) if PREFACE.startswith(data[at:]) else 0)
    bits = _RECORD_BITS if at_record else 0
    place, continued = at, 0
    for _ in range(_MAX_CHAIN):
        if len(data) - place < HEADER_SIZE:
            return Place(at, False, place + HEADER_SIZE)
        header = parse_header(data, place)
        payload = data[place + HEADER_SIZE : place + HEADER_SIZE + min(header.length, MAX_LENGTH)]
        if not _believable(header, data[place + 5]) or (
            continued and (header.type, header.stream_id) != (CONTINUATION, continued)
        ):
            return Place(at, False)
        more = _evidence(header, payload, streams, budget)
        if more is None:
            return Place(at, False)
        bits += more
        if bits >= ENOUGH:
            return Place(at, True)
        open_block = header.type in (HEADERS, PUSH_PROMISE, CONTINUATION) and not header.flags & END_HEADERS
        continued = header.stream_id if open_block else 0
        place += HEADER_SIZE + header.length
    return Place(at, False)


def _believable(header: FrameHeader, first_stream_byte: int) -> bool:
    if header.type not in _FLAGS or header.length > MAX_LENGTH or not is_valid(header):
        return False
    return not header.flags & ~_FLAGS[header.type] and first_stream_byte < 0x80


def _evidence(header: FrameHeader, payload: bytes, streams: Container[int], budget: list[int]) -> int | None:
    """Bits that speak for this being a frame; None if its payload shows that it is none."""
    length, kind, flags, stream = header
    bits = 8 + (8 - _FLAGS[kind].bit_count()) + 1
    bits += 24 if kind in (PRIORITY, RST_STREAM, PING, WINDOW_UPDATE) else 24 - max(length, 255).bit_length()
    if kind in (SETTINGS, PING, GOAWAY):
        bits += 31
    elif stream in streams:
        bits += _KNOWN_STREAM_BITS
    elif stream < 1 << 20:
        bits += 10
    if len(payload) < length:
        return bits
    match kind:
        case 4:  # SETTINGS
            numbers = [int.from_bytes(payload[at : at + 2], "big") for at in range(0, length, 6)]
            # Unknown settings are allowed, and sent to keep others tolerant of them.
            bits += 8 * sum(number <= _MAX_SETTING for number in numbers)
        case 8:  # WINDOW_UPDATE
            increment = int.from_bytes(payload, "big")
            return bits if 0 < increment < 1 << 31 else None
        case 3 | 7:  # RST_STREAM, GOAWAY
            code = payload[-4:] if kind == RST_STREAM else payload[4:8]
            bits += 20 if int.from_bytes(code, "big") < _MAX_ERROR else 0
        case 1:  # HEADERS
            return _headers_evidence(bits, flags, payload, budget)
        case _:
            pass
    return bits


def _headers_evidence(bits: int, flags: int, payload: bytes, budget: list[int]) -> int | None:
    """A whole header block must be valid HPACK."""
    if flags & PADDED:
        if payload[0] >= len(payload):
            return None
        payload = payload[1 : len(payload) - payload[0]]
    if flags & HAS_PRIORITY:
        payload = payload[5:]
    if not flags & END_HEADERS or budget[0] < len(payload):
        return bits
    budget[0] -= len(payload)
    fields = HeaderDecoder(from_start=False).decode(payload)
    if fields is None or not payload:
        return None
    return bits + (_HPACK_BITS if len(payload) > 4 else 8)
